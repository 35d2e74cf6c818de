"""Sound: its rates, the networks' features and windows, and noise."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16000  # Hz, of what AT-net hears and stores hold
FPS = 25  # video frames a second, everywhere
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
SILENT = 1e-4  # no sample is louder


def is_silent(sound: np.ndarray) -> bool:
    return float(np.abs(sound).max(initial=0)) < SILENT
