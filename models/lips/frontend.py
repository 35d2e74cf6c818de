"""The visual front-end of lip-to-speech and of the lip reader: a 3-D convolution and a ResNet-18 over each frame."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.layers import fold, unfold


class VisualFrontend(nn.Module):
    """mouths (B, S, H, W), normalised by `utils.face.mouth.to_mouth_network` -> features (B, S, 8 width)

    A frame's features see it and two frames either side. Activations are PReLU. width: channels of the first layers,
    64 as published; any size of mouth will do, 112 as published. pool3: of the last maps only the upper left 3 x 3
    count, which is what the lip reader's original takes of the 4 x 4 that 112 pixels leave.
    """

    def __init__(self, width: int = 64, pool3: bool = False) -> None:
        super().__init__()
        self.features, self.pool3 = 8 * width, pool3
        self.stem = nn.Sequential(
            nn.Conv3d(1, width, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.PReLU(width),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(inputs, outputs), BasicBlock(outputs, outputs))
                for inputs, outputs in pairwise(widths)
            )
        )

    def forward(self, mouths: Tensor) -> Tensor:
        maps = fold(self.stem(mouths.unsqueeze(1)).transpose(1, 2))  # (B S, C, H / 4, W / 4)
        maps = maps.contiguous(memory_format=torch.channels_last)
        maps = self.stages(maps)
        if self.pool3:
            maps = maps[..., :3, :3]
        return unfold(maps.mean((2, 3)), len(mouths))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016). Wider outputs come at half the size.

    activation: makes the layer of so many channels that follows each sum, PReLU's own slopes by default.
    """

    def __init__(self, inputs: int, outputs: int, activation: type[nn.Module] = nn.PReLU) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.act1, self.act2 = (
            activation(outputs) if activation is nn.PReLU else activation() for _ in range(2)
        )
        self.stride, self.shortcut = stride, nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        for layer in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')"""
        made = self.act1(self.norm1(self.conv1(maps)))
        # Every other pixel is taken first: the strided 1 x 1 convolution of PyTorch 2.14, on a CPU with channels last,
        # writes beyond its memory.
        side = self.shortcut(maps[..., :: self.stride, :: self.stride])
        return self.act2(self.norm2(self.conv2(made)) + side)
