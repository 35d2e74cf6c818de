"""Blinks: natural times, the same in pieces as at once, lids alone, and eyes that never turn inside out."""

from itertools import islice

import numpy as np
import pytest

from animation.blinks import LOWER_LIDS, UPPER_LIDS, blink_stream, close_lids, closing, lid_closings
from utils.face.landmarks import TEMPLATE, eye_openness, normalise

FRAMES = 25 * 600


def closings(seed: int, frames: int = FRAMES) -> np.ndarray:
    return np.array([*islice(lid_closings(seed), frames)])


def starts(closed: np.ndarray) -> np.ndarray:
    """The first frames of blinks"""
    return np.flatnonzero((closed[1:] > 0) & (closed[:-1] == 0)) + 1


@pytest.mark.parametrize("seed", range(5))
def test_times_are_natural(seed):
    closed = closings(seed)
    begun = starts(closed)
    intervals = np.diff(begun) / 25
    assert begun[0] >= 12 and intervals.min() >= 0.5 and 3 < intervals.mean() < 5
    assert intervals.std() > 1 and np.median(intervals) < intervals.mean()
    assert closed.min() >= 0 and closed.max() <= 1
    for one in begun[:-1]:
        blink = closed[one : one + 8]
        assert blink.max() > 0.95 and 3 <= (blink > 0.5).sum() <= 5 and closed[one + 8] == 0


def test_many_seeds_never_blink_at_once_or_twice_within_half_a_second():
    for seed in range(300):
        begun = starts(closings(seed, 750))
        assert begun[0] >= 12 and (np.diff(begun) > 12).all()


def test_seeds_differ_and_repeat():
    assert np.array_equal(closings(3, 500), closings(3, 500))
    assert not np.array_equal(closings(3, 500), closings(4, 500))


@pytest.mark.parametrize("sizes", [[1] * 200, [16] * 12 + [8], [0, 199, 1], [77, 0, 123]])
def test_pieces_equal_the_whole(sizes):
    moving = normalise(TEMPLATE) + 0.01 * np.random.default_rng(0).normal(size=(200, 136)).astype(np.float32)
    whole = np.concatenate([*blink_stream([moving], 1)])
    pieces = [*blink_stream(np.split(moving, np.cumsum(sizes)[:-1]), 1)]
    assert [len(piece) for piece in pieces] == sizes and whole.dtype == pieces[0].dtype == np.float32
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(starts(np.abs(whole - moving).max(1))) >= 2


def test_lids_alone_move_and_close_as_far_as_dlib_sees_closed_eyes():
    still = np.repeat(normalise(TEMPLATE)[None], 9, 0)
    closed = close_lids(still, np.linspace(0, 1, 9, dtype=np.float32)).reshape(-1, 68, 2)
    others = [point for point in range(68) if point not in UPPER_LIDS + LOWER_LIDS]
    assert np.array_equal(closed[0], still[0].reshape(68, 2))
    assert np.array_equal(closed[:, others], still.reshape(-1, 68, 2)[:, others])
    openness = eye_openness(closed) / eye_openness(TEMPLATE)
    assert (np.diff(openness) < 0).all() and 0.35 < openness[-1] < 0.5
    risen, fallen = np.abs(closed[-1] - closed[0])[LOWER_LIDS, 1], (closed[-1] - closed[0])[UPPER_LIDS, 1]
    assert (fallen > 5 * risen).all()


def test_narrow_eyes_do_not_turn_inside_out():
    narrow = close_lids(normalise(TEMPLATE)[None], np.ones(1, np.float32))
    for _ in range(3):
        narrow = close_lids(narrow, np.ones(1, np.float32))
    points = narrow.reshape(68, 2)
    assert (points[LOWER_LIDS, 1] >= points[UPPER_LIDS, 1]).all()


def test_lids_fall_faster_than_they_rise():
    times = np.linspace(-1, 8, 901)
    closed = np.array([closing(time) for time in times])
    top = np.flatnonzero(closed > 0.99)
    shut = times[top[0]], times[top[-1]]
    assert closed[0] == closed[-1] == 0 and 0 < shut[0] < 7 - shut[1] and np.abs(np.diff(closed)).max() < 0.01
