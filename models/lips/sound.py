"""What lip-to-speech makes of mels: magnitudes for a vocoder, and a description of a voice."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.audio.mel import BINS, MELS

HALF = 1 / math.sqrt(2)  # keeps the variance of a sum of two


class Postnet(nn.Module):
    """Section 3.3: normalised mels (B, 80, T) -> magnitudes (B, 321, T), which may come out slightly negative"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(MELS, width, 7, padding=3),
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.2),
            PostnetBlock(width, 2 * width),
            PostnetBlock(2 * width, 2 * width),
            PostnetBlock(2 * width, 2 * width),
            nn.Conv1d(2 * width, BINS, 1, bias=False),
        )

    def forward(self, mels: Tensor) -> Tensor:
        return self.layers(mels)


class PostnetBlock(nn.Module):
    """Two convolutions over time beside a shortcut, over the root of two"""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Conv1d(inputs, inputs, 5, padding=2),
            nn.Conv1d(inputs, outputs, 5, padding=2),
        )
        self.shortcut = nn.Conv1d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        made = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(maps, 0.2)), 0.2))
        return (made + self.shortcut(maps)) * HALF


class VoiceEncoder(nn.Module):
    """A recording's normalised mel (B, 80, M) -> (B, numbers): how its speaker sounds, whatever is said

    Means and deviations over time of what three convolutions hear. Columns of mere silence do not count.
    """

    def __init__(self, numbers: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (MELS, width, width):
            layers += [nn.Conv1d(inputs, width, 5, padding=2), nn.ReLU(inplace=True)]
        self.layers, self.out = nn.Sequential(*layers), nn.Linear(2 * width, numbers)

    def forward(self, mels: Tensor) -> Tensor:
        heard = (mels.amax(1, keepdim=True) > -0.9).float()
        count = heard.sum(-1).clamp(min=1)
        maps = self.layers(mels)
        mean = (maps * heard).sum(-1) / count
        spread = ((maps - mean.unsqueeze(-1)).square() * heard).sum(-1) / count
        return self.out(torch.cat([mean, (spread + 1e-6).sqrt()], dim=1))
