"""Weights made of the references: the comb encoder and the weight generator (Section 2.3)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.rhythmic.layers import Kernel, SpectralLinear, block, quiet

LOUDNESS = math.sqrt(2)  # of the label embedder's kernels, whose leaky ReLU halves what it gets


class LevelKernels(NamedTuple):
    """One level's 1 x 1 convolutions for each sample; C and c are the widths of the level below and of this one"""

    spade_0: Kernel  # of the label map, c -> 2 C: scale and shift
    spade_1: Kernel  # c -> 2 c
    spade_s: Kernel | None  # c -> 2 C, of the shortcut; None where there is none
    embed: Kernel  # of the label embedder, C -> c

    def repeated(self, times: int) -> LevelKernels:
        return LevelKernels(*(kernel and kernel.repeated(times) for kernel in self))


class CombEncoder(nn.Module):
    """Image and label features -> for each level but the last, how channels of the one meet channels of the other

    At the references' smallest size throughout, by a batched matrix product. The original's layer for the finest level
    makes a matrix that nobody looks at; there is none here.
    """

    def __init__(self, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        pairs = list(pairwise(reversed(widths[1:])))
        self.image, self.label = (nn.ModuleList(block(a, b, 1, norm) for a, b in pairs) for _ in range(2))

    def forward(self, image: Tensor, label: Tensor) -> list[Tensor]:
        """image, label (B, C, h, w) -> matrices (B, c, c) for the levels' widths 1, 2, ..., from the finest on"""
        matrices = []
        for see, read in zip(self.image, self.label, strict=True):
            image, label = see(image), read(label)
            matrices.append(image.flatten(2) @ label.flatten(2).softmax(1).transpose(1, 2))
        return matrices[::-1]


class WeightGenerator(nn.Module):
    """A level's matrix (B, C, C) -> `LevelKernels`, from the matrix's rows, by layers without nonlinearities

    outer, inner: the widths C below and c of this level. Where C is 2 c, every number that is made is one of a weight,
    as published; with other widths what is left over has no use.
    """

    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        self.outer, self.inner = outer, inner
        self.spade_0 = _rows(outer, 2 * (inner + 1))
        self.spade_1 = _rows(outer, math.ceil(2 * inner * (inner + 1) / outer))
        self.spade_s = _rows(outer, 2 * (inner + 1)) if outer != inner else None
        self.embed = _rows(outer, inner + 1)

    def forward(self, matrix: Tensor) -> LevelKernels:
        outer, inner = self.outer, self.inner
        shortcut = self.spade_s and self._modulation(self.spade_s(matrix), outer)
        rows = self.embed(matrix)  # (B, C, c + 1)
        weight = rows[..., :inner].transpose(1, 2)
        # Without a norm, and made of four levels' kernels one after the other, the label map would fade away.
        weight = LOUDNESS * weight * torch.rsqrt(weight.square().sum(2, keepdim=True) + 1e-8)
        embed = Kernel(weight, rows[:, :inner, inner])
        first, second = (
            self._modulation(made(matrix), channels)
            for made, channels in ((self.spade_0, outer), (self.spade_1, inner))
        )
        return LevelKernels(first, second, shortcut, embed)

    def _modulation(self, rows: Tensor, channels: int) -> Kernel:
        """rows (B, C, N) -> the kernel from c to 2 x channels"""
        parts = rows.flatten(1)[:, : 2 * channels * (self.inner + 1)].unflatten(1, (2 * channels, -1))
        return Kernel(parts[..., : self.inner], parts[..., self.inner])


def _rows(inputs: int, outputs: int) -> nn.Sequential:
    last = quiet(nn.Linear(inputs, outputs))
    return nn.Sequential(SpectralLinear(inputs, inputs), SpectralLinear(inputs, inputs), last)
