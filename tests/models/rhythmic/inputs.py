"""Small networks of rhythmic head motion, and what they are given"""

from __future__ import annotations

import torch
from torch import Tensor

from models import RhythmicNet
from models.rhythmic.maps import edge_map
from utils.face.landmarks import TEMPLATE, to_crop_size

SMALL = dict(widths=(4, 8, 12, 16, 24), flow_widths=(4, 8, 12), flow_blocks=1, size=64)


def small(seed: int = 0, **options: object) -> RhythmicNet:
    torch.manual_seed(seed)
    return RhythmicNet(**SMALL | options)


def given(frames: int = 2, references: int = 3, size: int = 64, seed: int = 1) -> dict[str, Tensor]:
    """What `RhythmicNet.forward` takes, noise for pictures, and faces for labels"""
    torch.manual_seed(seed)

    def picture(*shape: int) -> Tensor:
        return torch.rand(*shape, 3, size, size) * 2 - 1

    many = frames * (references + 3)
    points = torch.from_numpy(to_crop_size(TEMPLATE, size)) + torch.randn(many, 1, 2) * size / 32
    labels = edge_map(points, size).split([frames] * 3 + [frames * references])
    inputs = dict(label=labels[0], warp_label=labels[1], ani_label=labels[2])
    inputs["ref_labels"] = labels[3].unflatten(0, (frames, references))
    return inputs | dict(
        ref_images=picture(frames, references), warp_image=picture(frames), ani_image=picture(frames)
    )
