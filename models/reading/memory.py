"""The memory that bridges mouth and sound (Kim, Hong, Park and Ro, ICCV 2021, Section 3), and its use.

A slot has a key, by which a mouth asks for it, and a value, how it sounds. In training the values learn to rebuild
what is heard, and the keys to be found by what is seen at the same time; afterwards the mouth alone recalls the sound.
With heads, the multi-head memory of the same authors' next work (AAAI 2022): keys of every head for one set of values.

Addresses are kept as logarithms: where one slot is all, others are far below what 16 bits, or a softmax, can hold.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DEVIATION = 0.5  # of keys and values before training
DROPOUT = 0.5  # where mouth and sound meet


class Addresses(NamedTuple):
    """Logarithms of how much each slot counts: seen (B, S, slots), with heads (B, S, heads, slots), by the mouth; heard
    (B, S, slots) by the true sound, None without
    """

    seen: Tensor
    heard: Tensor | None


def address(asked: Tensor, slots: Tensor, radius: float) -> Tensor:
    """asked (..., D), slots (N, D) -> (..., N): softmax of radius times the cosine to each slot, as logarithms, float32

    With heads: asked (..., heads, D), slots (heads, N, D) -> (..., heads, N).
    """
    with torch.autocast(asked.device.type, enabled=False):
        asked, slots = F.normalize(asked.float(), dim=-1), F.normalize(slots.float(), dim=-1)
        cosines = torch.einsum("...d,nd->...n" if slots.ndim == 2 else "...hd,hnd->...hn", asked, slots)
        return (radius * cosines).log_softmax(-1)


class Memory(nn.Module):
    """slots: how many; seen: width of what is seen; width: of sound, keys and values; radius: sharpness of addresses

    Raises ValueError where heads do not divide the width.
    """

    def __init__(
        self, slots: int = 88, seen: int = 512, width: int = 512, radius: float = 16.0, heads: int = 0
    ) -> None:
        super().__init__()
        if heads and width % heads:
            raise ValueError(f"a memory {width} wide cannot have {heads} heads")
        self.radius, self.heads = radius, heads
        self.keys = nn.Parameter(torch.empty((heads, slots, width // heads) if heads else (slots, width)))
        self.values = nn.Parameter(torch.empty(slots, width))
        for slot in (self.keys, self.values):
            nn.init.normal_(slot, 0, DEVIATION)
        self.ask, self.file = nn.Linear(seen, width), nn.Linear(width, width)

    def recall(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """seen (B, S, F) -> its addresses, and the sound (B, S, D) that they recall, or (B, S, heads D)

        The values get no gradient of it: what they hold is settled by `rebuild`.
        """
        asked = self.ask(seen)
        addresses = address(
            asked.unflatten(-1, (self.heads, -1)) if self.heads else asked, self.keys, self.radius
        )
        recalled = addresses.exp().to(self.values.dtype) @ self.values.detach()
        return addresses, recalled.flatten(2)

    def rebuild(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """sound (B, S, D), which gets no gradient -> its addresses (B, S, slots), and what they make of the values"""
        addresses = address(self.file(sound.detach()), self.values, self.radius)
        return addresses, addresses.exp().to(self.values.dtype) @ self.values

    def likeness(self) -> Tensor:
        """(slots, slots): cosines between the values"""
        values = F.normalize(self.values.float(), dim=1)
        return values @ values.T


class Fusion(nn.Module):
    """seen (B, S, F), sound (B, S, D), recalled or heard -> (B, S, D) for the back-end: dropout, and a linear layer"""

    def __init__(self, seen: int, width: int) -> None:
        super().__init__()
        self.features = width
        self.dropout, self.layer = nn.Dropout(DROPOUT), nn.Linear(seen + width, width)

    def recalled(self, seen: Tensor, sound: Tensor) -> Tensor:
        return self.layer(self.dropout(torch.cat([seen, sound], dim=2)))

    heard = recalled


class HeadFusion(nn.Module):
    """The multi-head memory's: seen (B, S, F) plus sound, both as wide and normalised -> (B, S, F), with dropout

    That work adds to the mouth, in training, the sound that the memory rebuilt, and so its audio front-end never
    learns; here it is the true sound, as in the memory without heads.
    """

    def __init__(self, seen: int, width: int, heads: int) -> None:
        super().__init__()
        self.features = seen
        self.layer, self.hear = nn.Linear(heads * width, seen), nn.Linear(width, seen)
        self.norm, self.recalled_norm, self.heard_norm = (nn.LayerNorm(seen) for _ in range(3))
        self.dropout = nn.Dropout(DROPOUT)

    def recalled(self, seen: Tensor, sound: Tensor) -> Tensor:
        """sound (B, S, heads D), what every head recalls"""
        return self.dropout(self.norm(seen + self.recalled_norm(self.layer(sound))))

    def heard(self, seen: Tensor, sound: Tensor) -> Tensor:
        return self.dropout(self.norm(seen + self.heard_norm(self.hear(sound))))


class Usage(NamedTuple):
    """perplexity: how many slots' worth of the memory is used, 1 to all; dead: slots that no frame gives more than an
    even share; mean (slots,): the share of each
    """

    perplexity: float
    dead: int
    mean: Tensor


class SlotUsage:
    """Collects addresses batch by batch; heads count as so many frames."""

    def __init__(self) -> None:
        self.total, self.peak, self.frames = torch.zeros(()), torch.zeros(()), 0

    def add(self, addresses: Tensor) -> None:
        """addresses (..., slots), logarithms"""
        shares = addresses.detach().float().cpu().flatten(0, -2).exp()
        self.total = self.total + shares.double().sum(0)
        self.peak = torch.maximum(self.peak, shares.amax(0))
        self.frames += len(shares)

    def figures(self) -> Usage:
        """Raises ValueError before there was any frame."""
        if not self.frames:
            raise ValueError("no frame was counted")
        mean = self.total / self.frames
        entropy = -torch.special.xlogy(mean, mean).sum()
        dead = int((self.peak <= 1 / len(mean)).sum())
        return Usage(float(entropy.exp()), dead, mean.float())


def usage(addresses: Tensor) -> Usage:
    """Of one batch's addresses (..., slots), logarithms"""
    counted = SlotUsage()
    counted.add(addresses)
    return counted.figures()
