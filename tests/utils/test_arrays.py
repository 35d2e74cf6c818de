import numpy as np
import pytest

from preprocess.making.clip import load_landmarks
from utils.errors import UserError
from utils.files.arrays import read_numbers


def test_missing_numbers_are_read_where_they_may_be_and_infinite_ones_never(tmp_path):
    path, values = tmp_path / "a.npy", np.array([1.0, np.nan])
    np.save(path, values)
    np.testing.assert_array_equal(read_numbers(path, "numbers", "give some", missing=True), values)
    with pytest.raises(UserError, match=r"a\.npy: has numbers that are not finite; give some"):
        read_numbers(path, "numbers", "give some")
    np.save(path, np.array([np.nan, -np.inf]))
    with pytest.raises(UserError, match=r"a\.npy: has numbers that are infinite; give some"):
        read_numbers(path, "numbers", "give some", missing=True)


def test_landmarks_of_frames_without_a_face_are_missing_and_anything_else_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    points = np.random.default_rng(0).uniform(0, 99, (3, 68, 2))
    points[1] = np.nan
    np.save(path, points)
    assert load_landmarks(path).dtype == np.float32
    np.testing.assert_array_equal(load_landmarks(path), points.astype(np.float32))
    for wrong in (np.full((3, 68, 2), np.inf), np.zeros((3, 68, 3)), np.zeros((3, 68, 2), bool)):
        np.save(path, wrong)
        with pytest.raises(UserError, match=r"a\.npy: "):
            load_landmarks(path)
    with path.open("wb") as file:  # an archive with another's name
        np.savez(file, points=points)
    with pytest.raises(UserError, match=r"a\.npy: no landmarks can be read"):
        load_landmarks(path)
