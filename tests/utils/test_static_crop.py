import numpy as np
import pytest

from tests.synthetic import draw_face, talking_landmarks
from utils.errors import UserError
from utils.face.alignment import (
    LARGEST_ROOM,
    SQUARE,
    apply_transform,
    crop_face,
    denoise_moving,
    invert_transform,
    static_transform,
)
from utils.face.landmarks import BROWS, TEMPLATE, denoise

PICTURE = (640, 480)
CORNERS = np.array([[-0.5, -0.5], [127.5, 127.5]])


def moving(
    shifts: np.ndarray, turns: np.ndarray | float = 0.0, scale: float = 1.0, place=(260, 180)
) -> np.ndarray:
    """The template's face (T, 68, 2), shifted by shifts (T, 2) pixels and turned by so many radians"""
    turns = np.broadcast_to(turns, len(shifts))
    linear = scale * np.stack([np.cos(turns), -np.sin(turns), np.sin(turns), np.cos(turns)], -1).reshape(
        -1, 2, 2
    )
    face = (TEMPLATE - TEMPLATE.mean(0)) @ linear.transpose(0, 2, 1)
    return (face + np.asarray(place) + shifts[:, None]).astype(np.float32)


def sway(frames: int, pixels: float) -> np.ndarray:
    return pixels * np.stack([np.sin(np.arange(frames) / 5), np.cos(np.arange(frames) / 7)], -1)


def test_a_still_head_gets_the_originals_square():
    points = moving(np.zeros((5, 2)))
    transform = static_transform(points, 128, PICTURE)
    face = max(np.ptp(points[0], axis=0))
    assert transform[0, 0] == transform[1, 1] == pytest.approx(128 / (SQUARE * face))
    assert transform[0, 1] == transform[1, 0] == 0
    eyes = apply_transform(transform, points)[:, 36:48].mean((0, 1))
    assert np.abs(eyes + 0.5 - 128 * np.array([100, 80]) / 205).max() < 8  # moved a little to hold the hair


@pytest.mark.parametrize("pixels", [0, 20, 40, 60])
def test_heads_stay_in_their_square(pixels):
    frames = 60
    points = moving(sway(frames, pixels), 0.2 * np.sin(np.arange(frames) / 4))
    transform = static_transform(points, 128, PICTURE)
    crop = apply_transform(transform, points)
    width = np.linalg.norm(crop[:, 16] - crop[:, 0], axis=1)
    top = crop[:, 27, 1] - 0.85 * width  # hair, by the root of the nose
    assert crop.min() >= 0 and crop.max() <= 127 and top.min() >= 0
    edges = apply_transform(invert_transform(transform), CORNERS)
    assert (edges[0] >= -0.51).all() and (edges[1] <= np.array(PICTURE) - 0.49).all()  # nothing from beyond


def test_what_moves_more_gets_a_larger_square_but_not_any():
    zooms = [static_transform(moving(sway(60, pixels)), 128, (2000, 2000))[0, 0] for pixels in (0, 15, 90)]
    assert zooms[0] == pytest.approx(zooms[1]) and zooms[2] < 0.9 * zooms[1]
    with pytest.raises(UserError, match="the head moves so far"):
        static_transform(moving(sway(60, 100 * LARGEST_ROOM), place=(900, 900)), 128, (2000, 2000))


def test_a_tight_picture_is_taken_whole_and_its_edge_repeated_where_the_head_is_cut():
    points = talking_landmarks(6, 0, 128)[0]
    assert static_transform(points, 128, (128, 128)) == pytest.approx(np.eye(2, 3))
    narrow = static_transform(points - (20, 0), 64, (90, 200))  # ears and hair lie beyond
    picture = np.full((200, 90, 3), 200, np.uint8)
    picture[:128] = np.maximum(draw_face(points[0] - (20, 0), (220, 180, 150), 128)[:, :90], 60)
    assert crop_face(picture, narrow, 64).min() > 20


def test_one_frame_is_a_photo():
    photo = moving(np.zeros((1, 2)))
    np.testing.assert_allclose(
        static_transform(photo, 256, PICTURE), static_transform(np.repeat(photo, 9, 0), 256, PICTURE)
    )


def test_motion_is_no_noise():
    random = np.random.default_rng(0)
    points = moving(sway(80, 30), 0.2 * np.sin(np.arange(80) / 3))
    noisy = points + random.normal(0, 0.5, points.shape)
    inside = slice(6, -6)  # smoothing knows less of the ends

    def error(found: np.ndarray) -> float:
        return float(np.sqrt(((found - points)[inside, BROWS] ** 2).mean()))

    assert error(denoise_moving(noisy)) < 0.6 * error(noisy)
    assert error(denoise_moving(points)) < 0.2 * error(denoise(points))
    np.testing.assert_allclose(denoise_moving(np.repeat(points[:1], 8, 0)), points[[0] * 8], atol=1e-3)
