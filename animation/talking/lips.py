"""Somebody's mouth and jaw in a video, brought to rest and moved by other speech, while the head does what it did.

Landmarks here are normalised, (T, 68, 2) in the aligned crop of each frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from utils.audio import FPS
from utils.face.alignment import apply_transform, fit_similarity, invert_transform, motion
from utils.face.landmarks import MOUTH, STABLE, smooth

LOWER = [*range(3, 14), *MOUTH]  # the points that speech moves: the jaw between the ears, and the mouth
STEADY = 2.0  # frames, over which the pose is smoothed
NOISE = 0.01  # half crop sizes, by which landmarks tremble: a pose that moves them less is not told from that
NOSE_TIP, JAW_ENDS = [30, 33], [0, 1, 2, 14, 15, 16]


class RestingFace:
    """What a face is like in each frame of a shot with its mouth at rest.

    rest (136,): the face with the least open mouth, as the stores' `motion` finds it. A similarity brings it to each
    frame by nose and eye corners; what turning and nodding do to the mouth beyond that is learnt from the shot itself,
    by ridge regression on where the nose's tip and the jaw's ends lie.
    """

    def __init__(self, landmarks: np.ndarray) -> None:
        """landmarks (T, 68, 2) of all frames of the shot"""
        self.landmarks = landmarks
        _, self.rest = motion(landmarks.reshape(len(landmarks), 136))
        rest = self.rest.reshape(68, 2)
        stable = np.broadcast_to(rest[STABLE], (len(landmarks), len(STABLE), 2))
        self.placed = fit_similarity(stable, landmarks[:, STABLE])
        self.placed = smooth(self.placed, STEADY / 2)
        away = apply_transform(invert_transform(self.placed), landmarks) - rest
        self.moved_by_pose = _turned(away)

    def speaking(self, frame: int, moved: np.ndarray) -> np.ndarray:
        """moved (136,), what speech adds to a face at rest -> the frame's landmarks (136,), its mouth saying that"""
        target = self.landmarks[frame].copy()
        face = (self.rest + moved).reshape(68, 2)[LOWER] + self.moved_by_pose[frame]
        target[LOWER] = apply_transform(self.placed[frame], face)
        return target.reshape(136)


def _turned(away: np.ndarray) -> np.ndarray:
    """away (T, 68, 2), from the face at rest and in its place -> (T, 31, 2): what the pose does to its lower part"""
    tip = away[:, NOSE_TIP].mean(1)
    pose = smooth(np.column_stack([tip, away[:, JAW_ENDS, 0].mean(1)]), STEADY)  # (T, 3)
    lower = away[:, LOWER].reshape(len(away), -1)
    centred, mean = pose - pose.mean(0), lower.mean(0)  # the mean mouth is open, which no pose explains
    ridge = len(pose) * NOISE**2 * np.eye(pose.shape[1])
    weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (lower - mean))
    return (pose @ weights).reshape(len(away), len(LOWER), 2)


def at_rate(pieces: Iterable[np.ndarray], rate: Fraction) -> Iterator[np.ndarray]:
    """pieces (k, D), 25 rows a second -> rows (D,) at `rate`, interpolated, as long as the pieces to within a row"""
    last: list[np.ndarray] = []  # rows number first, first + 1, ...
    first, made = 0, 0
    step = Fraction(FPS) / rate
    for piece in pieces:
        last.extend(piece)
        while (place := made * step) + 1 <= first + len(last) - 1:
            below = int(place)
            share = float(place - below)
            yield (1 - share) * last[below - first] + share * last[below - first + 1]
            made += 1
        drop = min(int(made * step) - first, len(last) - 1)
        del last[: max(0, drop)]
        first += max(0, drop)
    while last and (place := made * step) < first + len(last):
        below = int(place) - first
        share, above = float(place - int(place)), min(below + 1, len(last) - 1)
        yield (1 - share) * last[below] + share * last[above]
        made += 1
