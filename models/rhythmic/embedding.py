"""What the references tell: attention over K frames of a person, and the hybrid embedding (Sections 2.1 and 2.2).

Any number of references will do at test: nothing here has as many channels as there are references. Where the original
stacks the features of K images for a convolution of 128 K channels, one convolution sees their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import fold, unfold
from models.rhythmic.layers import SLOPE, SpectralConv2d, block, norm_layer

SHARED = 2  # halvings before the references become one


class References(NamedTuple):
    """K references as far as they can be embedded without a target; the second (C) is the width at a quarter size"""

    images: Tensor  # (B, K, C, h, w)
    labels: Tensor | None  # (B, K, C, h, w); None without generated weights
    keys: Tensor | None  # (B, K, C, h, w); None without attention
    image: Tensor | None = None  # (B, C, h, w), of all of them: the hybrid embedding's
    label: Tensor | None = None


class Attention(nn.Module):
    """Which reference each place of the target looks at; not scaled by the number of channels, as published."""

    def __init__(self, widths: Sequence[int], norm: str, halved: bool) -> None:
        super().__init__()
        self.query, self.key = (_tower(1, widths[: SHARED + 1], norm, halved) for _ in range(2))

    def forward(self, label: Tensor, keys: Tensor) -> Tensor:
        """label (B T, 1, H, W), keys (B, K, C, h, w) -> (B T, K, h, w), which adds up to 1 over K"""
        query = unfold(self.query(label), len(keys))  # (B, T, C, h, w)
        energy = [(query * key.unsqueeze(1)).sum(2) for key in keys.unbind(1)]
        return fold(torch.stack(energy, dim=2)).float().softmax(1)


def _tower(inputs: int, widths: Sequence[int], norm: str, halved: bool) -> nn.Sequential:
    """Each width but the first halves the size. halved: the mean of four pixels takes the first width's place."""
    pairs = enumerate(pairwise([inputs, *widths[halved:]]))
    layers = (block(a, b, 1 if i == 0 else 2, norm) for i, (a, b) in pairs)
    return nn.Sequential(*([nn.AvgPool2d(2)] if halved else []), *layers)


class HybridEmbedding(nn.Module):
    """Towers of reference images and labels, which become one, by attention, at a quarter of their size.

    hybrid: image and label are fused there (`use_new`). labelled: the labels have a tower to the end, for weights to be
    made of; without, and without fusion, nobody looks at them. halved: see `RhythmicNet`.
    """

    def __init__(self, widths: Sequence[int], norm: str, halved: bool, hybrid: bool, labelled: bool) -> None:
        super().__init__()
        shallow, deep, c = widths[: SHARED + 1], widths[SHARED:], widths[SHARED]
        self.image_shallow, self.image_deep = _tower(3, shallow, norm, halved), _halvings(deep, norm)
        self.label_shallow = _tower(1, shallow, norm, halved) if hybrid or labelled else None
        self.label_deep = _halvings(deep, norm) if labelled else None
        self.fusion = ResidualFusion(c, norm) if hybrid else None
        self.image_fused = block(2 * c, c, 1, norm) if hybrid else None
        self.image_shared = block(c, c, 1, norm) if hybrid else None
        self.label_fused = block(2 * c, c, 1, norm) if hybrid and labelled else None
        self.label_shared = block(c, c, 1, norm) if hybrid and labelled else None

    def encode(self, images: Tensor, labels: Tensor, keys: Tensor | None) -> References:
        """images (B, K, 3, H, W), labels (B, K, 1, H, W) -> References"""
        batch = len(images)
        image = self.image_shallow(fold(images))  # (B K, C, h, w)
        label = None if self.label_shallow is None else self.label_shallow(fold(labels))
        if self.fusion is None:
            return References(unfold(image, batch), label if label is None else unfold(label, batch), keys)
        both = self.fusion(torch.cat([image, label], dim=1))
        shared = [self.image_shared(unfold(image, batch).mean(1)), None]
        fused = [unfold(self.image_fused(torch.cat([image, both], dim=1)), batch), None]
        if self.label_deep is not None:
            shared[1] = self.label_shared(unfold(label, batch).mean(1))
            fused[1] = unfold(self.label_fused(torch.cat([label, both], dim=1)), batch)
        return References(*fused, keys, *shared)

    def forward(self, references: References, attention: Tensor) -> tuple[Tensor, Tensor | None]:
        """attention (B T, K, h, w) -> features of image and label (B T, C, H / 32, W / 32), of five halvings"""
        image = self.image_deep(_attended(references.images, attention, references.image))
        if self.label_deep is None:
            return image, None
        return image, self.label_deep(_attended(references.labels, attention, references.label))


def _halvings(widths: Sequence[int], norm: str) -> nn.Sequential:
    return nn.Sequential(*(block(a, b, 2, norm) for a, b in pairwise(widths)))


def _attended(features: Tensor, attention: Tensor, shared: Tensor | None) -> Tensor:
    """features (B, K, C, h, w), attention (B T, K, h, w), shared (B, C, h, w) -> (B T, C, h, w)"""
    attention = unfold(attention, len(features)).unsqueeze(3)  # (B, T, K, 1, h, w)
    pairs = zip(attention.unbind(2), features.unsqueeze(1).unbind(2), strict=True)
    total = sum(weight * feature for weight, feature in pairs)
    return fold(total if shared is None else total + shared.unsqueeze(1))


class ResidualFusion(nn.Module):
    """Image and label features (B, 2 C, h, w) -> (B, C, h, w)"""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        c = channels
        self.first = block(2 * c, c, 1, norm)
        self.second = nn.Sequential(SpectralConv2d(c, c, bias=False), norm_layer(norm, c))
        self.shortcut = nn.Sequential(SpectralConv2d(2 * c, c, 1, bias=False), norm_layer(norm, c))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.shortcut(x) + self.second(self.first(x)), SLOPE)
