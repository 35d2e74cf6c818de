"""A z-buffer rasteriser of triangles, batched, in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

WINDOWS = (4, 8, 16, 32, 64)  # pixels: sides of the squares in which triangles are looked for
DEPTHS = 1 << 24  # levels between the nearest and the farthest vertex
EDGE = 1e-5  # of a triangle: a pixel on the edge of two belongs to both, so that no gap opens


class Fragments(NamedTuple):
    """What each pixel shows: faces (B, H, W) int64, the triangle's number, -1 for none; weights (B, H, W, 3), the
    barycentric coordinates within it, in the order of its vertices, 0 where there is none.
    """

    faces: Tensor
    weights: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool: where there is a triangle"""
        return self.faces >= 0


def rasterise(vertices: Tensor, triangles: Tensor, height: int, width: int) -> Fragments:
    """vertices (B, V, 3), triangles (F, 3) of their numbers -> the nearest triangle of each pixel

    x, y in pixels, whose centres are at integers; z grows away from the viewer. Triangles may face either way. Every
    triangle is compared with the pixels of a square that holds it alone, of one of a few sizes, and the nearest of them
    wins by one reduction over all; so it takes the time of the area that is covered, not that of triangles x pixels.
    """
    batch, device = len(vertices), vertices.device
    nearest = torch.full((batch * height * width,), torch.iinfo(torch.int64).max, device=device)
    corners = vertices[:, triangles]  # (B, F, 3, 3)
    flat = corners[..., :2]
    low, high = flat.amin(2).ceil(), flat.amax(2).floor()  # (B, F, 2): of the pixels within
    limits = torch.tensor([width - 1, height - 1], device=device, dtype=vertices.dtype)
    low, high = low.clamp_min(0), torch.minimum(high, limits)
    spans = (high - low + 1).amax(-1)  # (B, F), of the longer side
    seen = (high >= low).all(-1)
    depths = _levels(corners[..., 2])
    smaller = 0
    for side in (*WINDOWS, max(height, width)):
        chosen = (seen & (spans > smaller) & (spans <= side)).flatten().nonzero()[:, 0]
        smaller = max(side, smaller)
        for part in chosen.split(max(1, (1 << 22) // side**2)):
            _draw(nearest, part, flat, depths, low, side, (height, width))
    found = nearest.view(batch, height, width)
    faces = torch.where(found == torch.iinfo(torch.int64).max, -1, found & 0xFFFFFFFF)
    return Fragments(faces, _weights_at(faces, flat))


def _levels(depths: Tensor) -> Tensor:
    """depths (B, F, 3) -> from 0, the nearest, to 1"""
    low, high = depths.amin(), depths.amax()
    return (depths - low) / (high - low).clamp_min(1e-12)


def _draw(
    nearest: Tensor,
    chosen: Tensor,
    flat: Tensor,
    depths: Tensor,
    low: Tensor,
    side: int,
    size: tuple[int, int],
) -> None:
    """Enters some triangles, by their numbers in the flattened batch, into the pixels' nearest (depth, triangle)"""
    height, width = size
    count = flat.shape[1]
    corners, start = flat.flatten(0, 1)[chosen], low.flatten(0, 1)[chosen]  # (n, 3, 2), (n, 2)
    step = torch.arange(side, device=flat.device, dtype=flat.dtype)
    x, y = (start[:, :1] + step)[:, None, :], (start[:, 1:] + step)[:, :, None]  # (n, 1, s), (n, s, 1)
    weights = _barycentric(corners[:, None, None], x, y)
    inside = (weights >= -EDGE).all(-1) & (x < width) & (y < height)
    depth = (weights * depths.flatten(0, 1)[chosen][:, None, None]).sum(-1).clamp(0, 1)
    pixels = (chosen // count)[:, None, None] * (height * width) + (y * width + x).long()
    keys = ((depth * DEPTHS).long() << 32) + (chosen % count)[:, None, None]
    keys = torch.where(inside, keys, torch.iinfo(torch.int64).max)  # cheaper than to pick out those inside
    pixels = pixels.clamp_max(len(nearest) - 1)
    nearest.scatter_reduce_(0, pixels.flatten(), keys.flatten(), "amin")


def _barycentric(corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """corners (..., 3, 2), x, y (...) -> (..., 3); of a triangle without area, numbers that lie outside"""
    (ax, ay), (bx, by), (cx, cy) = (corner.unbind(-1) for corner in corners.unbind(-2))
    area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
    area = torch.where(area.abs() < 1e-9, torch.full_like(area, torch.nan), area)
    first = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area
    second = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area
    return torch.stack([first, second, 1 - first - second], dim=-1)


def _weights_at(faces: Tensor, flat: Tensor) -> Tensor:
    """faces (B, H, W), corners of the triangles (B, F, 3, 2) -> (B, H, W, 3)"""
    batch, height, width = faces.shape
    numbers = faces.clamp_min(0).view(batch, -1)
    corners = torch.stack([own[at] for own, at in zip(flat, numbers, strict=True)])
    y, x = torch.meshgrid(
        *(torch.arange(n, device=flat.device, dtype=flat.dtype) for n in (height, width)), indexing="ij"
    )
    weights = _barycentric(corners, x.reshape(-1), y.reshape(-1)).view(batch, height, width, 3)
    return torch.where(faces[..., None] >= 0, weights, 0.0)


def interpolate(fragments: Fragments, attributes: Tensor, triangles: Tensor) -> Tensor:
    """attributes (B, V, C) of the vertices -> (B, H, W, C), of what each pixel shows; 0 where that is nothing"""
    corners = triangles[fragments.faces.clamp_min(0)]  # (B, H, W, 3)
    batch = torch.arange(len(attributes), device=attributes.device)[:, None, None, None]
    return (attributes[batch, corners] * fragments.weights[..., None]).sum(-2)
