"""Windows of sound about each video frame, whole or as it arrives."""

from __future__ import annotations

import numpy as np

CONTEXT = 3  # video frames on either side of the one that a window describes


def cut(sound: np.ndarray, begin: int, length: int) -> np.ndarray:
    """sound (N,) -> (length,) of it from sample `begin` on, float32; zeros before its first and after its last"""
    inside = np.asarray(sound, np.float32)[max(0, begin) : max(0, begin + length)]
    left = min(length, max(0, -begin))
    return np.pad(inside, (left, length - left - len(inside)))


def sliding(values: np.ndarray, window: int, step: int) -> np.ndarray:
    """values (N, ...) -> (1 + (N - window) // step, ..., window): a view, which must not be written to"""
    return np.lib.stride_tricks.sliding_window_view(values, window, axis=0)[::step]


class FrameWindows:
    """Sound that arrives in pieces, waiting until the window of the next video frame is whole.

    step: samples of a frame; window: samples that a frame's window needs, from three frames before it on; shape: of the
    window that `cut` makes of them.
    """

    def __init__(self, step: int, window: int, shape: tuple[int, ...]) -> None:
        self.step, self.window, self.shape = step, window, shape
        self.samples, self.frames = 0, 0
        self.buffer = np.zeros(CONTEXT * step, np.float32)  # from the beginning of the next frame's window

    def push(self, sound: np.ndarray) -> np.ndarray:
        """sound (n,) -> the windows (k, *shape) that it completes; k may be 0"""
        self.samples += len(sound)
        return self._take(sound)

    def finish(self) -> np.ndarray:
        """The remaining windows (k, *shape), so that ceil(samples / step) have been returned in all"""
        missing = -(-self.samples // self.step) - self.frames
        needed = self.window + self.step * (missing - 1) - len(self.buffer)
        return self._take(np.zeros(max(0, needed), np.float32))[: max(0, missing)]

    def _take(self, sound: np.ndarray) -> np.ndarray:
        if len(sound):
            self.buffer = np.concatenate([self.buffer, self.prepare(np.asarray(sound, np.float32))])
        ready = (len(self.buffer) - self.window) // self.step + 1
        if ready <= 0:
            return np.zeros((0, *self.shape), np.float32)
        windows = self.cut(ready)
        self.buffer = self.buffer[ready * self.step :]
        self.frames += ready
        return windows

    def prepare(self, sound: np.ndarray) -> np.ndarray:
        """sound (n,), at least one sample -> what of it is kept, (n,)"""
        raise NotImplementedError

    def cut(self, ready: int) -> np.ndarray:
        """The first windows (ready, *shape) of the buffer"""
        raise NotImplementedError
