from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from data.atnet import clip_motion
from data.splits import held_out, ids_hash
from data.store import ClipStore
from preprocess import pca
from tests.synthetic import make_basis, make_store
from utils.errors import UserError
from utils.face.basis import LandmarkBasis, refuse_leaks
from utils.face.landmarks import mouth_opening


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "a.h5", clips=6, frames=30)


def fit(path, out, *options: str) -> LandmarkBasis:
    pca.main(pca.parse_args([str(path), str(out), *options]))
    return LandmarkBasis.load(out)


def test_basis_of_the_training_clips_motion(path, tmp_path):
    basis = fit(path, tmp_path / "pca.npz", "--splits", str(path.parent / "splits"))
    assert basis.space == "motion" and basis.mean.shape == (136,) and basis.components.shape == (136, 6)
    np.testing.assert_allclose(basis.components.T @ basis.components, np.eye(6), atol=1e-5)
    store = ClipStore(path)
    train = (path.parent / "splits" / "train.txt").read_text().split()
    moved = np.concatenate([clip_motion(store[id], store.size)[0] for id in train])
    coefficients = basis.project(moved)
    np.testing.assert_allclose(coefficients.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(coefficients.var(0), basis.eigenvalues, rtol=1e-3, atol=1e-7)
    with np.load(tmp_path / "pca.npz") as file:
        shares = file["explained_variance"]
        assert file["clips"] == len(train) == 4
    expected = (
        np.linalg.svd(moved - moved.mean(0), compute_uv=False)[:6] ** 2 / ((moved - moved.mean(0)) ** 2).sum()
    )
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-6)
    assert shares[0] > 0.8  # the drawn mouths only open and close


def test_components_open_the_mouth(path, tmp_path):
    basis = fit(path, tmp_path / "pca.npz", "--components", "2")
    with np.load(tmp_path / "pca.npz") as file:
        rest = file["rest_shape"]
    wide, closed = (
        rest + basis.reconstruct(c * np.sqrt(basis.eigenvalues)) for c in (np.r_[2, 0], np.r_[-1, 0])
    )
    assert mouth_opening(wide.reshape(68, 2)) > mouth_opening(closed.reshape(68, 2)) + 0.05
    assert 0 < basis.rest_opening < 0.05


def test_the_basis_can_say_no_motion(path, tmp_path):
    basis = fit(path, tmp_path / "pca.npz", "--components", "2")
    still = np.zeros(136, np.float32)
    assert np.abs(basis.mean).max() > 1e-3  # the drawn mouths are open more often than shut
    np.testing.assert_allclose(basis.reconstruct(basis.project(still)), still, atol=1e-6)


def test_test_clips_do_not_count(path, tmp_path):
    one = fit(path, tmp_path / "one.npz", "--splits", str(path.parent / "splits"))
    everything = fit(path, tmp_path / "all.npz")
    assert np.abs(one.mean - everything.mean).max() > 1e-5


def test_a_basis_knows_the_clips_that_it_was_fit_on(path, tmp_path):
    out, lists = tmp_path / "pca.npz", path.parent / "splits"
    fit(path, out, "--splits", str(lists))
    store, train = ClipStore(path), (lists / "train.txt").read_text().split()
    refuse_leaks(out, held_out(store, "grid", lists))
    with np.load(out) as file:
        assert file["ids"].tolist() == sorted(train) and file["ids_hash"] == ids_hash(train)
    with pytest.raises(UserError, match=rf"pca\.npz.*{train[1]}.*--splits") as refused:
        refuse_leaks(out, ["s9/other", train[1]])
    assert "\n" not in str(refused.value)
    make_basis().save(tmp_path / "old.npz")
    refuse_leaks(tmp_path / "old.npz", train)  # files of before do not tell


def test_a_damaged_basis_is_one_line(tmp_path):
    out = tmp_path / "pca.npz"
    make_basis().save(out, ids=np.array([f"s1/{number}" for number in range(100)]))
    whole = out.read_bytes()
    with ZipFile(out) as file:
        places = {name: file.getinfo(f"{name}.npy").header_offset + 60 for name in ("mean", "ids")}
    for name, read in dict(mean=LandmarkBasis.load, ids=lambda path: refuse_leaks(path, ["s2/a"])).items():
        for size in (8, 100):
            place = places[name]
            out.write_bytes(whole[:place] + b"\xff" * size + whole[place + size :])
            with pytest.raises(UserError, match="no landmark basis") as refused:
                read(out)
            assert "\n" not in str(refused.value)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"array\.npy: no landmark basis"):
        LandmarkBasis.load(tmp_path / "array.npy")


def test_the_picture_and_the_default_name(path):
    pca.main(pca.parse_args([str(path), "--components", "3"]))
    LandmarkBasis.load(path.with_name("a_pca.npz"))
    width, height = Image.open(path.with_name("a_pca.png")).size
    assert width > 5 * pca.TILE and height > 3 * pca.TILE


def test_mistakes(path, tmp_path):
    for options, message in (
        (["none.h5", "a.npz"], "no such clip store"),
        ([str(path), "a.txt"], "ends so"),
        ([str(path), "a.npz", "--components", "0"], "from 1 to 136"),
        ([str(path), str(tmp_path / "a.npz"), "--dataset", "lrw"], "none of its 6 clips"),
    ):
        with pytest.raises(UserError, match=message):
            pca.main(pca.parse_args(options))
