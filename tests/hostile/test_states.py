"""Sixty damaged copies of a training state: each is loaded, or refused in one line; the process survives."""

from tests.hostile.mutations import survived
from tests.training.test_state_files import run


def test_damaged_states(tmp_path):
    run(tmp_path / "a_state.pt", trained=True).save(7)
    counts = survived("state", tmp_path / "a_state.pt", tmp_path / "copies")
    assert counts["refused"] > 20
