"""The sketch of lip-to-speech: a mel that layers over time alone draw of features and context (not in the paper)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from utils.audio.mel import COLUMNS, MELS

FRAMES, FINE = (1, 2), (1, 2, 4, 8, 1, 2)  # spacings of the convolutions over frames, and over columns
KERNEL = 5


class Sketch(nn.Linear):
    """features (B, S, F) -> (B, 80, 4 S), a mel before its tanh

    A linear layer; with a `width` also residual convolutions over time, at `width` channels over frames and half as
    many over the mel's four columns a frame. They begin as nothing, so that a linear sketch can grow into these. A
    column hears of 16 frames either side.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__(features, MELS * COLUMNS)
        self.layers = None
        if width:
            half = width // 2
            self.layers = nn.Sequential(
                nn.Conv1d(features, width, 1),
                *(ResidualConvolution(width, spacing, dropout) for spacing in FRAMES),
                nn.Conv1d(width, half * COLUMNS, 3, padding=1),
                Unfolded(),
                *(ResidualConvolution(half, spacing, dropout) for spacing in FINE),
                nn.Conv1d(half, MELS, 1),
            )
            nn.init.zeros_(self.layers[-1].weight)
            nn.init.zeros_(self.layers[-1].bias)

    def forward(self, features: Tensor) -> Tensor:
        drawn = super().forward(features).unflatten(2, (COLUMNS, MELS)).flatten(1, 2).transpose(1, 2)
        return drawn if self.layers is None else drawn + self.layers(features.transpose(1, 2))


class Unfolded(nn.Module):
    """(B, 4 C, S) -> (B, C, 4 S): each frame's channels become those of its four columns"""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.unflatten(1, (COLUMNS, -1)).permute(0, 2, 3, 1).flatten(2)


class ResidualConvolution(nn.Module):
    """(B, C, T) -> (B, C, T): plus what a convolution makes of five columns, `spacing` apart

    Each column's channels are normalised by themselves, so that a stretch of a clip gives what the whole does.
    """

    def __init__(self, channels: int, spacing: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.over_time = nn.Conv1d(
            channels, channels, KERNEL, padding=KERNEL // 2 * spacing, dilation=spacing
        )
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        normal = self.norm(maps.transpose(1, 2)).transpose(1, 2)
        return maps + self.mix(self.dropout(F.gelu(self.over_time(normal))))
