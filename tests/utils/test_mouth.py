"""The mouth crop: where it lies, that it follows the face, and what it leaves alone."""

import numpy as np
import pytest
import torch

from tests.synthetic import draw_face, talking_landmarks
from utils.face.alignment import apply_transform, invert_transform
from utils.face.landmarks import MOUTH, TEMPLATE, to_crop_size
from utils.face.mouth import cut_mouths, mouth_window


def in_crop(landmarks: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Where face-crop landmarks lie in the mouth crop"""
    return apply_transform(invert_transform(window), landmarks)


def test_the_box_is_the_originals():
    """In the LRW frame the mouth's centre is at (128.5, 159), the box from (59, 95) to (195, 231): 112 pixels of it."""
    mouth = in_crop(TEMPLATE, mouth_window(TEMPLATE[None]))[MOUTH[:12]].mean(0)
    scale = 112 / 136
    expected = np.array([(128.5 - 59) * scale, (159 - 95) * scale]) - 0.5
    np.testing.assert_allclose(mouth, expected, atol=0.1)


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize(("mouth_size", "view"), [(112, 1.0), (64, 0.7)])
def test_any_size_of_face_shows_the_same(size, mouth_size, view):
    small = in_crop(TEMPLATE, mouth_window(TEMPLATE[None], mouth_size, view))
    points = to_crop_size(TEMPLATE, size)
    np.testing.assert_allclose(
        in_crop(points, mouth_window(points[None], mouth_size, view)), small, atol=0.01
    )
    half = np.abs(small[MOUTH] - (mouth_size - 1) / 2).max()
    assert half < mouth_size / 2  # the mouth is inside


def test_the_window_follows_a_face_elsewhere_and_stands_still_while_it_talks():
    landmarks, _ = talking_landmarks(30, 1)
    moved = 1.3 * landmarks + [10, -20]
    for one in (landmarks, moved):
        assert abs(in_crop(one.mean(0), mouth_window(one))[MOUTH].mean() - 55.5) < 6
    np.testing.assert_allclose(
        in_crop(moved, mouth_window(moved)), in_crop(landmarks, mouth_window(landmarks)), atol=0.05
    )


def test_what_is_cut_is_what_is_there():
    landmarks, opening = talking_landmarks(12, 0)
    frames = torch.from_numpy(np.stack([draw_face(p, (180, 150, 120), 128) for p in landmarks])).movedim(
        -1, 1
    )
    window = mouth_window(landmarks)
    mouths = cut_mouths(frames, window)
    assert mouths.shape == (12, 112, 112) and mouths.dtype == torch.uint8
    dark = (mouths < 40).sum((1, 2)).numpy()  # the inside of the mouth
    assert np.corrcoef(dark, opening)[0, 1] > 0.98 and dark[opening.argmax()] > 3 * dark[opening.argmin()]
    assert abs(int(mouths[0, 40, 20]) - (0.299 * 180 + 0.587 * 150 + 0.114 * 120)) < 1  # a cheek, grey


def test_a_smaller_crop_is_averaged_down():
    frames = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    frames[..., ::2] = 255  # stripes that sampling every other pixel would turn into flat black or white
    mouths = cut_mouths(frames, mouth_window(TEMPLATE[None], 24), 24).float()
    assert (mouths - 127.5).abs().max() < 45


def test_beyond_the_face_crop_its_edge_goes_on():
    frames = torch.full((1, 3, 128, 128), 200, dtype=torch.uint8)
    assert (cut_mouths(frames, mouth_window(TEMPLATE[None] + 30.0)) == 200).all()
