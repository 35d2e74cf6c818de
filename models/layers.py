"""Blocks that the networks share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1, norm: bool = True):
    """Convolution, batch normalisation (a bias instead where `norm` is false), ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def upconv(inputs: int, outputs: int, bias: bool = False) -> nn.Sequential:
    """Transposed convolution that doubles height and width, batch normalisation, ReLU."""
    layer = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Freezable(nn.Module):
    """A network parts of which training may leave as they are"""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[nn.Module] = []

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """These parts neither learn nor, as of dropout and of their statistics, behave as in training any more"""
        self.frozen = list(parts)
        for part in self.frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Freezable:
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self


class ResidualBlock(nn.Module):
    """x + conv, norm, ReLU, dropout, conv, norm; nothing after the sum."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """features (B, C, H, W) -> (B, C, H, W)"""
        return features + self.block(features)


def fold_norms(network: nn.Module) -> nn.Module:
    """The network, changed in place: batch normalisations join the convolutions before them; for inference only"""
    network.eval()
    for block in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (name, layer), (after, norm) in pairwise([*block.named_children()]):
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(layer, nn.ConvTranspose2d)
                setattr(block, name, fuse_conv_bn_eval(layer, norm, transposed))
                setattr(block, after, nn.Identity())
    return network


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths, a ReLU after each."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def fold(x: Tensor) -> Tensor:
    """(B, T, ...) -> (B T, ...)"""
    return x.flatten(0, 1)


def unfold(x: Tensor, batch: int) -> Tensor:
    """(B T, ...) -> (B, T, ...)"""
    return x.unflatten(0, (batch, -1))
