"""Sound: its rates, the networks' features and windows, and noise."""

from __future__ import annotations

SAMPLE_RATE = 16000  # Hz, of what AT-net hears and stores hold
FPS = 25  # video frames a second, everywhere
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
