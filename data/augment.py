"""Few people are in the data: each sample shows its person in another light, colour, pose and shape of face.

Example and targets always change alike, so that what the network has to learn stays the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from utils.face.landmarks import MIRROR


def augment_portraits(
    images: Tensor, landmarks: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """images (N, 3, H, W) in [-1, 1], normalised landmarks (N, 136) of one clip -> the same shapes"""
    if random.random() < 0.5:
        images, landmarks = mirror(images, landmarks)
    if random.random() < 0.7:
        images, landmarks = reshape_face(images, landmarks, random)
    return recolour(images, random), landmarks


def mirror(images: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right exchanged; landmark 36 becomes the eye corner that is now at its place."""
    points = landmarks.unflatten(-1, (68, 2))[:, MIRROR] * landmarks.new_tensor([-1.0, 1.0])
    return images.flip(-1), points.flatten(-2)


def reshape_face(images: Tensor, landmarks: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A small rotation, scale and shift, and a smooth bend that makes another face of it."""
    angle, scale = random.normal(0, 0.06), np.exp(random.normal(0, 0.05))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    shift = random.normal(0, 0.03, 2)
    affine = torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]], dtype=torch.float32)
    bend = torch.from_numpy(random.normal(0, 0.03, (1, 2, 4, 4)).astype(np.float32))
    size = images.shape[-1]
    flow = F.interpolate(bend, (size, size), mode="bicubic", align_corners=False)
    grid = F.affine_grid(affine[None], (1, 3, size, size), align_corners=False) + flow.permute(0, 2, 3, 1)
    images = F.grid_sample(
        images,
        grid.expand(len(images), -1, -1, -1),
        mode="bicubic",  # bilinear sampling would teach blur
        padding_mode="reflection",
        align_corners=False,
    )
    return images, _follow(landmarks, affine, flow)


def _follow(landmarks: Tensor, affine: Tensor, flow: Tensor) -> Tensor:
    """Where the landmarks go when the image is sampled at affine(q) + flow(q): the q of each, by fixed point."""
    points = landmarks.reshape(1, -1, 2)
    inverse = torch.linalg.inv(affine[:, :2]).T
    moved = points
    for _ in range(5):
        bent = F.grid_sample(flow, moved.unsqueeze(2), padding_mode="border", align_corners=False)
        moved = (points - bent[..., 0].transpose(1, 2) - affine[:, 2]) @ inverse
    return moved.reshape(landmarks.shape)


def recolour(images: Tensor, random: np.random.Generator) -> Tensor:
    """Gamma, contrast, brightness, colour temperature, saturation and, at times, exchanged channels."""
    images = (images + 1) / 2
    images = images.clamp(1e-4, 1) ** float(np.exp(random.normal(0, 0.25)))
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * float(random.uniform(0.2, 1.4))
    gains = torch.from_numpy(np.exp(random.normal(0, 0.15, (1, 3, 1, 1))).astype(np.float32))
    images = (
        (images - 0.5) * gains * float(np.exp(random.normal(0, 0.15))) + 0.5 + float(random.normal(0, 0.06))
    )
    if random.random() < 0.15:
        images = images[:, random.permutation(3)]
    return (images * 2 - 1).clamp(-1, 1)
