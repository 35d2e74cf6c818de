"""What can be said of a head's motion (T, 6) without knowing the one true motion: size, speed, frequencies, windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.audio import FPS

UNITS = np.array([180 / np.pi] * 3 + [100.0] * 3)  # degrees; per cent of a face width, and of the scale
SEGMENT = 100  # frames of a spectrum's segments: a resolution of 0.25 Hz
BANDS = ((0.2, 0.6), (0.6, 1.1), (1.1, 2.1), (2.1, 3.1), (3.1, 5.1))  # Hz
JUDGED = 4  # bands, those up to 3 Hz, that the spectrum's factor is of
WINDOW, HOP, COEFFICIENTS = 50, 5, 6  # of the windows whose distribution is compared: 2 s, 0.25 to 1.5 Hz


def deviations(motion: np.ndarray) -> np.ndarray:
    """(6,): about the clip's mean, in degrees and per cent"""
    return motion.std(0) * UNITS


def speeds(motion: np.ndarray) -> np.ndarray:
    """(6,): mean, in degrees and per cent a second"""
    return np.abs(np.diff(motion, axis=0)).mean(0) * FPS * UNITS


def spectrum(motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> frequencies (N,) in Hz, power density (6, N) in squared units of `UNITS` a Hz, by Welch's method"""
    from scipy.signal import welch

    size = min(SEGMENT, len(motion))
    return welch((motion * UNITS).T, FPS, nperseg=size, nfft=SEGMENT, detrend="constant")


def in_bands(frequencies: np.ndarray, power: np.ndarray) -> np.ndarray:
    """power (6, N) -> (6, bands): mean of each of `BANDS`"""
    chosen = [(frequencies >= low) & (frequencies < high) for low, high in BANDS]
    return np.stack([power[:, band].mean(1) for band in chosen], axis=1)


def factor(made: np.ndarray, true: np.ndarray) -> float:
    """made, true (3, n) power -> by what factor it is off at worst, of more or of less; infinite for none"""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.abs(np.log(made / true)).max()))


def window_features(motion: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """motion (T, 6), scale (6,) -> (n, 36): the lowest cosine coefficients of windows of two seconds, but the mean"""
    if len(motion) < WINDOW:
        return np.zeros((0, 6 * COEFFICIENTS))
    cut = np.lib.stride_tricks.sliding_window_view(motion / scale, WINDOW, axis=0)[::HOP]  # (n, 6, W)
    places = (np.arange(WINDOW) + 0.5) / WINDOW
    waves = np.cos(np.pi * np.arange(1, COEFFICIENTS + 1)[:, None] * places) * np.sqrt(2 / WINDOW)
    return (cut @ waves.T).reshape(len(cut), -1)


def frechet(made: np.ndarray, true: np.ndarray) -> float:
    """Features (n, D), (m, D) -> the Fréchet distance of the Gaussians that fit them"""
    means, spreads = zip(*((one.mean(0), np.cov(one.T)) for one in (made, true)), strict=True)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(spreads[0] @ spreads[1]).real, 0))
    return float(np.square(means[0] - means[1]).sum() + np.trace(spreads[0] + spreads[1]) - 2 * roots.sum())


def error(made: np.ndarray, true: np.ndarray) -> float:
    """Root mean square of how far the rotations (T, 3) are apart, degrees"""
    return float(np.sqrt(np.square((made - true)[:, :3] * UNITS[:3]).sum(1).mean()))


def variety(motions: Sequence[np.ndarray]) -> float:
    """How far apart two seeds' motions are, as `error`; nan of one"""
    pairs = [error(one, other) for n, one in enumerate(motions) for other in motions[:n]]
    return float(np.mean(pairs)) if pairs else float("nan")
