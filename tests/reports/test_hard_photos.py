"""Photos that are hard to animate: what each change does, and that it does nothing else."""

import numpy as np

from reports.hard_photos import as_cartoon, grey, in_the_dark, small, with_scarf
from tests.synthetic import draw_face
from utils.face.landmarks import TEMPLATE, to_crop_size

LANDMARKS = to_crop_size(TEMPLATE.astype(float), 128)
PHOTO = draw_face(LANDMARKS, (200, 150, 120), 128)


def test_a_scarf_covers_the_mouth_and_leaves_the_eyes():
    covered = with_scarf(PHOTO, LANDMARKS)
    changed = np.abs(covered.astype(int) - PHOTO).max(-1) > 10
    columns, rows = LANDMARKS.round().astype(int).T
    assert changed[rows[48:68], columns[48:68]].all()
    assert not changed[: int(LANDMARKS[30, 1])].any()


def test_darkness_is_dark_and_the_same_every_time():
    dark = in_the_dark(PHOTO, 0.1)
    assert abs(dark.mean() - 0.1 * PHOTO.mean()) < 2
    np.testing.assert_array_equal(dark, in_the_dark(PHOTO, 0.1))


def test_a_small_face_has_no_fine_detail_and_a_cartoon_few_colours():
    noisy = np.clip(PHOTO + np.random.default_rng(0).normal(0, 20, PHOTO.shape), 0, 255).astype(np.uint8)
    fewer = small(noisy, LANDMARKS, 12)
    assert fewer.shape == noisy.shape and np.diff(fewer.astype(int), axis=0).std() < 5
    assert (
        len(np.unique(as_cartoon(noisy).reshape(-1, 3), axis=0))
        < 100
        < len(np.unique(noisy.reshape(-1, 3), axis=0))
    )
    assert np.ptp(grey(noisy), axis=2).max() == 0
