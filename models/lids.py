"""Lids that slide over eyes, and lips over teeth: a smooth warp would squeeze what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.layers import fold, unfold
from models.warp import pixel_grid

# Of either eye: its corners, the upper lid and the lower one from left to right, and the brow above it
EYES = (((36, 39), (37, 38), (41, 40), (18, 19, 20)), ((42, 45), (43, 44), (47, 46), (23, 24, 25)))
# Eye aspect ratio (height over width) at which dlib's landmarks of a closed eye stop: they never meet.
CLOSED = 0.16
LEAST_RANGE = 0.05  # of that ratio, from open to closed: what keeps narrow eyes from trembling
STILL = 0.1  # of that range, by which landmarks of open eyes tremble: lids wait until then
Box = tuple[tuple[float, float], tuple[float, float]]
# Rows and columns of a crop, as shares of its side, that hold an eye and its lids: crops are aligned by the eyes.
EYE_BOXES = ((0.125, 0.4375), (0.15, 0.55)), ((0.125, 0.4375), (0.45, 0.85))
BOXES: tuple[Box, ...] = (*EYE_BOXES, ((0.5, 0.95), (0.2, 0.8)))  # and the mouth
STRETCH = 0.5  # how far up to the brow the skin of the lid is drawn from
OVERLAP = 0.1  # of half an eye's width, by which a closed lid hides the lower one's wet rim


# The mouth is an eye upside down: its corners, the lower lip and the upper one from right to left, and the chin
MOUTH = ((64, 60), (65, 67), (63, 61), (8,))
RESTING = 0.02  # gap between dlib's inner lips of a closed mouth, in half image sizes
SEALED = 2.5  # times that gap, or 0.8 of the example's, from which lips begin to seal
TEETH = 1.5  # times that gap, from which an example shows what is between its lips
LIP_MARGIN = 0.1  # of half the mouth's width: a warped lip's edge lies about so far outside its landmarks


class Eye(NamedTuple):
    """One eye in its own terms: origin between the corners, half their distance is 1, heights go down.

    middle, axis, normal (B, T, 2); upper, lower (B, T, 2), the lids' heights as `_lid` gives them; closed (B, T, 1)
    from 0, as open as the example, to 1; brow (B, T, 1).
    """

    middle: Tensor
    axis: Tensor
    normal: Tensor
    upper: Tensor
    lower: Tensor
    closed: Tensor
    brow: Tensor


def open_lids(source: Tensor, target: Tensor) -> tuple[Tensor, list[Eye]]:
    """source (B, 136), target (B, T, 136) -> target, no eye less open than the source's; the eyes"""
    target = target.float().unflatten(-1, (68, 2))
    source, opened, eyes = source.float().unflatten(-1, (68, 2)).unsqueeze(1), target.clone(), []
    for corners, upper, lower, brow in EYES:
        before, _ = _local(source, corners)
        places, (middle, axis, normal) = _local(target, corners)
        gaps = [(one[..., lower, 1] - one[..., upper, 1]).mean(-1, keepdim=True) for one in (before, places)]
        closed = (gaps[0] - gaps[1]) / (gaps[0] - 2 * CLOSED).clamp_min(2 * LEAST_RANGE)
        lid = places[..., upper, :].clone()
        lid[..., 1] = torch.minimum(lid[..., 1], before[..., upper, 1])
        opened[..., upper, :] = middle.unsqueeze(-2) + lid @ torch.stack([axis, normal], dim=-2)
        closed = ((closed - STILL) / (1 - STILL)).clamp(0, 1)
        shapes = _lid(lid), _lid(places[..., lower, :]), closed
        eyes.append(Eye(middle, axis, normal, *shapes, places[..., brow, 1].mean(-1, keepdim=True)))
    return opened.flatten(-2), eyes


def seal_lips(source: Tensor, target: Tensor) -> Eye:
    """source (B, 136), target (B, T, 136) -> the mouth, whose lower lip covers teeth that the source shows

    closed is 0 for a source whose mouth is shut, and where the target's is open.
    """
    corners, lower, upper, chin = MOUTH
    source, target = source.float().unflatten(-1, (68, 2)).unsqueeze(1), target.float().unflatten(-1, (68, 2))
    places, (middle, axis, normal) = _local(target, corners)
    shown, gap = (
        (one[..., lower, 1] - one[..., upper, 1]).mean(-1, keepdim=True) / RESTING for one in (source, target)
    )
    begin = (0.8 * shown).clamp(1.2, SEALED)
    closed = ((begin - gap) / (begin - 1)).clamp(0, 1) * (shown - TEETH).clamp(0, 1)
    lips = (_lid(places[..., lip, :]) for lip in (lower, upper))
    rim, end = (
        lip + lip.new_tensor([side, 0.0]) for lip, side in zip(lips, (-LIP_MARGIN, LIP_MARGIN), strict=True)
    )
    return Eye(middle, axis, normal, rim, end, closed, places[..., chin, 1])


class Cover(NamedTuple):
    """Where skin covers an eye: rows and columns of the picture, and for each of their pixels the normalised place
    whose skin comes there, (B T, h, W, 2)"""

    rows: slice
    columns: slice
    there: Tensor


def covers(eyes: Sequence[Eye], size: int) -> list[Cover]:
    """What covers the eyes in pictures of `size` pixels

    Rims are sharp: what enlarges a sampling calls `slide` for the larger size, for an enlarged rim would show the eye
    in it, squeezed.
    """
    made = []
    for eye, box in zip(eyes, BOXES, strict=False):
        if eye.closed.device.type == "cpu" and not eye.closed.any():  # asking a GPU would wait
            continue
        rows, columns = (slice(*(round(edge * size) for edge in side)) for side in box)
        pixels = pixel_grid(size, size, eye.closed)[rows, columns]
        lid, above = slide(pixels, eye)
        made.append(Cover(rows, columns, fold(pixels + lid * (above > 0).unsqueeze(-1))))
    return made


def cover_closed(sampling: Tensor, covers: Sequence[Cover]) -> Tensor:
    """sampling (B, T, S, S, 2) of a warp -> the same, but where eyes close, that of the skin which covers them"""
    if not covers:
        return sampling
    closed, field = sampling.clone(), fold(sampling).movedim(-1, 1)
    for rows, columns, there in covers:
        found = F.grid_sample(field, there, padding_mode="border", align_corners=False)
        closed[..., rows, columns, :] = unfold(found.movedim(1, -1), len(sampling))
    return closed


def _local(points: Tensor, corners: tuple[int, int]) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """points (..., 68, 2) -> the same in the eye's own terms, and those: middle, axis and normal (..., 2)"""
    left, right = points[..., corners[0], :], points[..., corners[1], :]
    middle, axis = (left + right) / 2, (right - left) / 2
    normal = torch.stack([-axis[..., 1], axis[..., 0]], dim=-1)
    scale = axis.square().sum(-1).clamp_min(1e-6)[..., None, None]
    away = points - middle.unsqueeze(-2)
    return (away @ torch.stack([axis, normal], dim=-1)) / scale, (middle, axis, normal)


def _lid(points: Tensor) -> Tensor:
    """Two points (..., 2, 2) of a lid -> (..., 2): a and b of its height (1 - x^2) (a + b x), 0 in the corners"""
    x, y = points[..., 0].clamp(-0.9, 0.9), points[..., 1]
    y = y / (1 - x.square())
    slope = (y[..., 1] - y[..., 0]) / (x[..., 1] - x[..., 0]).clamp_min(0.2)
    return torch.stack([y[..., 0] - slope * x[..., 0], slope], dim=-1)


def slide(pixels: Tensor, eye: Eye) -> tuple[Tensor, Tensor]:
    """pixels (h, W, 2), normalised -> the way from each to the lid's skin that comes there (B, T, h, W, 2)

    and how far the pixel lies above the rim (B, T, h, W), in half image sizes: below it is the eye.
    """
    scale = eye.axis.square().sum(-1).clamp_min(1e-6)[..., None, None]
    away = pixels - eye.middle[..., None, None, :]
    x, y = ((away * one[..., None, None, :]).sum(-1) / scale for one in (eye.axis, eye.normal))
    arch = (1 - x.square()).clamp_min(0)
    upper, lower = (arch * (one[..., :1, None] + one[..., 1:, None] * x) for one in (eye.upper, eye.lower))
    down = eye.closed[..., None] * (lower + OVERLAP * arch - upper).clamp_min(0)  # how far the rim has come
    top = upper - STRETCH * (upper - eye.brow[..., None]).clamp(0.3, 2.0)
    stretched = ((y - top) / (upper + down - top)).clamp(0, 1)
    lid = -(down * stretched)[..., None] * eye.normal[..., None, None, :]
    return lid, (upper + down - y) * scale.sqrt()
