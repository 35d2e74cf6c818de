"""The mouth crop of lip-to-speech and of the lip reader: one fixed window about each clip's mouth.

The originals align a face to a frame of LRW, 256 pixels wide, and cut the box (59, 95) to (195, 231) out of it: mouth,
chin, cheeks and the tip of the nose, with the mouth's centre four pixels above the box's. Stores hold faces that are
aligned already, smoothly over time, so that the window stands still within a clip; it is the box as it lies on the
clip's mean face. `view` cuts a share of the box alone, about the same centre: 0.7 is mouth and chin, twice as large.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from utils.face.alignment import fit_similarity
from utils.face.landmarks import MOUTH, TEMPLATE

MOUTH_SIZE = 112  # pixels, the originals'
LRW_SCALE = 1.44  # LRW's pixels in one of the template's
LRW_MOUTH, LRW_BOX_CENTRE, LRW_BOX = (128.5, 159.0), (127.0, 163.0), 136.0
MEAN, DEVIATION = 0.4136, 0.1700  # of the originals' crops, grey in [0, 1]


def mouth_window(landmarks: np.ndarray, mouth_size: int = MOUTH_SIZE, view: float = 1.0) -> np.ndarray:
    """landmarks (T, 68, 2) in a face crop's pixels -> (2, 3): pixels of the mouth crop to those of the face crop

    The clip's mean face, all 68 points of it, is brought onto the template, and the box follows.
    """
    face = np.asarray(landmarks, np.float64).mean(0)
    place = fit_similarity(TEMPLATE, face)  # template pixels to those of the face crop
    offset = (np.array(LRW_BOX_CENTRE) - LRW_MOUTH) / LRW_SCALE
    centre = TEMPLATE[MOUTH[:12]].mean(0) + offset
    step = view * LRW_BOX / LRW_SCALE / mouth_size  # template pixels in one of the mouth crop
    corner = centre - step * (mouth_size - 1) / 2
    return np.column_stack([step * place[:, :2], place[:, :2] @ corner + place[:, 2]])


def cut_mouths(frames: Tensor, window: np.ndarray, mouth_size: int = MOUTH_SIZE) -> Tensor:
    """frames (T, 3, H, W) uint8, window (2, 3) of `mouth_window` -> (T, mouth_size, mouth_size) uint8, grey

    Beyond the face crop its edge is repeated. A crop that is smaller than its part of the face is averaged down.
    """
    return sample_mouths(frames.float(), window, mouth_size).round().clamp(0, 255).to(torch.uint8)


def sample_mouths(frames: Tensor, window: np.ndarray, mouth_size: int = MOUTH_SIZE) -> Tensor:
    """As `cut_mouths`, of float frames in [0, 255], to floats, through which gradients pass"""
    height, width = frames.shape[-2:]
    factor = max(1, int(np.ceil(np.hypot(*window[:, 0]) - 0.05)))
    axis = (torch.arange(mouth_size * factor, dtype=torch.float64) + 0.5) / factor - 0.5
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    places = points @ torch.from_numpy(window[:, :2].T.copy()) + torch.from_numpy(window[:, 2].copy())
    grid = ((2 * places + 1) / torch.tensor([width, height]) - 1).float().to(frames.device)
    grey = frames.mul(frames.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    # The frames of a clip are so many channels of one picture.
    mouths = F.grid_sample(grey[None], grid[None], padding_mode="border", align_corners=False)[0]
    return F.avg_pool2d(mouths, factor)


def to_mouth_network(mouths: Tensor) -> Tensor:
    """mouths uint8 -> float32, of mean 0 and deviation 1 over LRW"""
    return (mouths.float() / 255 - MEAN) / DEVIATION
