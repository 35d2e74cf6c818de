"""Moves the pixels of a face by its landmarks: a thin-plate spline, batched and differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GRID = 33  # the flow is solved on this many points a side and upsampled
WIDE = 0.12  # height of a mouth open wide enough to be dark inside, in half image sizes
BORDER = 5  # fixed points along each side of the image


def landmark_warp(image: Tensor, source: Tensor, target: Tensor, regularisation: float = 3e-3) -> Tensor:
    """image (B, 3, H, W), its landmarks source (B, 136), target (B, T, 136) -> warped images (B, T, 3, H, W)

    Landmarks are normalised (half image sizes about the centre, the coordinates of `grid_sample`). The image's border
    stays. regularisation: how far the spline may miss a landmark for the sake of smoothness.
    """
    return sample(image, landmark_sampling(source, target, image.shape[-1], regularisation))


def landmark_sampling(source: Tensor, target: Tensor, size: int, regularisation: float = 3e-3) -> Tensor:
    """source (B, 136), target (B, T, 136) -> (B, T, size, size, 2): where the warp finds each pixel in the image"""
    with torch.autocast(target.device.type, enabled=False):
        source, target = source.float(), target.float()
        flow = thin_plate_flow(
            source.unsqueeze(1).expand_as(target), target, regularisation
        )  # (B, T, 33, 33, 2)
        flow = flow.flatten(0, 1).permute(0, 3, 1, 2)
        flow = F.interpolate(flow, (size, size), mode="bilinear", align_corners=False)
        sampling = pixel_grid(size, size, target) + flow.permute(0, 2, 3, 1)
        return sampling.unflatten(0, target.shape[:2])


def sample(image: Tensor, sampling: Tensor) -> Tensor:
    """image (B, 3, H, W) in [-1, 1], sampling (B, T, H, W, 2), normalised -> (B, T, 3, H, W)"""
    with torch.autocast(image.device.type, enabled=False):
        steps, height = sampling.shape[1:3]
        # One tall sampling grid per clip: its T frames share one source image.
        tall = sampling.float().flatten(1, 2)  # (B, T H, W, 2)
        # Bilinear sampling would blur what moves.
        warped = F.grid_sample(
            image.float(), tall, mode="bicubic", padding_mode="border", align_corners=False
        )
        return warped.clamp(-1, 1).unflatten(2, (steps, height)).transpose(1, 2)


def sample_at(images: Tensor, places: Tensor) -> Tensor:
    """images (N, C, H, W), places (N, h, w, 2) in their pixels, of either perhaps one for all -> (N, C, h, w)

    Between pixels it may be beyond the images' lightest and darkest.
    """
    sampling = (2 * places + 1) / torch.tensor(images.shape[:-3:-1], device=places.device) - 1
    count = max(len(images), len(sampling))
    images, sampling = (one.expand(count, -1, -1, -1) for one in (images, sampling))
    return F.grid_sample(images, sampling, mode="bicubic", padding_mode="border", align_corners=False)


def mouth_maps(landmarks: Tensor, example_landmarks: Tensor, size: int) -> Tensor:
    """landmarks (B, T, 136), example_landmarks (B, 136) -> (B, T, 3, H, W): where the mouth is open, between 0 and 1

    Inside the lips; there, the place between them (0.5 at the upper lip, where teeth show first, 1 at the lower); and
    inside the lips as far as the mouth is open wider than the example's, so that no pixel of the example shows it, and
    as wide as WIDE.
    """
    points, example = (x.float().unflatten(-1, (68, 2)) for x in (landmarks, example_landmarks))
    axis = pixel_grid(size, size, points)[0, :, 0]  # (S,): of columns, and of rows as well
    upper, lower = (_lip(contour, axis).unsqueeze(-2) for contour in inner_lips(points))  # (B, T, 1, S)
    rows, edge = axis.view(-1, 1), 1.5 / size
    left, right = points[..., 60, :1].unsqueeze(-1), points[..., 64, :1].unsqueeze(-1)
    inside = torch.sigmoid((rows - upper) / edge) * torch.sigmoid((lower - rows) / edge)
    inside = inside * torch.sigmoid((axis - left) / edge) * torch.sigmoid((right - axis) / edge)
    height = (rows - upper) / (lower - upper).clamp_min(edge)
    opening = _opening(points)
    wider = (1 - _opening(example).unsqueeze(1) / opening.clamp_min(edge)).clamp_min(0) * (
        opening / WIDE
    ).clamp_max(1)
    maps = [inside, inside * (0.5 + 0.5 * height.clamp(0, 1)), inside * wider[..., None, None]]
    return torch.stack(maps, dim=-3)


def inner_lips(points: Tensor) -> tuple[Tensor, Tensor]:
    """points (..., 68, 2) -> the inner contours of upper and lower lip (..., 5, 2), from left to right"""
    # By slices: a list of indices would go to the device each time, and be waited for.
    upper = points[..., 60:65, :]
    return upper, torch.cat([points[..., 60:61, :], points[..., 64:68, :].flip(-2)], dim=-2)


def _opening(points: Tensor) -> Tensor:
    """points (..., 68, 2) -> (...): the mean height of the inner mouth"""
    upper, lower = inner_lips(points)
    return (lower[..., 1:4, 1] - upper[..., 1:4, 1]).mean(-1).clamp_min(0)


def _lip(points: Tensor, axis: Tensor) -> Tensor:
    """points (..., 5, 2) from left to right, columns (S,) -> the lip's height in each column (..., S)"""
    steps = points.diff(dim=-2)
    along = (axis - points[..., :-1, :1]) / steps[..., :1].clamp_min(1e-3)  # (..., 4, S)
    return points[..., :1, 1] + (steps[..., 1:] * along.clamp(0, 1)).sum(-2)


def thin_plate_flow(source: Tensor, target: Tensor, regularisation: float) -> Tensor:
    """source, target (..., 136) -> (..., 33, 33, 2): what to add to a place of the target to find it in the source"""
    # Lips that touch make the system ill-conditioned: in single precision the flow would tremble by a tenth of a pixel.
    precise = torch.float32 if target.device.type == "mps" else torch.float64
    source, target = (x.to(precise).unflatten(-1, (68, 2)) for x in (source, target))
    border = border_points(target)
    controls = torch.cat([target, border.expand(*target.shape[:-2], -1, -1)], dim=-2)  # (..., P, 2)
    moved = F.pad(source - target, (0, 0, 0, border.shape[0] + 3))  # (..., P + 3, 2)
    count = controls.shape[-2]
    affine = F.pad(controls, (1, 0), value=1.0)  # (..., P, 3)
    kernel = _kernel(controls, controls) + regularisation * torch.eye(
        count, dtype=precise, device=target.device
    )
    lower = F.pad(affine.transpose(-1, -2), (0, 3))
    system = torch.cat([torch.cat([kernel, affine], -1), lower], -2)
    weights = torch.linalg.solve_ex(
        system, moved
    ).result  # solve would wait for the device, to look for errors
    weights, controls = weights.float(), controls.float()
    points = pixel_grid(GRID, GRID, controls).reshape(-1, 2)
    flow = (
        _kernel(points, controls) @ weights[..., :-3, :]
        + F.pad(points, (1, 0), value=1.0) @ weights[..., -3:, :]
    )
    return flow.unflatten(-2, (GRID, GRID))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """The thin-plate kernel r^2 log r^2 between points a (..., N, 2) and b (..., P, 2), as (..., N, P)"""
    x = a[..., :, None, 0] - b[..., None, :, 0]
    y = a[..., :, None, 1] - b[..., None, :, 1]
    squared = torch.addcmul(x * x, y, y) + 1e-9
    return squared * torch.log(squared)


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2): the normalised (x, y) of every pixel centre"""
    y = (torch.arange(height, device=like.device, dtype=like.dtype) * 2 + 1) / height - 1
    x = (torch.arange(width, device=like.device, dtype=like.dtype) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)


def border_points(like: Tensor) -> Tensor:
    """(16, 2): evenly spaced along the edge of the square [-1, 1]"""
    side = torch.linspace(-1, 1, BORDER, device=like.device, dtype=like.dtype)
    ends, inner = side[:: BORDER - 1], side[1:-1]
    x = torch.cat([ends[:1].expand(BORDER), inner.repeat_interleave(2), ends[1:].expand(BORDER)])
    y = torch.cat([side, ends.repeat(BORDER - 2), side])
    return torch.stack([x, y], dim=-1)
