"""The losses of the lip reader: the ICCV paper's (Kim et al. 2021, Section 3.4), and those of the multi-head memory.

Who learns from which: the values and the layer that files sound, from `rebuilt` alone (and `orthogonal`); the keys and
the layer that asks, from `recalled` and `addresses`; the audio front-end, from `heard` alone; the visual one, from
`recalled`, `heard` and `addresses`; fusion and back-end, from both cross entropies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.reading.memory import Addresses
from models.reading.reader import Reading
from training.losses import Parts

Batch = dict[str, Tensor]


def word_loss(logits: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """logits (B, classes) -> cross entropy; label (B,), or (B, classes) the share of each word in what was mixed"""
    return F.cross_entropy(logits.float(), label, label_smoothing=smoothing)


def address_loss(addresses: Addresses) -> Tensor:
    """The mouth is to find the slots that the sound found: Kullback-Leibler divergence, a frame's mean; the sound's
    addresses get no gradient
    """
    seen, heard = addresses.seen.flatten(0, 1), addresses.heard.detach().flatten(0, 1)
    return F.kl_div(seen, heard, reduction="batchmean", log_target=True)


def rebuilding_loss(sound: Tensor, rebuilt: Tensor) -> Tensor:
    """sound, rebuilt (B, S, D) -> mean squared error; the sound gets no gradient"""
    return F.mse_loss(rebuilt.float(), sound.detach().float())


def cosine_rebuilding_loss(sound: Tensor, rebuilt: Tensor) -> Tensor:
    """The multi-head memory's: 1 - cosine, the sum over a clip's frames; the sound gets no gradient"""
    likeness = F.cosine_similarity(rebuilt.float(), sound.detach().float(), dim=2)
    return (1 - likeness).sum(1).mean()


def orthogonality_loss(likeness: Tensor) -> Tensor:
    """likeness (slots, slots), cosines between slots -> half the sum of how far they are from 1 and from 0"""
    return (torch.eye(len(likeness), device=likeness.device) - likeness).abs().sum() / 2


def reading_loss(
    reading: Reading,
    batch: Batch,
    smoothing: float = 0.0,
    recalled_weight: float = 1.0,
    heard_weight: float = 1.0,
    address_weight: float = 1.0,
    rebuilding_weight: float = 1.0,
    orthogonal_weight: float = 1.0,
) -> tuple[Tensor, Parts]:
    """The sum of what the reading has, weighed, and its parts for the log; batch: label (see `word_loss`)

    Without sound, or a memory, `recalled` alone. With heads, the multi-head memory's two in place of `addresses` and
    the squared error; that work's are means over several memories, where this network has one. smoothing: of the
    labels, 0 as published.
    """
    parts = dict(recalled=word_loss(reading.recalled, batch["label"], smoothing))
    weights = dict(recalled=recalled_weight, heard=heard_weight, addresses=address_weight)
    weights |= dict(rebuilt=rebuilding_weight, orthogonal=orthogonal_weight)
    if reading.heard is not None:
        parts["heard"] = word_loss(reading.heard, batch["label"], smoothing)
        if reading.likeness is None:
            parts["addresses"] = address_loss(reading.addresses)
            parts["rebuilt"] = rebuilding_loss(reading.sound, reading.rebuilt)
        else:
            parts["rebuilt"] = cosine_rebuilding_loss(reading.sound, reading.rebuilt)
            parts["orthogonal"] = orthogonality_loss(reading.likeness)
    return sum(weights[name] * part for name, part in parts.items()), parts
