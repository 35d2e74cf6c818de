"""Blinks: lids that close and open at natural times, added to landmarks while these stream by.

Measured on GRID: lids fall in two frames, rest for one or two, and take four to rise again; brows stay where they are.
dlib's landmarks of a closed eye do not meet but keep about 0.45 of its opening, nearly all of it by the upper lid; a
VG-net knows closed eyes as such, and its warp could not bring points together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, islice

import numpy as np

from utils.audio import FPS
from utils.face.landmarks import LOWER_LIDS, UPPER_LIDS

SHUT = 0.6  # of the gap between the lids, by which landmarks close
LOWER_SHARE = 0.05  # of that, by the lower lid
FALL, REST, RISE = 2.0, 1.0, 4.0  # frames
LEAST_INTERVAL, MEAN_INTERVAL = 1.0, 4.0  # seconds from blink to blink
FIRST = 0.5  # second, before which nobody blinks


def blink_stream(landmarks: Iterable[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """landmarks (k, 136) piece by piece -> the same, blinking; the times depend on the seed alone, not on the pieces"""
    closings = lid_closings(seed)
    for piece in landmarks:
        yield close_lids(piece, np.fromiter(islice(closings, len(piece)), np.float32, len(piece)))


def lid_closings(seed: int) -> Iterator[float]:
    """How far the lids are closed, from 0 to 1, in one frame after the other, without end"""
    random = np.random.default_rng(seed)
    start = FPS * (FIRST + random.random() * _interval(random))
    for frame in count():
        if frame > start + FALL + REST + RISE:
            start += FPS * _interval(random)
        yield closing(frame - start)


def _interval(random: np.random.Generator) -> float:
    """Seconds: many short ones and few long ones, as people have them"""
    return LEAST_INTERVAL + random.gamma(2.0, (MEAN_INTERVAL - LEAST_INTERVAL) / 2)


def closing(time: float) -> float:
    """How far the lids are closed so many frames after they began to fall, from 0 to 1"""
    share = min(time / FALL, (FALL + REST + RISE - time) / RISE, 1.0)
    share = max(share, 0.0)
    return share * share * (3 - 2 * share)


def close_lids(landmarks: np.ndarray, closings: np.ndarray) -> np.ndarray:
    """landmarks (T, 136), closings (T,) from 0 to 1 -> (T, 136): the lids nearer to each other, all else as it was

    They start from where they are, so that eyes that something else has narrowed close no further than others.
    """
    points = landmarks.reshape(-1, 68, 2)
    closed = points.copy()
    way = SHUT * closings[:, None, None] * (points[:, LOWER_LIDS] - points[:, UPPER_LIDS])
    closed[:, UPPER_LIDS] += (1 - LOWER_SHARE) * way
    closed[:, LOWER_LIDS] -= LOWER_SHARE * way
    return closed.reshape(landmarks.shape)
