"""Maps that landmarks give without any network: edges, the template of eyes and mouth, and where skin has moved.

Landmarks are in pixels of the square picture, pixel centres at integers; all is batched, and made on their device.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rhythmic.flow import warp_by_flow
from models.warp import landmark_sampling, pixel_grid

CANVAS = 256  # pixels a side, of which the original's lengths are
FOREHEAD = 2 / 3  # its height, in that of the jaw below the ears
JAW = list(range(17))
ABOVE = list(range(68, 83))  # the mirrored points of the jaw, from right to left
# Each curve's points, pieces between two points at 128 pixels; the first is closed.
CURVES = (
    ([*JAW, *ABOVE], 8),
    ([17, 18, 19, 20, 21], 6),
    ([22, 23, 24, 25, 26], 6),
    ([28, 31], 10),
    ([31, 32, 33, 34, 35], 4),
    ([35, 28], 10),
    ([36, 37, 38, 39], 5),
    ([39, 40, 41, 36], 5),
    ([42, 43, 44, 45], 5),
    ([45, 46, 47, 42], 5),
    ([48, 49, 50, 51, 52, 53, 54], 5),
    ([54, 55, 56, 57, 58, 59, 48], 5),
    ([60, 61, 62, 63, 64], 5),
    ([64, 65, 66, 67, 60], 5),
)
BOXES = (
    (list(range(36, 42)), 2),
    (list(range(42, 48)), 2),
    ([48, 50, 51, 54, 57], 5),
)  # points, margin of 256
DIRECTIONS = 64  # half planes that make up a convex hull
SOFT = 4  # pixels of 256 in which the confidence rises


class Lines(NamedTuple):
    """Pieces of lines from the first half of the rows to the second: landmarks' x and y (B, 68) @ these (68, 2 S)"""

    x: Tensor
    y: Tensor


@lru_cache(maxsize=8)
def _lines(size: int) -> Lines:
    """The smooth curves through a face's points (Catmull and Rom 1974), cut into pieces of about two pixels"""
    begins, ends = [], []
    for number, (points, pieces) in enumerate(CURVES):
        along = _spline(points, max(1, round(pieces * size / 128)), closed=number == 0)
        begins.append(along[:-1])
        ends.append(along[1:])
    weights = torch.cat([*begins, *ends])  # (2 S, 83)
    own, mirrored, jaw = weights[:, :68], weights[:, 68:], slice(15, 0, -1)
    x, y = own.clone(), own.clone()
    x[:, jaw.stop + 1 : jaw.start + 1] += mirrored.flip(1)
    y[:, jaw.stop + 1 : jaw.start + 1] -= FOREHEAD * mirrored.flip(1)
    y[:, [0, 16]] += (1 + FOREHEAD) / 2 * mirrored.sum(1, keepdim=True)
    return Lines(x.T.contiguous(), y.T.contiguous())


def _spline(points: list[int], pieces: int, closed: bool) -> Tensor:
    """-> (N, 83): what each place along the curve has of each point"""
    eye = torch.eye(83)[points]
    if closed:
        eye = torch.cat([eye[-1:], eye, eye[:2]])
    else:
        eye = torch.cat([2 * eye[:1] - eye[1:2], eye, 2 * eye[-1:] - eye[-2:-1]])
    t = (torch.arange(pieces) / pieces).view(-1, 1)
    basis = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    spans = [sum(b * eye[i + j] for j, b in enumerate(basis)) / 2 for i in range(len(eye) - 3)]
    return torch.cat([*spans, eye[-2:-1]])


@torch.no_grad()
def edge_map(landmarks: Tensor, size: int) -> Tensor:
    """landmarks (B, 68, 2) -> (B, 1, size, size) in [0, 1]: contour with forehead, brows, nose, eyes and lips

    Lines of 2 pixels at 256 and of 1 at the least, anti-aliased by their true distance.
    """
    lines = Lines(*(one.to(landmarks.device) for one in _lines(size)))
    x0, x1 = (landmarks[..., 0].float() @ lines.x).chunk(2, dim=1)  # (B, S)
    y0, y1 = (landmarks[..., 1].float() @ lines.y).chunk(2, dim=1)
    dx, dy = x1 - x0, y1 - y0
    squared = (dx * dx + dy * dy).clamp_min(1e-6)
    half = max(0.5, size / CANVAS)
    # Pixels about the middle of each piece, enough for the longest; a face larger than the picture may lose some.
    reach = min(math.ceil(squared.max().sqrt().item() / 2 + half + 0.5), max(3, size // 16))
    offsets = torch.arange(-reach, reach + 2, device=landmarks.device)
    columns = ((x0 + x1) / 2).floor().unsqueeze(2) + offsets  # (B, S, W)
    rows = ((y0 + y1) / 2).floor().unsqueeze(2) + offsets
    px, py = (columns - x0.unsqueeze(2)).unsqueeze(2), (rows - y0.unsqueeze(2)).unsqueeze(3)
    dx, dy, squared = (one[:, :, None, None] for one in (dx, dy, squared))
    along = ((px * dx + py * dy) / squared).clamp_(0, 1)  # (B, S, W, W)
    distance = torch.hypot(px - along * dx, py - along * dy)
    ink = (half + 0.5 - distance).clamp_(0, 1)
    return _splat(ink, columns, rows, size)


def _splat(ink: Tensor, columns: Tensor, rows: Tensor, size: int) -> Tensor:
    """ink (B, S, W, W) at columns, rows (B, S, W) -> (B, 1, size, size), the most of each pixel"""
    inside = [(one >= 0) & (one < size) for one in (columns, rows)]
    ink = ink * (inside[0].unsqueeze(2) & inside[1].unsqueeze(3))
    columns, rows = (one.clamp(0, size - 1).long() for one in (columns, rows))
    places = columns.unsqueeze(2) + size * rows.unsqueeze(3)
    canvas = ink.new_zeros(len(ink), size * size)
    canvas.scatter_reduce_(1, places.flatten(1), ink.flatten(1), "amax")
    return canvas.view(-1, 1, size, size)


def template_mask(landmarks: Tensor, size: int) -> Tensor:
    """landmarks (B, 68, 2) -> (B, 1, size, size): 1 in the boxes of eyes and mouth, which a warp may not supply"""
    axis = torch.arange(size, device=landmarks.device)
    mask = torch.zeros(len(landmarks), size, size, dtype=torch.bool, device=landmarks.device)
    for points, margin in BOXES:
        low, high = landmarks[:, points].amin(1), landmarks[:, points].amax(1)
        low, high = (
            one.unsqueeze(2) for one in (low - margin * size / CANVAS, high + margin * size / CANVAS)
        )
        inside = (axis >= low) & (axis <= high)  # (B, 2, S)
        mask |= inside[:, :1] & inside[:, 1].unsqueeze(2)
    return mask.unsqueeze(1).float()


def cover(images: Tensor, template: Tensor) -> Tensor:
    """images (B, C, H, W), template (B, 1, H, W) -> the images, black (-1) where the template is 1"""
    return torch.where(template > 0.5, -1.0, images)


def pseudo_flow(source: Tensor, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """source, target (B, 68, 2) -> flow (B, 2, size, size) in pixels, confidence (B, 1, size, size) in [0, 1]

    By a thin plate through the landmark pairs: target(p) shows source(p + flow(p)). It is right at the landmarks and
    likely within the target's face; confidence is 0 at the hull of its landmarks and beyond, and 1 a few pixels within.
    """
    flat = [((points.float() + 0.5) * (2 / size) - 1).flatten(1) for points in (source, target)]
    sampling = landmark_sampling(flat[0], flat[1].unsqueeze(1), size).squeeze(1)  # (B, S, S, 2)
    flow = (sampling - pixel_grid(size, size, sampling)) * (size / 2)
    within = hull_depth(target.float(), size)
    return flow.permute(0, 3, 1, 2), (within * CANVAS / size / SOFT - 1).clamp(0, 1)


def hull_depth(points: Tensor, size: int) -> Tensor:
    """points (B, N, 2) -> (B, 1, size, size): pixels from each pixel to their convex hull, below 0 beyond"""
    angles = torch.arange(DIRECTIONS, device=points.device) * (2 * math.pi / DIRECTIONS)
    normals = torch.stack([angles.cos(), angles.sin()])  # (2, D)
    support = (points @ normals).amax(1)  # (B, D)
    axis = torch.arange(size, device=points.device, dtype=points.dtype).unsqueeze(1)
    across, down = axis * normals[0], axis * normals[1]  # (S, D)
    depth = points.new_full((len(points), size, size), math.inf)
    for i in range(DIRECTIONS):
        reached = across[:, i] + down[:, i].unsqueeze(1)  # (S, S)
        depth = torch.minimum(depth, support[:, i, None, None] - reached)
    return depth.unsqueeze(1)


def photometric_confidence(source: Tensor, target: Tensor, flow: Tensor, most: float = 0.02) -> Tensor:
    """source, target (B, 3, H, W), flow (B, 2, H, W) -> (B, 1, H, W): 1 where the warped source shows the target

    The squared difference, added over colours, as the original tests its flow network's flows; 0.02 is ten grey levels
    of each colour. Here it is the mean of 5 x 5 pixels, for noise is no wrong flow.
    """
    error = (warp_by_flow(source, flow) - target).square().sum(1, keepdim=True)
    return (F.avg_pool2d(error, 5, 1, 2, count_include_pad=False) < most).to(flow)
