"""Raw 8 kHz speech for NR-net: windows of seven video frames, loudness, and speech that arrives in pieces.

The window of frame t holds the samples 320 (t - 3) to 320 (t + 4), centred on the frame's own 320 samples; sound before
the first sample and after the last counts as zero. (The original's generator padded 1120 samples for 960 at the
beginning, so that its faces were half a frame late.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from utils.audio import FPS
from utils.audio.windows import CONTEXT, FrameWindows, cut, sliding

SPEECH_RATE = 8000
SPEECH_STEP = SPEECH_RATE // FPS  # samples of a video frame
SPEECH_WINDOW = SPEECH_STEP * (2 * CONTEXT + 1)
LOOK_AHEAD = CONTEXT / FPS  # seconds of sound after a frame's own that its window holds: 120 ms
RMS = 1.0  # loudness that a recording is brought to: what a network of Xavier's initial weights wants to hear


def speech_context(speech: np.ndarray, frames: int, start: int = 0) -> np.ndarray:
    """speech (N,) -> (320 (frames + 6),): what the windows of frames start ... start + frames - 1 see, zero-padded"""
    return cut(speech, SPEECH_STEP * (start - CONTEXT), SPEECH_STEP * (frames + 2 * CONTEXT))


def speech_windows(speech: np.ndarray, frames: int, start: int = 0) -> np.ndarray:
    """speech (N,), the number of video frames T -> (T, 2240), float32; the first window is that of frame `start`"""
    return sliding(speech_context(speech, frames, start), SPEECH_WINDOW, SPEECH_STEP).copy()


class SpeechWindows(FrameWindows):
    """`speech_windows` for sound that arrives in pieces of any lengths; a frame's window is whole 120 ms after it.

    >>> stream = SpeechWindows()
    >>> parts = [stream.push(piece) for piece in pieces] + [stream.finish()]
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(SPEECH_STEP, SPEECH_WINDOW, (SPEECH_WINDOW,))
        self.gain = np.float32(gain)

    def prepare(self, sound: np.ndarray) -> np.ndarray:
        return sound * self.gain

    def cut(self, ready: int) -> np.ndarray:
        return sliding(self.buffer, SPEECH_WINDOW, SPEECH_STEP)[:ready].copy()


class Loudness:
    """Peak and power of a recording, block by block, and the gain that a network's recordings need."""

    def __init__(self) -> None:
        self.count, self.energy, self.peak = 0, 0.0, 0.0

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> Loudness:
        """blocks (n,) of samples"""
        loudness = cls()
        for block in blocks:
            loudness.count += len(block)
            loudness.energy += float(np.square(block, dtype=np.float64).sum())
            loudness.peak = max(loudness.peak, float(np.abs(block).max(initial=0)))
        return loudness

    def gain(self, level: str) -> float:
        """level: "rms", to a root mean square of 1, or "peak", to a peak of 1 (the original's); 1 for silence"""
        size = self.peak if level == "peak" else (self.energy / max(self.count, 1)) ** 0.5
        return (1.0 if level == "peak" else RMS) / size if size > 1e-5 else 1.0


def set_level(speech: np.ndarray, level: str) -> np.ndarray:
    """speech (N,) -> (N,) float32 at the loudness that networks of this level know"""
    return np.asarray(speech, np.float32) * np.float32(Loudness.of([speech]).gain(level))
