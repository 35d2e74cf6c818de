"""How well landmarks follow speech: distances, mouth opening, offset, jitter, pauses.

Landmarks are (T, 68, 2) in pixels of a 128-pixel crop unless a function says otherwise; a frame without a detected face
is a row of nan and is left out of every mean. What depends on pictures is in `evaluation.picture_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.audio import SAMPLES_PER_FRAME
from utils.face.landmarks import MOUTH, eye_openness, mouth_opening

NON_MOUTH = list(range(0, 48))
LARGEST_LAG = 5  # frames
NO_SOUND, SPEECH_RANGE = -80.0, 15.0  # dB
PAUSE_MARGIN = 3  # frames in which a mouth prepares for a sound, or comes back from one
LONG_PAUSE = 10  # frames
OPEN_EYES, SHUT_EYES = (
    0.7,
    0.65,
)  # the quantile of a clip's eye aspect ratios that stands for open; shut: below so much


def landmark_distance(fake: np.ndarray, real: np.ndarray, points: Sequence[int] | None = None) -> np.ndarray:
    """fake, real (T, 68, 2) -> (T,): LMD, the mean Euclidean distance over `points` (all 68 by default)

    The paper's LMD with a mean over points; nothing is aligned here.
    """
    chosen = slice(None) if points is None else list(points)
    return np.linalg.norm(fake[:, chosen] - real[:, chosen], axis=-1).mean(-1)


def mouth_distance(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, 68, 2) -> (T,): LMD over the 20 mouth points"""
    return landmark_distance(fake, real, MOUTH)


def mean(values: Sequence[float] | np.ndarray) -> float:
    """The mean without nan; nan where there is nothing else."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def correlation(fake: np.ndarray, real: np.ndarray) -> float:
    """fake, real (T,) -> Pearson's correlation over the frames that both have; nan where one does not vary"""
    both = ~(np.isnan(fake) | np.isnan(real))
    a, b = fake[both].astype(np.float64), real[both].astype(np.float64)
    if len(a) < 2 or np.ptp(a) < 1e-6 or np.ptp(b) < 1e-6:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def pooled_correlation(
    fake: Sequence[np.ndarray], real: Sequence[np.ndarray], rest: Sequence[float]
) -> float:
    """Openings of several clips -> one correlation over all their frames

    rest: each clip's opening at rest, subtracted, so that one person's fuller lips do not count as speech.
    """
    shifted = [[one - level for one, level in zip(side, rest, strict=True)] for side in (fake, real)]
    return correlation(*(np.concatenate(side) for side in shifted))


def opening_gain(fake: np.ndarray, real: np.ndarray) -> float:
    """fake, real (T,) openings -> the ratio of their standard deviations: below 1 the mouth moves too little"""
    both = ~(np.isnan(fake) | np.isnan(real))
    spread = real[both].std() if both.any() else 0.0
    return float(fake[both].std() / spread) if spread > 1e-6 else float("nan")


def lag_correlations(later: np.ndarray, reference: np.ndarray, largest: int = LARGEST_LAG) -> np.ndarray:
    """later, reference (T,) -> (2 largest + 1,): their correlation when `later` is that many frames late

    The entry for a delay of d frames is at index largest + d. Every delay is judged on the same frames of `later`, so
    that no delay gains from the part that it leaves out.
    """
    if len(later) < 2 * largest + 2:
        return np.full(2 * largest + 1, np.nan)
    inner = later[largest : len(later) - largest]
    delays = range(-largest, largest + 1)
    return np.array([correlation(inner, reference[largest - d : len(later) - largest - d]) for d in delays])


def best_lag(curves: Sequence[np.ndarray]) -> float:
    """Curves of `lag_correlations`, one a clip -> the delay in frames where their mean is highest; nan for none"""
    usable = [curve for curve in curves if not np.isnan(curve).all()]
    if not usable:
        return float("nan")
    curve = np.array([mean(values) for values in np.stack(usable, axis=1)])
    return float(np.nanargmax(curve) - len(curve) // 2)


def best_correlation(curve: np.ndarray) -> float:
    """A curve of `lag_correlations` -> its highest value; nan for none"""
    return float("nan") if np.isnan(curve).all() else float(np.nanmax(curve))


def jitter(landmarks: np.ndarray) -> float:
    """landmarks (T, 68, 2) -> mean length of the second difference over time of the 48 points outside the mouth"""
    accelerations = np.diff(landmarks[:, NON_MOUTH], n=2, axis=0)
    return mean(np.linalg.norm(accelerations, axis=-1).mean(-1))


def loudness(audio: np.ndarray, frames: int) -> np.ndarray:
    """audio (N,) at 16 kHz -> (frames,): level of each video frame in dB, -100 at least"""
    samples = np.pad(audio.astype(np.float64), (0, max(0, frames * SAMPLES_PER_FRAME - len(audio))))
    power = (samples[: frames * SAMPLES_PER_FRAME].reshape(frames, SAMPLES_PER_FRAME) ** 2).mean(1)
    return 10 * np.log10(power + 1e-10)


def silent_frames(audio: np.ndarray, frames: int) -> np.ndarray:
    """audio (N,) -> (frames,) bool: pauses, three frames and more away from anything loud

    Loud is what lies above a third of the way, in dB, from the clip's quietest tenth to its loudest twentieth, after a
    pre-emphasis that takes off the rumble of rooms. On GRID this finds 70 % of what the transcripts call silence, and
    hardly a frame that they do not. A clip whose level spans less than 15 dB has no pauses, or is silent all through.
    """
    level = loudness(audio - 0.97 * np.concatenate([[0], audio[:-1]]), frames)
    if level.max(initial=-100) < NO_SOUND:
        return np.ones(frames, bool)
    quiet, loud = np.percentile(level, [10, 95])
    if loud - quiet < SPEECH_RANGE:
        return np.zeros(frames, bool)
    sounding = np.pad(level > quiet + (loud - quiet) / 3, PAUSE_MARGIN)
    return ~np.lib.stride_tricks.sliding_window_view(sounding, 2 * PAUSE_MARGIN + 1).any(-1)


def long_pauses(pauses: np.ndarray) -> np.ndarray:
    """pauses (T,) as `silent_frames` finds them, with their margins off -> (T,) bool: those of more than 0.4 s"""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], pauses.astype(int), [0]])))
    chosen = np.zeros(len(pauses), bool)
    for start, end in edges.reshape(-1, 2):
        chosen[start:end] = end - start + 2 * PAUSE_MARGIN > LONG_PAUSE
    return chosen


def shut_eyes(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (T, 68, 2) of a clip -> (T,) bool: where its eyes are shut, or nearly"""
    openness = eye_openness(landmarks)
    return openness < SHUT_EYES * np.nanquantile(openness, OPEN_EYES)


def eyes_fall(landmarks: np.ndarray) -> float:
    """landmarks (T, 68, 2) of a clip -> how far the eye aspect ratio falls from open eyes to its least"""
    openness = eye_openness(landmarks)
    return float(np.nanquantile(openness, OPEN_EYES) - np.nanmin(openness))


def pause_opening(landmarks: np.ndarray, rest: np.ndarray, pauses: np.ndarray) -> float:
    """landmarks (T, 68, 2), rest (68, 2), pauses (T,) bool -> mean opening in pauses, as a multiple of rest's

    1 is a mouth at rest; nan where there is no pause.
    """
    level = float(mouth_opening(rest))
    return mean(mouth_opening(landmarks)[pauses]) / level if level > 1e-6 else float("nan")


def pause_excess(landmarks: np.ndarray, rest: np.ndarray, pauses: np.ndarray) -> float:
    """As `pause_opening`, but the difference from rest's opening in pixels: for lips that rest on each other"""
    return mean(mouth_opening(landmarks)[pauses]) - float(mouth_opening(rest))
