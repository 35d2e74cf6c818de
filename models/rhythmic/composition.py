"""The main branch: SPADE blocks from the references' features to a frame; label and pictures meet in them (2.5)"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rhythmic.kernels import LevelKernels
from models.rhythmic.layers import SLOPE, Kernel, PlainNorm, SpectralConv2d, doubled, quiet

COMPOSED = 2  # the finest levels, in which warped pictures take part


class Spade(nn.Module):
    """Normalised features, scaled and shifted as maps say: one after the other, or each alone and then their mean.

    maps: how many there are at most, the label's first. generated: the label's weights are given with each sample.
    """

    def __init__(self, channels: int, inputs: int, maps: int, generated: bool, norm: str) -> None:
        super().__init__()
        self.norm = PlainNorm(norm, channels)
        own = maps - 1 if generated else maps
        self.convolutions = nn.ModuleList(quiet(nn.Conv2d(inputs, 2 * channels, 1)) for _ in range(own))

    def forward(self, x: Tensor, maps: Sequence[Tensor], kernel: Kernel | None, mean: bool, remember: bool):
        """x (B, C, H, W), maps (B, c, H, W) each -> (B, C, H, W); with mean, behind leaky ReLUs"""
        x = self.norm(x, remember)
        layers = [*([] if kernel is None else [kernel]), *self.convolutions]
        made = []
        for layer, one in zip(layers, maps, strict=False):  # without pictures, there is the label's map alone
            scale, shift = _modulation(layer, one).chunk(2, dim=1)
            modulated = torch.addcmul(shift, x, scale)
            if mean:
                made.append(F.leaky_relu(modulated, SLOPE))
            else:
                x = modulated
        return sum(made) / len(made) if mean else x


def _modulation(layer: Kernel | nn.Conv2d, one: Tensor) -> Tensor:
    """one (B, c, H, W) -> (B, 2 C, H, W): 1 + the scale that the layer makes of the map, and its shift"""
    half = layer.bias.shape[-1] // 2
    bias = layer.bias + F.pad(layer.bias.new_ones(half), (0, half))  # here, where it is one number a channel
    if isinstance(layer, Kernel):
        return Kernel(layer.weight, bias)(one)
    return F.conv2d(one, layer.weight, bias)


class SpadeBlock(nn.Module):
    """Residual block of two SPADE layers, from `inputs` to `outputs` channels; the map has `outputs` channels

    mean: with several maps, each modulates the features by itself and their mean goes on (`use_new`); the shortcut
    takes them one after the other all the same.
    """

    def __init__(self, inputs: int, outputs: int, maps: int, generated: bool, norm: str, mean: bool) -> None:
        super().__init__()
        rest = outputs, maps, generated, norm
        self.mean = mean
        self.spade_0, self.spade_1 = Spade(inputs, *rest), Spade(outputs, *rest)
        self.conv_0 = SpectralConv2d(inputs, outputs)
        self.conv_1 = SpectralConv2d(outputs, outputs)
        self.spade_s = Spade(inputs, *rest) if inputs != outputs else None
        self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor, maps: Sequence[Tensor], kernels: LevelKernels | None, remember: bool = True):
        """x (B, inputs, H, W) -> (B, outputs, H, W)"""
        first, second, shortcut = (None,) * 3 if kernels is None else kernels[:3]
        y = self.conv_0(self._activated(self.spade_0, x, maps, first, remember))
        y = self.conv_1(self._activated(self.spade_1, y, maps, second, remember))
        if self.spade_s is not None:
            x = self.conv_s(self.spade_s(x, maps, shortcut, False, remember))
        return x + y

    def _activated(
        self, spade: Spade, x: Tensor, maps: Sequence[Tensor], kernel: Kernel | None, remember: bool
    ):
        x = spade(x, maps, kernel, self.mean, remember)
        return x if self.mean else F.leaky_relu(x, SLOPE)


class MainBranch(nn.Module):
    """Features of the references (B, C, H / 32, W / 32) -> frames

    pictures: how many pictures take part in the finest levels, by SPADE.
    """

    def __init__(self, widths: Sequence[int], pictures: int, generated: bool, norm: str, mean: bool) -> None:
        super().__init__()
        last = len(widths) - 1
        self.blocks = nn.ModuleList()
        for level, outputs in enumerate(widths):
            maps = 1 + pictures if level < COMPOSED else 1
            inputs = widths[min(level + 1, last)]
            by_kernels = generated and level < last - 1
            self.blocks.append(SpadeBlock(inputs, outputs, maps, by_kernels, norm, mean and maps > 1))
        self.to_colours = nn.Conv2d(widths[0], 3, 3, padding=1)

    def coarse(self, x: Tensor, labels: Sequence[Tensor], kernels: Sequence[LevelKernels]) -> Tensor:
        """The levels in which no picture takes part -> (B, C, H / 2, W / 2)"""
        for level in range(len(self.blocks) - 1, COMPOSED - 1, -1):
            given = kernels[level] if level < len(kernels) else None
            x = doubled(self.blocks[level](x, [labels[level]], given))
        return x

    def fine(
        self,
        x: Tensor,
        labels: Sequence[Tensor],
        pictures: Sequence[Sequence[Tensor]],
        kernels: Sequence[LevelKernels],
        remember: bool = True,
    ) -> Tensor:
        """pictures: of each, its maps -> frames (B, 3, H, W) in [-1, 1]"""
        for level in range(COMPOSED - 1, -1, -1):
            maps = [labels[level], *(picture[level] for picture in pictures)]
            x = self.blocks[level](x, maps, kernels[level] if kernels else None, remember)
            x = doubled(x) if level else x
        return torch.tanh(self.to_colours(F.leaky_relu(x, SLOPE)).float())
