"""The discriminator of rhythmic head motion: patches, given the reference and the target's label (Section 2.7)"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rhythmic.layers import SLOPE, SpectralConv2d


class Opinion(NamedTuple):
    """Of each scale: patch logits (B, 1, h, w), and the features of each layer before"""

    logits: list[Tensor]
    features: list[list[Tensor]]


class RhythmicDiscriminator(nn.Module):
    """Pictures of any size from 64 on; width 32, layers 4, scales 1 are the paper's. Each scale halves the size."""

    def __init__(self, width: int = 32, layers: int = 4, scales: int = 1) -> None:
        super().__init__()
        self.config = dict(width=width, layers=layers, scales=scales)
        self.scales = nn.ModuleList(PatchDiscriminator(width, layers) for _ in range(scales))

    def forward(self, warp_label: Tensor, warp_image: Tensor, label: Tensor, image: Tensor) -> Opinion:
        """warp_label (B, 1, H, W), warp_image (B, 3, H, W), label (B, 1, H, W), image (B, 3, H, W) -> Opinion

        warp_image: the reference, covered by its template; image: the real or made one.
        """
        x = torch.cat([warp_label, warp_image, label, image.to(label)], dim=1)
        opinion = Opinion([], [])
        for i, scale in enumerate(self.scales):
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if i else x
            logits, features = scale(x)
            opinion.logits.append(logits)
            opinion.features.append(features)
        return opinion


class PatchDiscriminator(nn.Module):
    """(B, 8, H, W) -> logits, features; `layers` halvings, then a layer of stride 1"""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        widths = [min(width * 2**i, 16 * width) for i in range(layers + 1)]
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(8, width, 4, 2, 2), nn.LeakyReLU(SLOPE))])
        for i in range(layers):
            convolution = SpectralConv2d(widths[i], widths[i + 1], 4, 2 if i < layers - 1 else 1, bias=False)
            norm = nn.InstanceNorm2d(widths[i + 1])
            self.layers.append(nn.Sequential(convolution, norm, nn.LeakyReLU(SLOPE)))
        self.head = nn.Conv2d(widths[-1], 1, 4, 1, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return self.head(x), features
