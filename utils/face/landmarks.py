"""The 68 facial landmarks: their order, geometry, normaliser, rest shape and PCA basis.

Every stage uses these functions and no other copy of them: preprocessing, training, evaluation and the demo.

Units. "Crop pixels" are pixels of the square face crop, (x, y), pixel centres at integers. "Normalised" landmarks are
flat vectors x0, y0, x1, y1, ... in half crop sizes about the crop's centre, so that a crop of any size gives the same
numbers, roughly within [-1, 1] (the scale of the original's landmarks after its factor of 5).
"""

from __future__ import annotations

import numpy as np

JAW = list(range(0, 17))
BROWS = list(range(17, 27))
EYES = list(range(36, 48))
MOUTH = list(range(48, 68))
UPPER_LIDS, LOWER_LIDS = [37, 38, 43, 44], [41, 40, 47, 46]  # the ones above the others
FAST = [*UPPER_LIDS, *LOWER_LIDS, *MOUTH]
INNER_MOUTH = list(range(60, 68))
# Nose and eye corners: they keep their place while a person talks and blinks.
STABLE = [27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45]
# Landmark i of a mirrored face is landmark MIRROR[i] of the original one.
MIRROR = (
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
UPPER_INNER_LIP, LOWER_INNER_LIP = [61, 62, 63], [67, 66, 65]
TEMPLATE_SIZE = 128
# Where the landmarks of an average face lie in a 128-pixel crop, x y x y ...: the mean of five frames each of ten
# GRID speakers, made symmetric, with room under the chin for an open mouth.
TEMPLATE = np.array(
    """
    20.9 40.4 21.8 52.2 23.4 64.0 25.4 75.7 28.7 86.8 34.4 96.6
    42.6 104.5 52.3 110.4 63.5 112.3 74.7 110.4 84.4 104.5 92.6 96.6
    98.3 86.8 101.6 75.7 103.6 64.0 105.2 52.2 106.1 40.4 28.4 29.5
    33.8 24.3 41.4 22.8 49.3 24.3 56.4 27.3 70.6 27.3 77.7 24.3
    85.6 22.8 93.2 24.3 98.6 29.5 63.5 36.5 63.5 43.8 63.5 51.0
    63.5 58.6 55.0 65.8 59.2 67.2 63.5 68.3 67.8 67.2 72.0 65.8
    37.0 38.5 41.7 35.8 47.5 35.7 52.6 39.4 47.3 40.7 41.5 40.8
    74.4 39.4 79.5 35.7 85.3 35.8 90.0 38.5 85.5 40.8 79.7 40.7
    48.7 83.8 54.1 80.1 59.6 77.8 63.5 79.0 67.4 77.8 72.9 80.1
    78.3 83.8 73.0 88.5 67.7 90.5 63.5 90.9 59.3 90.5 54.0 88.5
    51.5 83.6 59.6 82.1 63.5 82.4 67.4 82.1 75.5 83.6 67.4 84.8
    63.5 85.4 59.6 84.8
    """.split(),
    dtype=np.float32,
).reshape(68, 2)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """values (T, ...) -> (T, ...), Gaussian-weighted over time; sigma in frames, 0 for none."""
    if sigma <= 0 or len(values) < 2:
        return np.asarray(values, np.float64)
    radius = max(1, int(3 * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.pad(values, [(radius, radius)] + [(0, 0)] * (np.ndim(values) - 1), mode="edge")
    shifted = [w * padded[i : i + len(values)] for i, w in enumerate(weights / weights.sum())]
    return np.sum(shifted, axis=0)


def denoise(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (T, 68, 2) -> (T, 68, 2), float32: dlib's rounding to whole pixels smoothed away

    Mouth and lids, which move fast, are smoothed least (half a frame; a frame elsewhere), brows most (two frames), for
    dlib lifts them with every blink.
    """
    smoothed = smooth(landmarks, 1.0)
    smoothed[:, FAST] = smooth(landmarks[:, FAST], 0.5)
    smoothed[:, BROWS] = smooth(landmarks[:, BROWS], 2.0)
    return smoothed.astype(np.float32)


def to_crop_size(points: np.ndarray, size: int) -> np.ndarray:
    """points (..., 2) of a 128-pixel crop -> the same places of a crop of `size` pixels."""
    scale = size / TEMPLATE_SIZE
    return (points + 0.5) * scale - 0.5


def normalise(landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """landmarks (..., 68, 2) in crop pixels -> (..., 136) in half crop sizes about the centre, float32"""
    landmarks = np.asarray(landmarks, np.float32)
    return ((landmarks - (size - 1) / 2) / (size / 2)).reshape(*landmarks.shape[:-2], 136)


def denormalise(normalised: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """normalised (..., 136) -> (..., 68, 2) in crop pixels, float32; the inverse of `normalise`"""
    normalised = np.asarray(normalised, np.float32)
    return normalised.reshape(*normalised.shape[:-1], 68, 2) * (size / 2) + (size - 1) / 2


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (..., 68, 2) -> (...): mean distance of the inner-lip pairs 61-67, 62-66 and 63-65, in their units"""
    gaps = landmarks[..., LOWER_INNER_LIP, :] - landmarks[..., UPPER_INNER_LIP, :]
    return np.linalg.norm(gaps, axis=-1).mean(-1)


def eye_openness(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (..., 68, 2) -> (...): the eye aspect ratio (Soukupova and Cech 2016), mean over both eyes

    The height between the lids over the width between the corners: about 0.3, and 0.15 while dlib sees a closed eye.
    """

    def length(one: int, other: int) -> np.ndarray:
        return np.linalg.norm(landmarks[..., one, :] - landmarks[..., other, :], axis=-1)

    eyes = [length(i + 1, i + 5) + length(i + 2, i + 4) for i in (36, 42)]
    return (
        sum(eye / (2 * np.maximum(length(i, i + 3), 1e-6)) for eye, i in zip(eyes, (36, 42), strict=True)) / 2
    )
