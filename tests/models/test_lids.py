"""Lids: open eyes are the warp's own, closed ones show skin at any size, and nothing explodes on the way."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from animation.blinks import LOWER_LIDS, UPPER_LIDS, close_lids
from models.lids import BOXES, cover_closed, covers, open_lids, seal_lips
from models.warp import landmark_sampling, pixel_grid, sample
from utils.face.landmarks import TEMPLATE, normalise

FACE = normalise(TEMPLATE)


def lidded_sampling(source: torch.Tensor, target: torch.Tensor, size: int) -> torch.Tensor:
    opened, eyes = open_lids(source, target)
    skin = covers([*eyes, seal_lips(source, target)], size)
    return cover_closed(landmark_sampling(source, opened, size), skin)


SHARES = np.linspace(0, 1, 6, dtype=np.float32)


def blink() -> tuple[torch.Tensor, torch.Tensor]:
    """Example landmarks (1, 136), and a closing eye's (1, 6, 136)"""
    return torch.from_numpy(FACE)[None], torch.from_numpy(close_lids(np.repeat(FACE[None], 6, 0), SHARES))[
        None
    ]


def eye_pixels(size: int, low: float, high: float) -> torch.Tensor:
    """(S, S) bool: between heights of the gap between the lids' middles, 0 at the upper one, in the middles' columns"""
    grid, points = pixel_grid(size, size, torch.zeros(1)), torch.from_numpy(FACE.reshape(68, 2))
    chosen = torch.zeros(size, size, dtype=torch.bool)
    for eye in (slice(0, 2), slice(2, 4)):
        upper, lower = points[UPPER_LIDS[eye]], points[LOWER_LIDS[eye]]
        top, gap = upper[:, 1].mean(), lower[:, 1].mean() - upper[:, 1].mean()
        rows = (grid[..., 1] > top + low * gap) & (grid[..., 1] < top + high * gap)
        chosen |= rows & (grid[..., 0] > upper[0, 0]) & (grid[..., 0] < upper[1, 0])
    return chosen


def test_open_eyes_are_as_the_warp_has_them():
    source, _ = blink()
    wide = FACE.reshape(68, 2).copy()
    wide[UPPER_LIDS, 1] -= 0.03
    wide[48:68, 1] += 0.02
    target = torch.from_numpy(np.stack([FACE, wide.reshape(136)]))[None].float()
    expected = landmark_sampling(source, target, 64)
    torch.testing.assert_close(lidded_sampling(source, target, 64), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [128, 400])
def test_closed_eyes_show_skin_from_above_the_eye(size):
    source, targets = blink()
    before = lidded_sampling(source, targets[:, :1], size)[0, 0]
    shut = lidded_sampling(source, targets[:, -1:], size)[0, 0]
    eye = eye_pixels(size, 0.15, 0.95)
    assert eye.sum() > 10
    upper = min(FACE.reshape(68, 2)[UPPER_LIDS, 1].tolist())
    assert (shut[eye][:, 1] < upper + 0.03).all() and (before[eye][:, 1] > upper).all()


def test_lids_come_down_step_by_step_and_move_nothing_else():
    source, targets = blink()
    sampling = lidded_sampling(source, targets, 128)
    moved = (sampling - sampling[:, :1]).abs().amax(-1)[0]  # (6, 128, 128)
    covered = (moved > 0.02).sum((1, 2))
    assert (covered.diff() >= 0).all() and covered[-1] > 200 and moved.max() < 0.25
    outside = torch.ones(128, 128, dtype=torch.bool)
    for (top, bottom), (left, right) in BOXES:
        outside[round(128 * top) : round(128 * bottom), round(128 * left) : round(128 * right)] = False
    assert moved[:, outside].max() < 5e-3  # what the lower lid does
    brows = pixel_grid(128, 128, torch.zeros(1))[..., 1] < float(FACE[35:54:2].max())
    assert moved[:, brows].max() < 0.02  # half way up to the brows the skin ends that comes down


def test_the_eyeball_stays_where_it_is_while_the_lid_comes():
    source, targets = blink()
    sampling = lidded_sampling(source, targets[:, :3], 128)
    seen = eye_pixels(128, 0.7, 1.0)
    torch.testing.assert_close(sampling[0, 2][seen], sampling[0, 0][seen], rtol=0, atol=0.01)


def test_points_that_meet_do_not_explode():
    """As they would in a thin-plate spline, which cannot fold"""
    source, _ = blink()
    for amount in (1.0, 1.3):
        points = FACE.reshape(68, 2).copy()
        points[UPPER_LIDS] += amount * (points[LOWER_LIDS] - points[UPPER_LIDS])
        target = torch.from_numpy(points.reshape(1, 1, 136))
        moved = lidded_sampling(source, target, 64) - pixel_grid(64, 64, target)
        assert moved.abs().max() < 0.25


def test_the_astronaut_shuts_her_eyes(detector_landmarks):
    """The whites and irises go: what the eyes' places show then is as bright as skin"""
    image, landmarks = detector_landmarks
    source = torch.from_numpy(normalise(landmarks))[None]
    targets = torch.from_numpy(close_lids(normalise(landmarks)[None], np.ones(1, np.float32)))[None]
    picture = torch.from_numpy(image).movedim(-1, 0)[None].float() / 127.5 - 1
    shown = sample(picture, lidded_sampling(source, targets, 128))[0, 0]
    top, bottom = landmarks[UPPER_LIDS, 1].min(), landmarks[LOWER_LIDS, 1].max()
    for left, right in ((36, 39), (42, 45)):
        box = (slice(None), slice(int(top), int(bottom)), slice(*landmarks[[left, right], 0].astype(int)))
        assert shown[box].std() < 0.75 * picture[0][box].std()


def lips(gap: float) -> torch.Tensor:
    """The average face (136,) with its inner lips so far apart, in half image sizes"""
    points = FACE.reshape(68, 2).copy()
    middle = (points[[61, 62, 63], 1] + points[[67, 66, 65], 1]) / 2
    points[[61, 62, 63], 1], points[[67, 66, 65], 1] = middle - gap / 2, middle + gap / 2
    return torch.from_numpy(points.reshape(136))


@pytest.mark.parametrize(
    ("shown", "wanted", "sealed"), [(0.02, 0.02, 0), (0.1, 0.08, 0), (0.1, 0.02, 1), (0.1, 0.0, 1)]
)
def test_lips_seal_where_the_example_shows_teeth_and_the_target_none(shown, wanted, sealed):
    source, target = lips(shown)[None], lips(wanted)[None, None]
    assert seal_lips(source, target).closed.item() == pytest.approx(sealed, abs=0.05)


def test_sealed_lips_show_no_teeth():
    """What lay between the example's lips is nowhere to be seen; the warp alone squeezes it to a line."""
    source, target = lips(0.1)[None], lips(0.02)[None, None]
    image, between = torch.zeros(1, 3, 128, 128), pixel_grid(128, 128, torch.zeros(1))
    points = source.view(68, 2)
    inside = (between[..., 0] - points[62, 0]).abs() < 0.12
    inside &= (between[..., 1] > points[62, 1] + 0.02) & (between[..., 1] < points[66, 1] - 0.02)
    image[..., inside] = 1
    warped = sample(image, landmark_sampling(source, target, 128))
    sealed = sample(image, lidded_sampling(source, target, 128))
    assert warped.sum() > 100 and sealed.sum() < 0.15 * warped.sum()


@pytest.fixture(scope="module")
def detector_landmarks() -> tuple[np.ndarray, np.ndarray]:
    from utils.face.alignment import apply_transform, crop_face, crop_transforms
    from utils.face.detector import FaceDetector, find_face

    found, _ = find_face(astronaut(), FaceDetector())
    transform = crop_transforms(found[None])[0]
    return crop_face(astronaut(), transform, 128), apply_transform(transform, found)
