"""Pictures made while training, so that a person can see what the losses do not say."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import draw_keypoints, make_grid

from utils.files import replacing

LINES = [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68)]
CONNECTIVITY = [(i, i + 1) for first, end in LINES for i in range(first, end - 1)]


def landmark_pictures(landmarks: Tensor, size: int, colour: str, under: Tensor | None = None) -> Tensor:
    """landmarks (N, 136) normalised, under (N, 3, S, S) uint8 or None for black -> (N, 3, S, S) uint8"""
    points = landmarks.detach().cpu().float().view(-1, 1, 68, 2) * (size / 2) + (size - 1) / 2
    under = torch.zeros(len(points), 3, size, size, dtype=torch.uint8) if under is None else under
    pairs = zip(under, points, strict=True)
    return torch.stack(
        [draw_keypoints(image, point, CONNECTIVITY, colour, radius=1) for image, point in pairs]
    )


def to_pictures(images: Tensor) -> Tensor:
    """images (N, C, H, W) in [-1, 1], or (N, 1, H, W) in [0, 1] -> (N, 3, H, W) uint8"""
    images = images.detach().cpu().float()
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else (images + 1) / 2
    return (images * 255).round().clamp(0, 255).byte()


def save_rows(path: Path, rows: list[Tensor]) -> None:
    """rows of (N, 3, H, W) uint8 -> one PNG, a row each"""
    sheet = make_grid(torch.cat(rows), nrow=len(rows[0]), padding=2)
    with replacing(path) as part:
        Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(part, "PNG")
