"""How loud a recording is, video frame by video frame, and features of that alone: nothing else of a voice is in them.

Loudness is the logarithm of a frame's power, in dB. What a network sees is where it lies between the recording's pauses
(0) and its loud speech (1), so that microphones and distances do not matter, and how it has changed.
"""

from __future__ import annotations

import numpy as np

from utils.audio import SAMPLES_PER_FRAME

QUIETEST, LOUDEST, BIN = -100.0, 10.0, 0.5  # dB, of what `Levels` counts
PAUSE, SPEECH = 0.1, 0.9  # shares of the frames that are quieter: pauses, loud speech
LEAST_RANGE = 12.0  # dB between the two: steady noise is no speech
DELTAS = (1, 5)  # frames back, of the changes
FEATURES = 1 + len(DELTAS)


def loudness(sound: np.ndarray, frames: int | None = None) -> np.ndarray:
    """sound (N,) at 16 kHz in [-1, 1] -> (T,) dB of each frame, float32; T = ceil(N / 640), or as many as asked for"""
    count = -(-len(sound) // SAMPLES_PER_FRAME) if frames is None else frames
    whole = np.zeros(count * SAMPLES_PER_FRAME, np.float64)
    whole[: len(sound)] = sound[: len(whole)]
    power = np.square(whole.reshape(count, SAMPLES_PER_FRAME)).mean(1)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-30)), QUIETEST).astype(np.float32)


class LoudnessStream:
    """`loudness` of sound that arrives in pieces of any length."""

    def __init__(self) -> None:
        self.waiting = np.zeros(0, np.float32)

    def push(self, sound: np.ndarray) -> np.ndarray:
        """sound (n,) -> (k,) dB of the frames that it completes"""
        sound = np.concatenate([self.waiting, np.asarray(sound, np.float32)])
        ready = len(sound) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
        self.waiting = sound[ready:]
        return loudness(sound[:ready])

    def finish(self) -> np.ndarray:
        """(0 or 1,): a frame that has not all its samples"""
        last, self.waiting = self.waiting, self.waiting[:0]
        return loudness(last)


class Levels:
    """How loud a recording's pauses and its speech are, counted as it arrives; takes the same memory for any length."""

    def __init__(self) -> None:
        self.counts = np.zeros(round((LOUDEST - QUIETEST) / BIN) + 1, np.int64)

    @classmethod
    def of(cls, heard: np.ndarray) -> Levels:
        """heard (T,) dB: of a whole recording"""
        levels = cls()
        levels.add(heard)
        return levels

    def add(self, heard: np.ndarray) -> None:
        """heard (k,) dB: the next frames"""
        places = np.round((np.asarray(heard, np.float64) - QUIETEST) / BIN).astype(int)
        np.add.at(self.counts, places.clip(0, len(self.counts) - 1), 1)

    def range(self) -> tuple[float, float]:
        """dB of the pauses and of loud speech"""
        share = self.counts.cumsum() / max(self.counts.sum(), 1)
        low, high = (QUIETEST + BIN * int(np.searchsorted(share, part)) for part in (PAUSE, SPEECH))
        return low, max(high, low + LEAST_RANGE)

    def place(self, heard: np.ndarray) -> np.ndarray:
        """heard (T,) dB -> (T,) float32: 0 as in pauses, 1 as loud speech"""
        low, high = self.range()
        return ((np.asarray(heard, np.float32) - low) / (high - low)).clip(-0.5, 1.5).astype(np.float32)


def features(heard: np.ndarray, levels: Levels, before: int = 0) -> np.ndarray:
    """heard (n + T,) dB -> (T, 3) float32: where it lies between pauses and speech, and its changes over 1 and 5 frames

    before: n, how many frames of what came before are given, for the changes; none is like the first one.
    """
    placed = levels.place(heard)
    known = np.concatenate([np.full(max(DELTAS), placed[0] if len(placed) else 0, np.float32), placed])
    start = max(DELTAS) + before
    changes = [placed[before:] - known[start - back : len(known) - back] for back in DELTAS]
    return np.stack([placed[before:], *changes], axis=-1)
