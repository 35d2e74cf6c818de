"""Sixty damaged copies of a store: each is read, or refused in one line; the process survives."""

from tests.hostile.mutations import survived
from tests.synthetic import make_store


def test_damaged_stores(tmp_path):
    counts = survived("store", make_store(tmp_path / "a.h5", 2, 3, 32), tmp_path / "copies")
    assert counts["refused"] > 20
