"""What the lip reader hears: log mel energies, each band standardised over the clip (Kim et al., ICCV 2021).

80 bands on HTK's scale from 0 to 8 kHz of the power in Hann windows of 400 samples, every 160, at 16 kHz; four columns
a video frame. utils.audio.mel has lip-to-speech's, which can be turned back into sound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from utils.audio import SAMPLE_RATE
from utils.audio.mel import triangles

BANDS = 80
WINDOW, HOP = 400, 160  # samples
BINS = WINDOW // 2 + 1
LEAST = 1e-10  # of energies and of deviations


def log_mel(audio: np.ndarray | Tensor) -> Tensor:
    """audio (160 M,), at least 201 samples -> (80, M) float32, of mean 0 and deviation 1 in each band over time

    As in the original, these are of one column more, about the end of the sound.
    """
    audio = torch.as_tensor(audio, dtype=torch.float32)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(audio, WINDOW, HOP, window=window, center=True, return_complex=True)
    power = spectrum.abs().square() / window.square().sum()
    levels = 10 * (filters() @ power).clamp(min=LEAST).log10()
    mean, deviation = levels.mean(1, keepdim=True), levels.std(1, keepdim=True)
    return ((levels - mean) / (deviation + LEAST))[:, : len(audio) // HOP]


@lru_cache(maxsize=1)
def filters() -> Tensor:
    """(80, 201): triangles of height 1, evenly spaced on HTK's mel scale"""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    return torch.from_numpy(triangles(edges, np.linspace(0, SAMPLE_RATE / 2, BINS))).float()
