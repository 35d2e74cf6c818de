"""Photos that are hard to animate, made from an easy one: the head turned to the side, the mouth covered."""

from __future__ import annotations

import cv2
import numpy as np

FINER = 8  # samples of a picture's row for each of its pixels, so that stretched skin has no holes
AXIS, BACK = 0.37, -0.35  # depth of the axis of turning, and of what lies behind the head, in face widths
WHOLE, NOTHING = 0.9, 1.7  # face widths from the nose up to which all turns, and from which nothing does


def turn_head(photo: np.ndarray, landmarks: np.ndarray, degrees: float) -> np.ndarray:
    """photo (H, W, 3), landmarks (68, 2) -> (H, W, 3): the head, a relief, turned to the picture's right

    A stand-in for photographs from several sides, good for some 45 degrees: what the camera did not see cannot appear,
    and the depth is a bust's, not this person's.
    """
    nose, unit = landmarks[27:36].mean(0), np.linalg.norm(landmarks[16] - landmarks[0])
    y, x = (np.indices(photo.shape[:2]).astype(float) - nose[::-1, None, None]) / unit
    depth, a = depth_of(x, y), np.deg2rad(degrees)
    share = np.clip((NOTHING - np.hypot(x, y)) / (NOTHING - WHOLE), 0, 1)
    share = share * share * (3 - 2 * share)
    moved = share * (x * np.cos(a) + (depth - AXIS) * np.sin(a)) + (1 - share) * x
    return paint_rows(photo, nose[0] + unit * moved, depth * np.cos(a) - x * np.sin(a))


def depth_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places from the nose, in face widths -> how far they lie before the ears: an upright ellipsoid with a nose"""
    inside = 1 - (x / 0.52) ** 2 - np.where(y < 0, y**2, (y / 1.1) ** 4)
    nose = 0.15 * np.exp(-((x / 0.09) ** 2) - ((y - 0.07) / 0.12) ** 2)
    return np.maximum(BACK, np.where(inside > 0, 0.63 * np.sqrt(np.abs(inside)), 0.21 * inside) + nose)


def paint_rows(photo: np.ndarray, x: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The photo with each pixel moved to x (H, W) within its row, the nearest, by depth (H, W), painted last"""
    turned, width = photo.copy(), photo.shape[1]
    columns, fine = np.arange(width), np.linspace(0, width - 1, (width - 1) * FINER + 1)
    for row, colours in enumerate(photo):
        order = np.argsort(np.interp(fine, columns, depth[row]), kind="stable")
        place = np.interp(fine, columns, x[row]).round().astype(int)[order]
        seen = (place >= 0) & (place < width)
        samples = np.stack([np.interp(fine, columns, channel) for channel in colours.T], axis=1)[order]
        turned[row, place[seen]] = samples[seen].round()
    return turned


def with_scarf(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A red scarf from the nose to below the chin"""
    low = landmarks[1:16] + [0, 0.12 * np.ptp(landmarks[:, 1])]
    outline = cv2.convexHull(np.concatenate([landmarks[[1, 30, 15]], low]).round().astype(np.int32))
    return cv2.fillConvexPoly(photo.copy(), outline, (150, 40, 48), cv2.LINE_AA)
