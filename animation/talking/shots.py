"""Where a video shows somebody's face, shot by shot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from animation.talking.lips import RestingFace
from utils.face.alignment import LARGEST_ZOOM, apply_transform, crop_transforms
from utils.face.detector import LONGEST_GAP, fill_gaps, overlap
from utils.face.landmarks import denoise, normalise

SHORTEST = 5  # frames that show the face, below which a shot stays as it is
SAME_PLACE = 0.3  # overlap of two frames' faces, below which another shot begins
FADE = 4  # frames, in which new lips come and go where a face comes and goes


class Shot(NamedTuple):
    """Frames `start` to `stop` of a video, whose face is followed: transforms (n, 2, 3) from picture to crop pixels.

    strength (n,): how much of the new speech the lips show, less where the face comes into sight and leaves it.
    """

    start: int
    stop: int
    transforms: np.ndarray
    face: RestingFace
    strength: np.ndarray


def find_shots(points: np.ndarray, size: int) -> list[Shot]:
    """points (T, 68, 2) in picture pixels, NaN where no face is seen -> the shots, for crops of `size` pixels

    Gaps of some frames are bridged; left out are shots of very few frames and those whose face is too small.
    """
    shots = []
    spans = face_spans(points)
    edges = [0] + [edge for start, stop in spans for edge in (start, stop)] + [len(points)]
    for number, (start, stop) in enumerate(spans):
        found = fill_gaps(points[start:stop])
        transforms = crop_transforms(found, size)
        zoom = float(np.median(np.hypot(transforms[:, 0, 0], transforms[:, 1, 0]))) * 128 / size
        if stop - start < SHORTEST or zoom > LARGEST_ZOOM:
            continue
        landmarks = normalise(denoise(apply_transform(transforms, found)), size).reshape(-1, 68, 2)
        strength = np.ones(stop - start, np.float32)
        ramp = np.arange(1, FADE + 1, dtype=np.float32) / (FADE + 1)
        ramp = ramp[: (stop - start) // 2]
        if edges[2 * number] < start:  # frames without a face before it
            strength[: len(ramp)] = ramp
        if edges[2 * number + 3] > stop:
            strength[len(strength) - len(ramp) :] = ramp[::-1]
        shots.append(Shot(start, stop, transforms, RestingFace(landmarks), strength))
    return shots


def face_spans(points: np.ndarray) -> list[tuple[int, int]]:
    """points (T, 68, 2), NaN where unseen -> (start, stop) of stretches that show one face in its place"""
    spans: list[list[int]] = []
    before = None
    for frame in np.flatnonzero(~np.isnan(points).any(axis=(1, 2))):
        box = (*points[frame].min(0), *points[frame].max(0))
        near = (
            before is not None and frame - spans[-1][1] <= LONGEST_GAP and overlap(box, before) >= SAME_PLACE
        )
        if near:
            spans[-1][1] = int(frame) + 1
        else:
            spans.append([int(frame), int(frame) + 1])
        before = box
    return [(start, stop) for start, stop in spans]
