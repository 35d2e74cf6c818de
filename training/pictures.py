"""Pictures made while training, so that a person can see what the losses do not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor
from torchvision.utils import make_grid

from models.lips.generator import Speech
from training.log import Log
from utils.audio import SAMPLE_RATE
from utils.audio.vocoder import to_sound
from utils.face.landmarks import denormalise
from utils.media.drawing import draw_landmarks
from utils.media.images import to_uint8, write_image


def landmark_pictures(landmarks: Tensor, size: int, colour: str, under: Tensor | None = None) -> Tensor:
    """landmarks (N, 136) normalised, under (N, 3, S, S) uint8 or None for black -> (N, 3, S, S) uint8"""
    points = denormalise(landmarks.detach().cpu().float().numpy(), size)
    canvases = [size] * len(points) if under is None else under.movedim(1, -1).numpy()
    ink = ImageColor.getrgb(colour)
    drawn = [draw_landmarks(canvas, face, ink) for canvas, face in zip(canvases, points, strict=True)]
    return torch.from_numpy(np.stack(drawn)).movedim(-1, 1)


def to_pictures(images: Tensor) -> Tensor:
    """images (N, 3, H, W) in [-1, 1], or (N, 1, H, W) in [0, 1] -> (N, 3, H, W) uint8"""
    return torch.from_numpy(to_uint8(images, low=0.0 if images.shape[1] == 1 else -1.0)).movedim(-1, 1)


def save_rows(path: Path, rows: list[Tensor]) -> None:
    """rows of (N, 3, H, W) uint8 -> one PNG, a row each"""
    sheet = make_grid(torch.cat(rows), nrow=len(rows[0]), padding=2)
    write_image(path, sheet.movedim(0, -1).numpy())


def save_speech(path: Path, log: Log, step: int, speech: Speech, batch: dict[str, Tensor]) -> None:
    """Mels of the batch's first clips, true above made, as a picture and, with the first's sound, for TensorBoard"""
    true, made = (((mels[:4].float().flip(1) + 1) / 2).clamp(0, 1) for mels in (batch["mel"], speech.mels[2]))
    save_rows(path, [to_pictures(mels.unsqueeze(1)) for mels in (true, made)])
    log.picture("mel/true above made", torch.cat([true[0], made[0]])[None].cpu(), step)
    for name, spectrum in (("true", batch["spectrum"]), ("made", speech.spectrum)):
        log.sound(f"sound/{name}", to_sound(spectrum[0].float().cpu()), SAMPLE_RATE, step)
