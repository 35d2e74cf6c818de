"""Whether a head moves when the voice is loud: speed of turning against loudness, and the peaks of both."""

from __future__ import annotations

import numpy as np

from utils.audio import FPS

SIGMA = 4.0  # frames, 0.16 s: of the Gaussian that smooths both, so that syllables and phrases are left
LAGS = np.arange(-15, 16, 3)  # frames by which the head may be later than the voice; negative: earlier
SPEED_PEAK, LOUD_PEAK = (
    0.3,
    0.1,
)  # least prominence: of the speed's deviation, of the way from pause to loud speech
LEAST = 25  # frames that a correlation needs


def turning(motion: np.ndarray) -> np.ndarray:
    """motion (T, 6) -> (T,): smoothed speed of turning, degrees a second"""
    from scipy.ndimage import gaussian_filter1d

    velocity = np.gradient(motion[:, :3].astype(np.float64), axis=0)
    return gaussian_filter1d(np.degrees(np.linalg.norm(velocity, axis=1)) * FPS, SIGMA)


def envelope(loud: np.ndarray) -> np.ndarray:
    """loud (T,), from 0 in pauses to 1 in loud speech -> (T,), smoothed"""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(loud.astype(np.float64), SIGMA)


def correlations(speed: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """(T,), (T,) -> (lags,): Pearson's at each of `LAGS`; nan where one does not vary"""
    found, count = [], min(len(speed), len(loud))
    for lag in LAGS:
        later = speed[max(0, lag) : count + min(0, lag)]
        heard = loud[max(0, -lag) : count - max(0, lag)]
        moves = len(later) >= LEAST and later.std() > 1e-6 and heard.std() > 1e-6
        found.append(np.corrcoef(later, heard)[0, 1] if moves else np.nan)
    return np.array(found)


def peak_distance(speed: np.ndarray, loud: np.ndarray) -> tuple[float, float]:
    """-> mean distance in seconds of each peak of loudness to the nearest of speed, and the same by chance

    By chance: the mean over all shifts of the speed against the loudness, round and round. nan without peaks.
    """
    from scipy.signal import find_peaks

    count = min(len(speed), len(loud))
    speed, loud = speed[:count], loud[:count]
    heard = find_peaks(loud, prominence=LOUD_PEAK)[0]
    moved = find_peaks(speed, prominence=max(SPEED_PEAK * speed.std(), 1e-6))[0]
    if not len(heard) or not len(moved):
        return float("nan"), float("nan")
    shifted = (moved[:, None] + np.arange(count)) % count  # (peaks, shifts)
    apart = np.abs(heard[:, None, None] - shifted)
    apart = np.minimum(apart, count - apart).min(1).mean(0) / FPS  # (shifts,)
    return float(apart[0]), float(apart.mean())
