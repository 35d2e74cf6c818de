"""How close generated frames are to the true ones, and how sharp: PSNR, SSIM, CPBD, variance of the Laplacian.

Frames are (T, H, W, 3) RGB uint8. Every function gives one value a frame; the caller averages.
Where two sequences are compared, the first may be a single frame (1, H, W, 3) that stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.ndimage import laplace
from skimage.metrics import structural_similarity

from evaluation.cpbd import cpbd
from utils.face.landmarks import MOUTH

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are outside
IDENTICAL = 100.0  # dB, where two pictures are the same
MARGIN = 0.15


def mouth_box(landmarks: np.ndarray, size: int, points: Sequence[int] = MOUTH) -> Box:
    """True landmarks (T, 68, 2) of one clip, in pixels of its crops of `size` -> the clip's mouth region

    The smallest box around all 20 mouth points (or others) of all frames, made larger on every side by 0.15 of its
    width.
    """
    points = landmarks[:, points].reshape(-1, 2)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = MARGIN * (high[0] - low[0])
    left, top = np.floor(np.clip(low - margin, 0, size - 8)).astype(int)
    right, bottom = np.ceil(np.clip(high + margin, 0, size - 1)).astype(int) + 1
    return int(left), int(top), int(max(right, left + 8)), int(max(bottom, top + 8))


def cut(frames: np.ndarray, box: Box) -> np.ndarray:
    """frames (T, H, W, ...) -> the part of each within the box"""
    left, top, right, bottom = box
    return frames[:, top:bottom, left:right]


def grey(frames: np.ndarray) -> np.ndarray:
    """frames (T, H, W, 3) RGB -> (T, H, W) luma of ITU-R 601, whole numbers from 0 to 255"""
    return np.round(frames.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def squared_error(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, H, W, 3) -> (T,): mean squared difference over pixels and colours"""
    return ((fake.astype(np.float32) - real) ** 2).mean(axis=(1, 2, 3), dtype=np.float64)


def decibels(error: np.ndarray | float) -> np.ndarray:
    """Mean squared error of 8-bit values -> PSNR in dB, 100 at most (where there is no error)"""
    return 10 * np.log10(255**2 / np.maximum(error, 255**2 / 10 ** (IDENTICAL / 10)))


def psnr(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, H, W, 3) -> (T,) in dB; peak 255, over all pixels and colours"""
    return decibels(squared_error(fake, real))


def ssim(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, H, W, 3) -> (T,): scikit-image, uniform 7 x 7 windows, mean over colours, data range 255"""
    return each_pair(partial(structural_similarity, win_size=7, channel_axis=-1, data_range=255), fake, real)


def each_pair(
    measure: Callable[[np.ndarray, np.ndarray], float], fake: np.ndarray, real: np.ndarray
) -> np.ndarray:
    """fake (T, ...) or, standing still, (1, ...), real (T, ...) -> (T,): the measure of every pair"""
    return np.array([measure(fake[i % len(fake)], one) for i, one in enumerate(real)])


def sharpness(frames: np.ndarray) -> np.ndarray:
    """frames (T, H, W, 3) -> (T,): variance of the Laplacian (four neighbours) of the luma"""
    return np.array([laplace(one).var() for one in grey(frames)])


def edge_sharpness(frames: np.ndarray) -> np.ndarray:
    """frames (T, H, W, 3) -> (T,): CPBD of the luma"""
    return np.array([cpbd(one) for one in grey(frames)])
