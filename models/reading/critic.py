"""A trained lip reader as a critic of made faces: what its front-end sees in their mouths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.reading.reader import LipReader
from utils.face.landmarks import denormalise
from utils.face.mouth import mouth_window, sample_mouths, to_mouth_network


class ReadingCritic(nn.Module):
    """frames (B, T, 3, H, W) in [-1, 1], and their clips' `windows` -> features (B, T, F)

    Nothing of it learns; gradients pass to frames.
    """

    def __init__(self, reader: LipReader) -> None:
        super().__init__()
        self.frontend = reader.frontend.eval().requires_grad_(False)
        self.size, self.view = reader.config["size"], reader.config["view"]

    def train(self, mode: bool = True) -> ReadingCritic:
        return super().train(False)

    def windows(self, landmarks: Tensor, size: int) -> list[np.ndarray]:
        """landmarks (B, T, 136), normalised, of frames of so many pixels -> where the reader's training would cut each
        clip's mouth (2, 3)
        """
        points = denormalise(landmarks.float().cpu().numpy(), size)
        return [mouth_window(clip, self.size, self.view) for clip in points]

    def forward(self, frames: Tensor, windows: Sequence[np.ndarray]) -> Tensor:
        with torch.autocast(frames.device.type, enabled=False):
            pictures = (frames.float() + 1) * 127.5
            mouths = [sample_mouths(*pair, self.size) for pair in zip(pictures, windows, strict=True)]
            seen = to_mouth_network(torch.stack(mouths))
        return self.frontend(seen)
