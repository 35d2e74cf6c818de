"""The audio front-end of the lip reader, which is lip-to-speech's sync net too: four columns of a mel to features."""

from __future__ import annotations

from torch import Tensor, nn

from models.lips.frontend import BasicBlock
from utils.audio.mel import MELS


class Hearing(nn.Module):
    """Mels (B, 80, 4 S) -> (B, S, features): two convolutions of stride 2, a residual block, and a linear layer

    width: channels of the first convolution, 128 as published. dropout: before the linear layer. Any S will do.
    """

    def __init__(self, features: int = 512, width: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.PReLU(2 * width),
            BasicBlock(2 * width, 2 * width, nn.ReLU),
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width * MELS // 4, features)

    def forward(self, mels: Tensor) -> Tensor:
        maps = self.layers(mels.unsqueeze(1))  # (B, C, 20, S)
        return self.out(self.dropout(maps.flatten(1, 2).transpose(1, 2)))
