"""Files of landmark bases that are damaged, hostile or of another shape: one line each."""

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import make_basis
from utils.errors import UserError
from utils.face.basis import LandmarkBasis, refuse_leaks

NAN, INF = float("nan"), float("inf")
WRONG = dict(
    mean=[np.full(136, NAN), np.full(136, 1e300), np.zeros(135), np.zeros((136, 1)), np.array("x"), np.zeros(0)],
    components=[np.full((136, 6), INF), np.zeros((6, 136)), np.zeros(136), np.zeros((136, 6), complex)],
    eigenvalues=[np.full(6, NAN), np.zeros(5), np.zeros((6, 6)), np.array(3.0)],
    space=["elsewhere", np.zeros(3)],
    rest_opening=[NAN, np.zeros(2), "x"],
)  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [(name, n) for name in WRONG for n in range(len(WRONG[name]))])
def test_parts_that_are_none(tmp_path, name, number):
    path = tmp_path / "basis.npz"
    make_basis().save(path)
    with np.load(path) as file:
        parts = dict(file)
    np.savez_compressed(path, **parts | {name: WRONG[name][number]})
    with pytest.raises(UserError, match=r"basis\.npz: no landmark basis \(.*; make one with") as said:
        LandmarkBasis.load(path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("read", [LandmarkBasis.load, lambda path: refuse_leaks(path, ["x"])])
def test_files_that_are_none(tmp_path, read):
    path = tmp_path / "basis.npz"
    make_basis().save(path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    noisy = bytearray(whole)
    for place in random.integers(len(whole), size=200):
        noisy[place] ^= 255
    for held in (b"", whole[:100], whole[: len(whole) // 2], bytes(100) + whole[100:], bytes(noisy)):
        path.write_bytes(held)
        with pytest.raises(UserError, match=r"basis\.npz: no landmark basis"):
            read(path)
    for other in (tmp_path, Path("/dev/zero"), tmp_path / "none.npz"):
        with pytest.raises(UserError, match="no landmark basis"):
            read(other)
