"""Speech features: MFCC at four rows per video frame, in windows of seven frames (Section 3.1).

The maths is that of the original's features (the `python_speech_features` package with its defaults): pre-emphasis
0.97, 25 ms rectangular windows every 10 ms, 512-point power spectrum, 26 mel filters, orthonormal DCT-II, 13 cepstra
with a sine lifter of 22, the energy column dropped. One function serves preprocessing, training and the demo.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.windows import CONTEXT, FrameWindows, cut, sliding

HOP, WINDOW, FFT_SIZE = 160, 400, 512
FILTERS, CEPSTRA = 26, 12
ROWS_PER_FRAME = SAMPLES_PER_FRAME // HOP
ROWS = ROWS_PER_FRAME * (2 * CONTEXT + 1)  # of a video frame's window


def mfcc(audio: np.ndarray, warp: float = 1.0) -> np.ndarray:
    """audio (N,) at 16 kHz in [-1, 1] -> (M, 12), M = 1 + ceil((N - 400) / 160), float32

    warp: vocal tract length perturbation (Jaitly and Hinton 2013); 1.1 raises the formants by a tenth.
    """
    rows = 1 + max(0, -(-(len(audio) - WINDOW) // HOP))
    emphasised = _preemphasise(audio, 0.0)
    if len(audio):
        emphasised[0] = audio[0]
    return _cepstra(np.pad(emphasised, (0, max(0, _span(rows) - len(audio)))), rows, warp)


def windows(audio: np.ndarray, frames: int, warp: float = 1.0, start: int = 0) -> np.ndarray:
    """audio (N,), the number of video frames T -> (T, 28, 12), float32

    The window of frame f holds the MFCC rows of frames f-3 ... f+3; the first one is that of frame `start`. Sound
    before the first sample and after the last counts as zero.
    """
    return context_windows(context(audio, frames, start), warp)


def context(audio: np.ndarray, frames: int, start: int = 0) -> np.ndarray:
    """audio (N,) -> the samples that the windows of frames start ... start + frames - 1 see, zero-padded"""
    rows = ROWS_PER_FRAME * (frames + 2 * CONTEXT)
    return cut(audio, SAMPLES_PER_FRAME * (start - CONTEXT), _span(rows))


def context_windows(samples: np.ndarray, warp: float = 1.0) -> np.ndarray:
    """What `context` returned, perhaps changed by augmentation -> windows (T, 28, 12)"""
    return _stack(mfcc(samples, warp))


class AudioWindows(FrameWindows):
    """`windows` for sound at 16 kHz that arrives in pieces; the pieces may have any length.

    >>> stream = AudioWindows()
    >>> parts = [stream.push(piece) for piece in pieces] + [stream.finish()]
    """

    def __init__(self) -> None:
        super().__init__(SAMPLES_PER_FRAME, _span(ROWS), (ROWS, CEPSTRA))
        self.last = 0.0

    def prepare(self, sound: np.ndarray) -> np.ndarray:
        emphasised, self.last = _preemphasise(sound, self.last), float(sound[-1])
        return emphasised

    def cut(self, ready: int) -> np.ndarray:
        return _stack(_cepstra(self.buffer, ROWS_PER_FRAME * (ready - 1) + ROWS, 1.0))


def _span(rows: int) -> int:
    """How many samples that many rows cover."""
    return WINDOW + HOP * (rows - 1)


def _preemphasise(audio: np.ndarray, before: float) -> np.ndarray:
    audio = np.asarray(audio, np.float32)
    return audio - 0.97 * np.concatenate([[np.float32(before)], audio[:-1]]).astype(np.float32)[: len(audio)]


def _cepstra(emphasised: np.ndarray, rows: int, warp: float) -> np.ndarray:
    """emphasised (at least 400 + 160 (rows - 1),) -> (rows, 12)"""
    frames = sliding(emphasised, WINDOW, HOP)[:rows]
    power = np.abs(np.fft.rfft(frames.astype(np.float64), FFT_SIZE)) ** 2 / FFT_SIZE
    energies = power @ _mel_filters(warp).T
    energies[energies == 0] = np.finfo(float).eps
    return (np.log(energies) @ _lifted_dct()).astype(np.float32)


def _stack(rows: np.ndarray) -> np.ndarray:
    """rows (4 (T + 6), 12) -> (T, 28, 12)"""
    return np.ascontiguousarray(sliding(rows, ROWS, ROWS_PER_FRAME).transpose(0, 2, 1))


@lru_cache(maxsize=64)
def _mel_filters(warp: float) -> np.ndarray:
    """(26, 257): triangles between whole FFT bins, evenly spaced in mel up to 8 kHz"""
    nyquist = SAMPLE_RATE / 2
    mels = np.linspace(0, 2595 * np.log10(1 + nyquist / 700), FILTERS + 2)
    edges = np.floor((FFT_SIZE + 1) * _warp(700 * (10 ** (mels / 2595) - 1), warp) / SAMPLE_RATE)
    filters = np.zeros((FILTERS, FFT_SIZE // 2 + 1))
    for f, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        up, down = np.arange(low, centre), np.arange(centre, high)
        filters[f, up.astype(int)] = (up - low) / max(centre - low, 1)
        filters[f, down.astype(int)] = (high - down) / max(high - centre, 1)
    return filters


def _warp(frequencies: np.ndarray, factor: float) -> np.ndarray:
    """Filter edges moved against the formants: linear to 4.8 kHz, then bent so that 8 kHz stays."""
    knee, nyquist = 4800.0 * min(factor, 1.0), SAMPLE_RATE / 2
    bent = nyquist - (nyquist - knee) / (nyquist - knee / factor) * (nyquist - frequencies)
    return np.where(frequencies <= knee / factor, frequencies * factor, bent)


@lru_cache(maxsize=1)
def _lifted_dct() -> np.ndarray:
    """(26, 12): orthonormal DCT-II, columns 1 to 12, each scaled by the sine lifter"""
    n = np.arange(1, CEPSTRA + 1)
    basis = np.cos(np.pi * n * (2 * np.arange(FILTERS)[:, None] + 1) / (2 * FILTERS))
    return basis * np.sqrt(2 / FILTERS) * (1 + 11 * np.sin(np.pi * n / 22))
