"""Sound out of magnitudes: Griffin and Lim's phases (1984), hastened by momentum (Perraudin et al. 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.audio.mel import EMPHASIS, istft, stft

ITERATIONS, MOMENTUM = 60, 0.99
MEMORY = 2048  # samples after which de-emphasis has forgotten, 0.97 ** 2048 < 1e-27


def griffin_lim(magnitudes: Tensor, iterations: int = ITERATIONS, seed: int = 0) -> Tensor:
    """magnitudes (..., 321, M) -> emphasised sound (..., 160 M); what is negative counts as nothing

    Starts from phases that `seed` draws, so that the same magnitudes always sound the same.
    """
    magnitudes = magnitudes.detach().float().clamp(min=0)
    magnitudes = torch.cat([magnitudes, magnitudes[..., -1:]], dim=-1)
    random = torch.Generator().manual_seed(seed)
    angles = 2 * torch.pi * torch.rand(magnitudes.shape, generator=random).to(magnitudes.device)
    phases, before = torch.polar(torch.ones_like(angles), angles), torch.zeros((), device=angles.device)
    for _ in range(iterations):
        rebuilt = stft(istft(magnitudes * phases))
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * before
        phases, before = moved / moved.abs().clamp(min=1e-16), rebuilt
    return istft(magnitudes * phases)


def deemphasised(sound: Tensor, before: float = 0.0) -> Tensor:
    """emphasised sound (N,) -> (N,), the inverse of pre-emphasis; before: the last sample of what came before

    The recursion y[n] = x[n] + 0.97 y[n - 1] as a product of spectra.
    """
    size = len(sound) + MEMORY
    turns = torch.fft.rfftfreq(size, device=sound.device).double() * (-2j * torch.pi)
    spectrum = torch.fft.rfft(sound.double(), size) / (1 - EMPHASIS * turns.exp())
    decay = EMPHASIS ** torch.arange(1, len(sound) + 1, dtype=torch.float64, device=sound.device)
    return (torch.fft.irfft(spectrum, size)[: len(sound)] + before * decay).float()
