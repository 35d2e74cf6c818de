"""Mouths at rest in a head that moves, and motion at any rate of frames."""

from fractions import Fraction

import numpy as np
import pytest

from animation.talking.lips import LOWER, RestingFace, at_rate
from animation.talking.shots import FADE, face_spans, find_shots
from utils.face.alignment import apply_transform
from utils.face.landmarks import LOWER_INNER_LIP, MOUTH, TEMPLATE, denormalise, mouth_opening, normalise

FACE = normalise(TEMPLATE).reshape(68, 2)
DEPTH = np.zeros(68)  # of the points before the plane of the eyes, in half crop sizes
DEPTH[27:36] = [0.1, 0.2, 0.3, 0.4, 0.2, 0.22, 0.25, 0.22, 0.2]
DEPTH[MOUTH] = 0.2
DEPTH[:17] = [-0.5, -0.45, -0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.15, 0.1, 0, -0.1, -0.2, -0.3, -0.4, -0.45, -0.5]


def talking(frames: int, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A face (T, 68, 2) that opens its mouth now and then while the head turns, and the same with its mouth shut"""
    time = np.arange(frames)
    opening = np.maximum(0, np.sin(time / 3.1)) * 0.06
    angle = turn * np.sin(time / 17)
    shut = np.repeat(FACE[None], frames, 0).copy()
    shut[..., 0] = shut[..., 0] * np.cos(angle)[:, None] + DEPTH * np.sin(angle)[:, None]
    said = shut.copy()
    said[:, LOWER_INNER_LIP, 1] += opening[:, None]
    said[:, 55:60, 1] += opening[:, None]
    said[:, 6:11, 1] += 0.7 * opening[:, None]
    noise = np.random.default_rng(0).normal(0, 0.002, said.shape)
    return (said + noise).astype(np.float32), shut


def test_the_new_speech_replaces_the_old_and_nothing_else():
    said, shut = talking(120)
    face = RestingFace(said)
    moved = np.zeros((68, 2), np.float32)
    moved[LOWER_INNER_LIP, 1] = 0.05
    for frame in (0, 33, 60, 119):
        made = face.speaking(frame, moved.reshape(136)).reshape(68, 2)
        expected = shut[frame] + moved
        assert np.abs(made[LOWER] - expected[LOWER]).max() < 0.02
        others = [i for i in range(68) if i not in LOWER]
        np.testing.assert_array_equal(made[others], said[frame, others])


@pytest.mark.parametrize("degrees", [0, 12, 20])
def test_a_turning_head_takes_its_resting_mouth_along(degrees):
    said, shut = talking(250, np.radians(degrees))
    face = RestingFace(said)
    made = np.stack([face.speaking(i, np.zeros(136, np.float32)).reshape(68, 2) for i in range(250)])
    assert np.abs(made[:, MOUTH] - shut[:, MOUTH]).mean() < 0.008
    assert mouth_opening(made).std() < 0.2 * mouth_opening(said).std()
    if degrees:  # what a face of one shape would do
        plain = np.stack([apply_transform(place, face.rest.reshape(68, 2)) for place in face.placed])
        assert (
            np.abs(plain[:, MOUTH] - shut[:, MOUTH]).mean()
            > 2 * np.abs(made[:, MOUTH] - shut[:, MOUTH]).mean()
        )


@pytest.mark.parametrize("rate", [25, 30, Fraction(30000, 1001), 12, 60])
@pytest.mark.parametrize("length", [1, 16, 40])
def test_motion_keeps_its_time_at_any_rate(rate, length):
    rows = np.arange(40, dtype=np.float64)[:, None] * np.ones(3)
    made = np.stack(list(at_rate((rows[i : i + length] for i in range(0, 40, length)), Fraction(rate))))
    assert len(made) == -(-40 * Fraction(rate) // 25)
    np.testing.assert_allclose(made[:, 0], np.minimum(np.arange(len(made)) * 25 / float(rate), 39), atol=1e-9)


def pixels(frames: int, left: float = 100.0, size: float = 1.0) -> np.ndarray:
    return np.repeat(size * TEMPLATE[None] + [left, 50], frames, 0).astype(np.float32)


def test_shots_end_where_a_face_leaves_or_jumps():
    points = np.concatenate([pixels(20), pixels(15, left=400), np.full((10, 68, 2), np.nan), pixels(12)])
    points[5:8] = np.nan  # a gap that is bridged
    assert face_spans(points) == [(0, 20), (20, 35), (45, 57)]
    shots = find_shots(points.astype(np.float32), 128)
    assert [(shot.start, shot.stop) for shot in shots] == [(0, 20), (20, 35), (45, 57)]
    assert (shots[0].strength == 1).all()
    assert shots[1].strength[-1] < 0.3 and (shots[1].strength[:-FADE] == 1).all()
    assert shots[2].strength[0] < 0.3 and (shots[2].strength[FADE:] == 1).all()
    placed = denormalise(shots[0].face.landmarks[0].reshape(136))
    assert np.abs(placed - TEMPLATE).max() < 1


def test_small_faces_and_short_shots_are_left_out():
    assert find_shots(pixels(20, size=0.2), 128) == []
    assert find_shots(np.concatenate([np.full((9, 68, 2), np.nan, np.float32), pixels(4)]), 128) == []
