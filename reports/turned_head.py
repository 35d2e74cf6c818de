"""One photo of a face, seen from the side: the head as a relief of average depth, turned about the vertical.

A stand-in for photographs from several sides, good for some 45 degrees: what the camera did not see cannot appear, and
the depth is an average person's, not this one's.
"""

from __future__ import annotations

import numpy as np

# How far each landmark lies before the ends of the jaw, as shares of the distance between these, for an average adult
# (about 140 mm from ear to ear; the nose's tip 110 mm before them). The jaw's second half mirrors its first.
HALF_JAW = [0, 5, 12, 20, 35, 52, 68, 78, 82]
BROWS = [55, 70, 79, 84, 88, 88, 84, 79, 70, 55]
NOSE = [85, 92, 101, 109, 88, 92, 96, 92, 88]
EYES = [62, 73, 73, 71, 73, 73, 71, 73, 73, 62, 73, 73]
LIPS = [78, 88, 94, 94, 94, 88, 78, 86, 90, 92, 90, 86, 79, 91, 92, 91, 79, 90, 91, 90]
DEPTHS = np.array([*HALF_JAW, *HALF_JAW[-2::-1], *BROWS, *NOSE, *EYES, *LIPS]) / 140

# Points beyond the landmarks, in face widths from the nose: the forehead, and an outline of head and hair
FOREHEAD = np.stack([np.linspace(-0.3, 0.3, 5), np.full(5, -0.62)], axis=1)
FOREHEAD_DEPTHS = np.array([0.35, 0.45, 0.48, 0.45, 0.35])
BACK = -0.35  # depth of that outline, and of what lies behind
OUTLINE = np.array([[0.85 * np.cos(a), 1.15 * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 17)[:-1]])
AXIS = 0.37  # depth of the axis of turning: about the middle of the head
WHOLE, NOTHING = (
    0.9,
    1.7,
)  # face widths from the nose up to which all turns with the head, and from which nothing does
FINER = 8  # samples of a picture's row for each of its pixels, so that stretched skin has no holes


def turn_head(photo: np.ndarray, landmarks: np.ndarray, degrees: float) -> np.ndarray:
    """photo (H, W, 3) uint8, its landmarks (68, 2) -> (H, W, 3): the head turned to the picture's right by `degrees`

    Turned about its vertical axis and seen from afar, so that every point keeps its height; the background stays.
    """
    x, depth = turned_places(photo.shape[:2], landmarks, degrees)
    width = photo.shape[1]
    columns, fine = np.arange(width), np.linspace(0, width - 1, (width - 1) * FINER + 1)
    turned = photo.copy()
    for row, colours in enumerate(photo):
        order = np.argsort(np.interp(fine, columns, depth[row]), kind="stable")  # the nearest is painted last
        place = np.interp(fine, columns, x[row]).round().astype(int)[order]
        seen = (place >= 0) & (place < width)
        samples = np.stack([np.interp(fine, columns, channel) for channel in colours.T], axis=1)[order]
        turned[row, place[seen]] = samples[seen].round()
    return turned


def turned_places(
    shape: tuple[int, int], landmarks: np.ndarray, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a photo of `shape` goes: x (H, W) in pixels, and its depth then, (H, W) in face widths"""
    height, width = shape
    nose, unit = landmarks[27:36].mean(0), np.linalg.norm(landmarks[16] - landmarks[0])
    y, x = (np.mgrid[:height, :width].astype(float) - nose[::-1, None, None]) / unit
    depth = depth_map((landmarks - nose) / unit, x, y)
    a = np.deg2rad(degrees)
    share = np.clip((NOTHING - np.hypot(x, y)) / (NOTHING - WHOLE), 0, 1)
    share = share * share * (3 - 2 * share)
    moved = share * (x * np.cos(a) + (depth - AXIS) * np.sin(a)) + (1 - share) * x
    return nose[0] + unit * moved, depth * np.cos(a) - x * np.sin(a)


def depth_map(landmarks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """landmarks (68, 2) and places x, y (H, W), in face widths from the nose -> depth (H, W), a thin-plate spline"""
    from scipy.interpolate import RBFInterpolator

    points = np.concatenate([landmarks, FOREHEAD, OUTLINE])
    depths = np.concatenate([DEPTHS, FOREHEAD_DEPTHS, np.full(len(OUTLINE), BACK)])
    spline = RBFInterpolator(points, depths, kernel="thin_plate_spline", smoothing=1e-4)
    return np.maximum(spline(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(x.shape), BACK)
