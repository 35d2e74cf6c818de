"""Where the target shows each pixel of a picture, learned (the flow nets of Section 2.5); flows are in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rhythmic.layers import SLOPE, SpectralConv2d, block, doubled, norm_layer, quiet

REACH = 20 / 256  # of the image's size: what the last layer's 1 is worth, 20 pixels of 256


class FlowNet(nn.Module):
    """Labels of target and picture, and the picture -> flow and weight

    halved: all at half the size, and what comes of it is interpolated.
    """

    def __init__(self, widths: Sequence[int], blocks: int, norm: str, halved: bool) -> None:
        super().__init__()
        self.halved = halved
        pairs = list(pairwise(widths))
        down = (block(a, b, 2, norm) for a, b in pairs)
        middle = (ResidualBlock(widths[-1], norm) for _ in range(blocks))
        self.encoder = nn.Sequential(block(5, widths[0], 1, norm), *down, *middle)
        self.decoder = nn.ModuleList(block(b, a, 1, norm) for a, b in reversed(pairs))
        self.flow = quiet(nn.Conv2d(widths[0], 2, 3, padding=1))
        self.weight = quiet(nn.Conv2d(widths[0], 1, 3, padding=1))

    def forward(self, label: Tensor, source_label: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """label, source_label (B, 1, H, W), source (B, 3, H, W) -> flow (B, 2, H, W), weight (B, 1, H, W) in [0, 1]

        The weight is that of what is synthesised: 0 where the warped picture is to be trusted.
        """
        x = torch.cat([label, source_label, source], dim=1)
        x = self.encoder(F.avg_pool2d(x, 2) if self.halved else x)
        for layer in self.decoder:
            x = layer(doubled(x))
        flow, weight = REACH * label.shape[-1] * self.flow(x).float(), self.weight(x).float()
        if self.halved:
            both = torch.cat([flow, weight], dim=1)
            both = F.interpolate(both, scale_factor=2, mode="bilinear", align_corners=False)
            flow, weight = both.split([2, 1], dim=1)
        return flow, torch.sigmoid(weight)


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x))))))"""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        half = [
            norm_layer(norm, channels),
            nn.LeakyReLU(SLOPE),
            SpectralConv2d(channels, channels, bias=False),
        ]
        ending = SpectralConv2d(channels, channels)
        self.layers = nn.Sequential(*half, norm_layer(norm, channels), nn.LeakyReLU(SLOPE), ending)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def warp_by_flow(image: Tensor, flow: Tensor, sharp: bool = False) -> Tensor:
    """image (B, C, H, W), flow (B, 2, H, W) in pixels, x first -> warped (B, C, H, W): image(p + flow(p))

    Beyond its border the image goes on as at it. No flow gives the image itself. sharp: for pictures in [-1, 1] that
    are looked at, by bicubic interpolation; bilinear would blur what moves, and is enough to learn from.
    """
    height, width = image.shape[2:]
    with torch.autocast(image.device.type, enabled=False):
        image, flow = image.float(), flow.float()
        x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
        y = torch.arange(height, device=flow.device, dtype=flow.dtype).unsqueeze(1) + flow[:, 1]
        grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
        mode = "bicubic" if sharp else "bilinear"
        warped = F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)
        return warped.clamp(-1, 1) if sharp else warped
