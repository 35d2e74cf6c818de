"""Clips of a store as VG-net makes them: out of one of their frames, by true landmarks or by those of the sound."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from animation.composition import Change, Composer
from animation.original import CANONICAL_FACE
from animation.stream import Subject, frame_stream, landmark_stream, network_input, rechunk
from data.atnet import clip_motion
from data.store import Clip
from models import VGNet
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.face.alignment import crop_face, scaling
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE, denormalise, normalise
from utils.media.drawing import draw_landmarks, enlarge, grid
from utils.media.images import to_network, to_tensor, to_uint8
from utils.media.write import VideoWriter

TILE = 192
# The original's landmark unit in ours, half image sizes: by the breadth of an average face, jaw end to jaw end.
ORIGINAL_UNIT = float(np.ptp(normalise(TEMPLATE)[0::2]) / np.ptp(CANONICAL_FACE[0::2]))


@dataclass
class Animation:
    """Pictures (T, S, S, 3) uint8 of the clip's size, with landmarks (T, 136), normalised, that they were made by

    frames: composed; plain: as the network makes them; attention; still: what it paints over. All but the first are
    enlarged from the network's size.
    """

    frames: np.ndarray
    plain: np.ndarray
    attention: np.ndarray
    still: np.ndarray
    landmarks: np.ndarray


@dataclass
class Example:
    """The frame (S, S, 3) to animate, its landmarks (136,), normalised, and frames to make at a time"""

    picture: np.ndarray
    landmarks: np.ndarray
    chunk: int

    def animate(self, vg_net: VGNet, landmarks: np.ndarray) -> Animation:
        """landmarks (T, 136) -> frames, with carried state"""
        side, size = len(self.picture), vg_net.config["size"]
        shrink = scaling(size / side)
        image = to_network(to_tensor(crop_face(self.picture, shrink, size))).to(
            next(vg_net.parameters()).device
        )
        compose = Composer(self.picture, shrink, denormalise(self.landmarks, size), size)
        pictures = []
        for _, output in frame_stream(vg_net, image, self.landmarks, rechunk([landmarks], self.chunk)):
            kinds = [
                to_uint8(output.frames[0]),
                to_uint8(output.attention[0], low=0.0),
                to_uint8(output.still[0]),
            ]
            frames = kinds[0] if side == size else np.stack([compose(c).copy() for c in Change.of(output)])
            pictures.append((frames, *(np.stack([enlarge(one, side) for one in kind]) for kind in kinds)))
        return Animation(*(np.concatenate(kind) for kind in zip(*pictures, strict=True)), landmarks)


def example_index(clip: Clip, size: int, choice: str) -> int:
    """The number of the frame to animate: the first, or the one with the least motion away from rest"""
    return 0 if choice == "first" else int(np.linalg.norm(clip_motion(clip, size)[0], axis=1).argmin())


def from_sound(
    at_net: nn.Module, audio: np.ndarray, frames: int, landmarks: np.ndarray, size: int, chunk: int
) -> np.ndarray:
    """audio (N,) at 16 kHz -> landmarks (frames, 136) that the network makes of it on the face with these landmarks
    (68, 2), in pixels of a crop of so many; chunk: frames at a time
    """
    subject = Subject.from_crop(LandmarkBasis.of(at_net), landmarks, size)
    sound = rechunk([network_input(at_net, audio, frames)], chunk)
    return np.concatenate(list(landmark_stream(at_net, subject, sound)))


def landmark_noise(clip: Clip, sigma: float) -> np.ndarray:
    """Gaussian noise (T, 136) for normalised landmarks, the same in every run; sigma in the original's units"""
    random = np.random.default_rng(zlib.crc32(clip.id.encode()))
    return (random.standard_normal((clip.length, 136)) * sigma * ORIGINAL_UNIT).astype(np.float32)


def write_video(clip: Clip, made: dict[str, Animation], captions: Mapping[str, str], folder: Path) -> None:
    """real | what was made, by row | attention | landmarks, the last two of the last row"""
    last = list(made.values())[-1]
    heads = ["real", *(captions[name] for name in made), "attention", "landmarks"]
    points = denormalise(last.landmarks, TILE)
    height, width = grid([np.zeros((TILE, TILE, 3), np.uint8)] * len(heads), captions=heads).shape[:2]
    path, audio = folder / f"{clip.id.replace('/', '_')}.mp4", clip.audio
    with VideoWriter(path, (width, height), audio=SAMPLE_RATE) as video:
        for number, frame in enumerate(clip.frames().movedim(1, -1).numpy()):
            pictures = [frame, *(one.frames[number] for one in made.values()), last.attention[number]]
            tiles = [*(enlarge(picture, TILE) for picture in pictures), draw_landmarks(TILE, points[number])]
            video.write(grid(tiles, captions=heads))
            video.write_audio(audio[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME])
