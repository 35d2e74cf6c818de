"""Similarities between faces: crops that follow a face, and motion without the head's."""

from __future__ import annotations

import numpy as np

from utils.errors import UserError
from utils.face.landmarks import (
    EYES,
    STABLE,
    TEMPLATE,
    TEMPLATE_SIZE,
    denoise,
    mouth_opening,
    smooth,
    to_crop_size,
)

LARGEST_ZOOM = 4.0  # of a 128-pixel crop: a face that must be magnified more is too small to be of use
# The square of a clip's fixed crop, in face sizes (the larger side of the landmarks' box, mean over the clip): its
# side, and where in it the eyes' mean lies. As the original of the rhythmic heads has it.
SQUARE, EYES_IN_SQUARE = 205 / 90, np.array([100, 80]) / 90
LARGEST_ROOM = 1.75  # of that side: a head that needs more of it would be too small in it to be of use
# A head with its hair, about the template's face: an ellipse, by its middle and half its width and height.
HEAD_MIDDLE, HEAD_RADII = np.array([63.5, 34.0]), np.array([60.0, 86.0])


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """source (..., N, 2), target (..., N, 2) -> (..., 2, 3): the least-squares similarity, without reflection."""
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_centre, target_centre = source.mean(-2), target.mean(-2)
    x, y = np.moveaxis(source - source_centre[..., None, :], -1, 0)
    u, v = np.moveaxis(target - target_centre[..., None, :], -1, 0)
    norm = np.maximum((x**2 + y**2).sum(-1), 1e-12)
    a, b = (x * u + y * v).sum(-1) / norm, (x * v - y * u).sum(-1) / norm
    return _similarity(a, b, source_centre, target_centre)


def _similarity(a: np.ndarray, b: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map p -> [[a, -b], [b, a]] (p - source) + target, as (..., 2, 3)."""
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = target - (linear @ source[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], -1)


def apply_transform(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """transform (..., 2, 3), points (..., P, 2) -> (..., P, 2), float32"""
    transform = np.asarray(transform, np.float64)
    moved = (
        np.asarray(points, np.float64) @ np.swapaxes(transform[..., :2], -1, -2) + transform[..., None, :, 2]
    )
    return moved.astype(np.float32)


def invert_transform(transform: np.ndarray) -> np.ndarray:
    """transform (..., 2, 3) -> its inverse (..., 2, 3)"""
    linear = np.linalg.inv(transform[..., :2])
    return np.concatenate([linear, -linear @ transform[..., 2:]], -1)


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two transforms (2, 3) -> the one that does the first and then the second"""
    shift = second[:, :2] @ first[:, 2] + second[:, 2]
    return np.column_stack([second[:, :2] @ first[:, :2], shift])


def scaling(x: float, y: float | None = None) -> np.ndarray:
    """Factors of width and height (default: the same) -> (2, 3): a picture's pixels to those of the resized picture"""
    factors = np.array([x, x if y is None else y])
    return np.column_stack([np.diag(factors), (factors - 1) / 2])  # pixel centres lie at integers


def crop_transforms(
    source_landmarks: np.ndarray, size: int = TEMPLATE_SIZE, sigma: float = 2.0
) -> np.ndarray:
    """source_landmarks (T, 68, 2) in source pixels -> (T, 2, 3): source pixels to crop pixels.

    Each frame's stable points go onto the template's by a similarity; rotation, scale and face position are smoothed
    over time (sigma in frames), so that neither blinks nor the detector's jitter make the crop shimmer.
    """
    stable = np.asarray(source_landmarks, np.float64)[:, STABLE]
    template = to_crop_size(TEMPLATE[STABLE].astype(np.float64), size)
    transforms = fit_similarity(stable, np.broadcast_to(template, stable.shape))
    a, b = smooth(transforms[:, 0, 0], sigma), smooth(transforms[:, 1, 0], sigma)
    return _similarity(a, b, smooth(stable.mean(1), sigma), np.broadcast_to(template.mean(0), (len(a), 2)))


def static_transform(points: np.ndarray, size: int, picture: tuple[int, int]) -> np.ndarray:
    """points (T, 68, 2) of a clip in pixels of its picture (width, height) -> (2, 3): its pixels to crop pixels

    One upright square for all frames. As in the original its side goes by the mean size of the face, and it lies about
    the mean place of the eyes; then it is moved, and only where that is not enough enlarged, so that what the picture
    shows of the head, hair and all, is in it in every frame, and as little as that allows from beyond the picture.
    Raises UserError where the head moves so far that it would be small in its square.
    """
    points = np.asarray(points, np.float64)
    first, last = (
        np.full(2, -0.5),
        np.array(picture) - 0.5,
    )  # the picture's edges; pixel centres lie at integers
    low, high = _head_box(points, first, last)
    face = (points.max(1) - points.min(1)).max(1).mean()
    side = max(min(SQUARE * face, *picture), *(high - low))
    if side > LARGEST_ROOM * SQUARE * face:
        raise UserError(
            f"the head moves so far that a fixed crop would be {side / face:.0f} times as wide as the face"
        )
    corner = points[:, EYES].mean((0, 1)) + face * (SQUARE / 2 - EYES_IN_SQUARE) - side / 2
    corner = np.clip(corner, np.minimum(first, last - side), np.maximum(first, last - side))
    corner = np.clip(corner, high - side, low)
    zoom = size / side
    return np.column_stack([np.eye(2) * zoom, -0.5 - zoom * corner])


def _head_box(points: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box that holds the landmarks of all frames, and the heads as far as they are in the picture"""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outline = HEAD_MIDDLE + HEAD_RADII * np.column_stack([np.cos(angles), np.sin(angles)])
    heads = apply_transform(invert_transform(crop_transforms(points)), outline)  # (T, 24, 2)
    heads, points = np.clip(heads.reshape(-1, 2), first, last), points.reshape(-1, 2)
    return np.minimum(heads.min(0), points.min(0)), np.maximum(heads.max(0), points.max(0))


def denoise_moving(points: np.ndarray) -> np.ndarray:
    """points (T, 68, 2) of a head that moves -> the same, float32: `denoise`, but the head's motion is not its noise

    Or a nod would be smoothed more in the brows than in the mouth, and bend the face.
    """
    transforms = crop_transforms(points)
    return apply_transform(invert_transform(transforms), denoise(apply_transform(transforms, points)))


def stabilise(normalised: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """normalised (T, 136), reference (136,) -> (T, 136): residual head motion removed.

    Each frame is moved by the similarity that brings its nose and eye corners onto the reference's.
    """
    points = normalised.reshape(-1, 68, 2)
    target = np.broadcast_to(reference.reshape(68, 2)[STABLE], (len(points), len(STABLE), 2))
    return apply_transform(fit_similarity(points[:, STABLE], target), points).reshape(-1, 136)


def rest_shape(normalised: np.ndarray) -> np.ndarray:
    """normalised (T, 136) of one clip -> (136,): the median of its fifth of frames with the least open mouth"""
    opening = mouth_opening(normalised.reshape(-1, 68, 2))
    return np.median(normalised[opening <= np.quantile(opening, 0.2)], axis=0).astype(np.float32)


def motion(normalised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """normalised (T, 136) of one clip -> (motion (T, 136), rest (136,)): whose face it is, taken off what it does"""
    steady = stabilise(normalised, rest_shape(normalised))
    rest = rest_shape(steady)
    return steady - rest, rest


def crop_face(image: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """image (H, W, 3) uint8, transform (2, 3) from its pixels to crop pixels -> crop (size, size, 3) uint8

    A face larger than the crop is drawn at a multiple of its size first and averaged down, so that nothing aliases.
    """
    import cv2

    transform = np.asarray(transform, np.float64)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    factor = max(1, int(np.ceil(1 / max(scale, 1 / 16) - 0.05)))
    larger = transform * factor
    larger[:, 2] += (factor - 1) / 2  # pixel centres lie at integers
    side = (size * factor, size * factor)
    crop = cv2.warpAffine(image, larger, side, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return crop if factor == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
