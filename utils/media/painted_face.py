"""Faces out of nothing but 68 landmarks: painted skin, lips, eyes and brows, or a wireframe, fast enough for films.

All frames of a piece are placed on the canvas at once; OpenCV then fills each frame's polygons, anti-aliased, in
sixteenths of a pixel. A film made piece by piece gives `guide` to each: the frames that say where on the canvas the
face lies, and how large.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from utils.media.drawing import LINES

SHIFT = 4  # fractional bits of OpenCV's coordinates
LIFT = 0.54  # of the way from chin to brows: how far the hairline lies above the ends of the jaw
BACKGROUND, SKIN, SHADE, LIGHT = (236, 240, 243), (232, 190, 160), (205, 156, 128), (243, 208, 182)
LIPS, MOUTH, TEETH, BROWS = (196, 84, 88), (74, 22, 28), (245, 242, 236), (84, 56, 42)
EYE, IRIS, PUPIL, LASHES = (250, 250, 250), (74, 128, 92), (20, 20, 24), (60, 40, 34)
INK, DOTS = (52, 76, 110), (214, 72, 60)


def place(landmarks: np.ndarray, side: int, guide: np.ndarray | None = None) -> np.ndarray:
    """landmarks (T, 68, 2 or 3) of any scale, y downwards -> (T, 68, 2) pixels of a square canvas, in its middle

    One scale and place for all frames, so that the head keeps still where the landmarks do: those that suit the median
    face of `guide` (G, 68, 2 or 3), by default of these frames themselves.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    middle = median_face(points if guide is None else guide)
    low, high = middle.min(0), middle.max(0)
    scale = 0.66 * side / max((high - low).max(), 1e-6)
    return (points - (low + high) / 2) * scale + np.array([0.5, 0.56]) * side


def median_face(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (T, 68, 2 or 3) -> (68, 2)"""
    return np.median(np.asarray(landmarks, np.float64)[..., :2], axis=0)


def turned(landmarks: np.ndarray, yaw: float = 35.0, pitch: float = 10.0) -> np.ndarray:
    """landmarks (T, 68, 3) -> (T, 68, 3), from the side: degrees about the origin's vertical, then its horizontal"""
    a, b = np.deg2rad([yaw, pitch])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return landmarks @ (about_x @ about_y).T


def paint(landmarks: np.ndarray, side: int, guide: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """landmarks (T, 68, 2 or 3), y downwards -> T pictures (side, side, 3) RGB uint8 of a painted face"""
    guide = landmarks if guide is None else guide
    points, middle = place(landmarks, side, guide), median_face(place(guide, side))
    head = curve(np.concatenate([points[:, :17], _hairline(points, middle)], axis=1), closed=True)
    lips, mouth = curve(points[:, 48:60], closed=True), curve(points[:, 60:68], closed=True)
    eyes = [curve(points[:, a : a + 6], closed=True) for a in (36, 42)]
    brows = [curve(points[:, a : a + 5]) for a in (17, 22)]
    parts = [_fixed(part) for part in (points, head, lips, mouth, *eyes, *brows)]
    for face, skin, lip, inside, *others in zip(*parts, strict=True):
        canvas = np.full((side, side, 3), BACKGROUND, np.uint8)
        _fill(canvas, skin, SKIN)
        _paint_nose(canvas, face, side)
        for eye, lid in ((face[36:42], others[0]), (face[42:48], others[1])):
            _paint_eye(canvas, eye, lid, side)
        for brow in others[2:]:
            _line(canvas, brow, BROWS, side / 64)
        _fill(canvas, lip, LIPS)
        _fill(canvas, inside, MOUTH)
        _paint_teeth(canvas, face[60:68], side)
        yield canvas


def curve(points: np.ndarray, closed: bool = False, steps: int = 4) -> np.ndarray:
    """points (T, n, 2) -> a smooth line through them (Catmull and Rom 1974), (T, m, 2), `steps` places to each"""
    mode = "wrap" if closed else "edge"
    p = np.pad(points, ((0, 0), (1, 2), (0, 0)), mode=mode)
    spans = points.shape[1] if closed else points.shape[1] - 1
    a, b, c, d = (p[:, i : i + spans, None] for i in range(4))  # (T, spans, 1, 2)
    t = (np.arange(steps) / steps)[:, None]
    places = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    line = places.reshape(len(points), spans * steps, 2)
    return line if closed else np.concatenate([line, points[:, -1:]], axis=1)


def wireframe(landmarks: np.ndarray, side: int, guide: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """landmarks (T, 68, 2 or 3), y downwards -> T pictures (side, side, 3) RGB uint8: points joined by lines

    Three dimensions are seen half from the side.
    """
    guide = landmarks if guide is None else guide
    if landmarks.shape[-1] == 3:
        landmarks, guide = turned(landmarks), turned(guide)
    for face in _fixed(place(landmarks, side, guide)):
        canvas = np.full((side, side, 3), 255, np.uint8)
        for line in LINES:
            _line(canvas, face[line], INK, side / 256)
        for point in face:
            cv2.circle(canvas, tuple(point), int(side / 160 * 2**SHIFT), DOTS, -1, cv2.LINE_AA, SHIFT)
        yield canvas


def _hairline(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """points (T, 68, 2), the median face (68, 2) -> (T, 6, 2): half an ellipse over the brows, jaw to jaw"""
    up = (middle[27] - middle[8]) * LIFT
    angle = np.deg2rad([26, 52, 78, 102, 128, 154])[:, None]
    centre, half = (points[:, [16]] + points[:, [0]]) / 2, (points[:, [16]] - points[:, [0]]) / 2
    return centre + np.cos(angle) * half + np.sin(angle) * up


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels -> whole numbers with SHIFT fractional bits"""
    return np.round(np.clip(points, -1e4, 1e4) * 2**SHIFT).astype(np.int32)


def _fill(canvas: np.ndarray, polygon: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(canvas, [polygon], colour, cv2.LINE_AA, SHIFT)


def _line(
    canvas: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], width: float, closed: bool = False
) -> None:
    cv2.polylines(canvas, [points], closed, colour, max(1, round(width)), cv2.LINE_AA, SHIFT)


def _paint_nose(canvas: np.ndarray, face: np.ndarray, side: int) -> None:
    """A light side, a dark side, and the shade below the tip"""
    for nostril, colour in ((31, LIGHT), (35, SHADE)):
        _fill(canvas, face[[27, 28, 29, 30, nostril]], colour)
    _fill(canvas, face[30:36], SHADE)
    _line(canvas, face[31:36], LASHES, side / 300)


def _paint_eye(canvas: np.ndarray, eye: np.ndarray, lid: np.ndarray, side: int) -> None:
    """Iris and pupil at the mean of the lids' four points, cut off by the lids; eye (6, 2), lid (m, 2) its outline"""
    left, top = np.maximum(lid.min(0) // 2**SHIFT - 2, 0)
    right, bottom = np.maximum(lid.max(0) // 2**SHIFT + 3, 0)
    region = canvas[top:bottom, left:right]
    if not region.size:
        return
    inside = eye - np.array([left, top]) * 2**SHIFT
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.fillPoly(mask, [lid - np.array([left, top]) * 2**SHIFT], 255, cv2.LINE_AA, SHIFT)
    painted = np.full_like(region, EYE)
    centre = tuple(int(x) for x in inside[[1, 2, 4, 5]].mean(0))
    width = int(np.linalg.norm(eye[3] - eye[0]))
    cv2.circle(painted, centre, width // 5, IRIS, -1, cv2.LINE_AA, SHIFT)
    cv2.circle(painted, centre, width // 10, PUPIL, -1, cv2.LINE_AA, SHIFT)
    cover = mask[..., None].astype(np.float32) / 255
    region[:] = (region + cover * (painted.astype(np.float32) - region) + 0.5).astype(np.uint8)
    _line(canvas, lid, LASHES, side / 300, closed=True)


def _paint_teeth(canvas: np.ndarray, inner: np.ndarray, side: int) -> None:
    """The upper teeth, which come to sight behind the upper lip where the mouth is open: inner lip points (8, 2)"""
    upper, lower = inner[1:4], inner[[7, 6, 5]]
    gap = np.linalg.norm(lower - upper, axis=-1).mean() / 2**SHIFT
    if gap < side / 50:
        return
    corners = ((inner[[0, 4]] + upper[[0, 2]]) / 2).astype(np.int32)
    edge = np.concatenate([corners[:1], upper, corners[1:]])
    depth = np.array([0.1, 0.32, 0.36, 0.32, 0.1])[:, None]
    under = edge + (depth * (lower[[0, 0, 1, 2, 2]] - edge)).astype(np.int32)
    _fill(canvas, np.concatenate([edge, under[::-1]]), TEETH)
