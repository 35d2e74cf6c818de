"""Photos that are hard to animate, made from easy ones: covered mouths, little light, few pixels, drawings.

Each takes photo (H, W, 3) uint8, and its landmarks (68, 2) where it needs them, and gives a photo of the same size.
"""

from __future__ import annotations

import cv2
import numpy as np

SCARF, STRIPE = (150, 40, 48), (196, 172, 150)


def with_scarf(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A woollen scarf from under the nose to below the chin"""
    jaw, nose = landmarks[2:15], landmarks[33]
    low = jaw.copy()
    low[:, 1] += 0.12 * np.ptp(landmarks[:, 1])
    upper = np.array([jaw[0], 0.3 * nose + 0.7 * landmarks[51], jaw[-1]])
    region = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(region, [cv2.convexHull(np.concatenate([upper, low]).round().astype(np.int32))], 255)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    unit = np.linalg.norm(landmarks[16] - landmarks[0]) / 12
    folds = 0.85 + 0.15 * np.sin((y + 0.004 / unit * (x - nose[0]) ** 2) / unit * 4)
    stripes = np.sin((y + x) / unit) > 0.6
    wool = np.where(stripes[..., None], STRIPE, SCARF) * folds[..., None]
    cover = cv2.GaussianBlur(region, (0, 0), 0.1 * unit)[..., None] / 255
    return (cover * wool + (1 - cover) * photo).round().astype(np.uint8)


def in_the_dark(photo: np.ndarray, light: float = 0.12, noise: float = 5.0, seed: int = 0) -> np.ndarray:
    """A share of the light, and the sensor's noise (standard deviation in levels)"""
    grain = noise * np.random.default_rng(seed).standard_normal(photo.shape)
    return np.clip(light * photo + grain, 0, 255).round().astype(np.uint8)


def small(photo: np.ndarray, landmarks: np.ndarray, width: float = 24) -> np.ndarray:
    """As it would look enlarged from a picture in which the face is only `width` pixels wide"""
    scale = width / np.linalg.norm(landmarks[16] - landmarks[0])
    less = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(less, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def as_cartoon(photo: np.ndarray, levels: int = 5) -> np.ndarray:
    """A few flat colours within dark outlines"""
    flat = photo
    for _ in range(4):
        flat = cv2.bilateralFilter(flat, 9, 40, 7)
    step = 255 / levels
    flat = ((flat // step + 0.5) * step).clip(0, 255).astype(np.uint8)
    grey = cv2.medianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 15, 5)
    return np.where(cv2.medianBlur(lines, 3)[..., None] > 0, flat, 30).astype(np.uint8)


def grey(photo: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
