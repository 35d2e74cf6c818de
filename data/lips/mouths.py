"""What samples of mouths have in common: clips that are kept ready, and how mouths change in training."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import get_worker_info

from utils.face.mouth import to_mouth_network

CACHE = 2e9  # bytes of clips that a training process and its workers keep ready
ClipType = TypeVar("ClipType", bound=tuple[Tensor, ...])


class KeptClips(Generic[ClipType]):
    """Clips by their ids, as `make` makes them; those used last are kept, as decoding costs more than all the rest."""

    def __init__(self, make: Callable[[str], ClipType]) -> None:
        self.make, self.bytes = make, 0.0
        self.kept: OrderedDict[str, ClipType] = OrderedDict()

    def __getitem__(self, id: str) -> ClipType:
        clip = self.kept.pop(id, None)
        if clip is None:
            clip = self.make(id)
            self.bytes += _bytes(clip)
        self.kept[id] = clip
        worker = get_worker_info()
        while self.bytes > CACHE / (worker.num_workers if worker else 1) and len(self.kept) > 1:
            self.bytes -= _bytes(self.kept.popitem(last=False)[1])
        return clip

    def __getstate__(self) -> dict:
        return {**self.__dict__, "kept": OrderedDict(), "bytes": 0.0}


def _bytes(clip: tuple[Tensor, ...]) -> float:
    return sum(tensor.nbytes for tensor in clip)


def pad(tensor: Tensor, width: int, filling: float) -> Tensor:
    """(..., n) -> (..., width)"""
    return F.pad(tensor, (0, width - tensor.shape[-1]), value=filling)


def draw_changes(random: np.random.Generator, cutout: float) -> Tensor:
    """How one clip's mouths change: mirrored (1 or -1), rotation, log scale, shift of x and y in half sizes, log
    contrast, centre of the hidden square in half sizes (far away: nothing is hidden)
    """
    hidden = random.uniform(-0.75, 0.75, 2) if random.random() < cutout else (9.0, 9.0)
    mirrored = -1.0 if random.random() < 0.5 else 1.0
    numbers = random.normal(0, [0.04, 0.05, 0.05, 0.05, 0.2])
    return torch.tensor([mirrored, *numbers, *hidden], dtype=torch.float32)


def change_mouths(mouths: Tensor, changes: Tensor | None) -> Tensor:
    """mouths (B, S, H, W) uint8, changes (B, 8) or None -> (B, S, H, W) as networks see them

    The original mirrors and hides a square of half the width, the same in all frames of a clip, in every clip; here it
    is in some, and crops also turn, shift and differ in size and contrast, as strangers' do.
    """
    images = to_mouth_network(mouths)
    if changes is None:
        return images
    mirrored, angle, scale, x, y, contrast, *hidden = changes.unsqueeze(2).unbind(1)  # (B, 1) each
    cos, sin = scale.exp() * angle.cos(), scale.exp() * angle.sin()
    rows = [torch.cat([mirrored * cos, -sin, x], dim=1), torch.cat([mirrored * sin, cos, y], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), [len(images), 1, *images.shape[2:]], align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    images = images * contrast.exp()[..., None, None]
    height, width = images.shape[2:]
    down, across = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=images.device) for n in (height, width))
    rows, columns = (down - hidden[1]).abs() < 0.5, (across - hidden[0]).abs() < 0.5  # (B, H), (B, W)
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)
