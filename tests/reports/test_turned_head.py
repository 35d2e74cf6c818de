"""Turning a head: nothing at 0 degrees, known points by a known angle, and a mirrored head the other way."""

import numpy as np
import pytest

from reports.turned_head import AXIS, DEPTHS, turn_head, turned_places
from tests.synthetic import draw_face
from utils.face.landmarks import TEMPLATE, to_crop_size

LANDMARKS = to_crop_size(TEMPLATE.astype(float), 128) * 0.4 + 38
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
            45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
            54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip


@pytest.fixture
def photo() -> np.ndarray:
    return draw_face(LANDMARKS, (200, 150, 120), 128)


def test_no_turn_leaves_the_photo(photo):
    turned = turn_head(photo, LANDMARKS, 0)
    assert np.abs(turned.astype(int) - photo).mean() < 1
    x, _ = turned_places(photo.shape[:2], LANDMARKS, 0)
    np.testing.assert_allclose(x, np.broadcast_to(np.arange(128.0), x.shape), atol=1e-9)


@pytest.mark.parametrize("degrees", [-30, 20, 45])
def test_landmarks_go_where_a_turned_head_has_them(photo, degrees):
    x, _ = turned_places(photo.shape[:2], LANDMARKS, degrees)
    a, nose = np.deg2rad(degrees), LANDMARKS[27:36].mean(0)[0]
    unit = np.linalg.norm(LANDMARKS[16] - LANDMARKS[0])
    for number in (8, 30, 36, 45, 48, 54):
        column, row = LANDMARKS[number].round().astype(int)
        expected = nose + (column - nose) * np.cos(a) + unit * (DEPTHS[number] - AXIS) * np.sin(a)
        assert abs(x[row, column] - expected) < 1.5
    assert np.abs(x[:, 0]).max() < 1e-6 and np.abs(x[0] - np.arange(128)).max() < 1e-6  # the background stays


def test_the_picture_moves_with_them(photo):
    def mouth(picture: np.ndarray) -> float:
        return np.argwhere(np.abs(picture.astype(int) - (30, 0, 0)).max(-1) < 60)[:, 1].mean()

    assert mouth(turn_head(photo, LANDMARKS, 30)) > mouth(photo) + 3
    assert mouth(turn_head(photo, LANDMARKS, -30)) < mouth(photo) - 3


def test_the_average_head_is_symmetric():
    assert len(DEPTHS) == 68
    np.testing.assert_array_equal(DEPTHS, DEPTHS[MIRRORED])
    assert DEPTHS.argmax() == 30 and DEPTHS[[0, 16]].tolist() == [0, 0]
