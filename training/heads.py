"""Training samples of rhythmic head motion's renderer: references, the target, and a reference moved to its pose.

In some corpora heads hardly move. So in a share of the samples the target itself is turned by up to 20 degrees, picture
and landmarks, by the head in three dimensions, on a skull that is a little deeper or flatter than the one that moves
the reference, and before a background that follows it more or less: what the network learns from is where the moved
head is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from data.augment import draw_light
from data.heads.rhythmic import Drawn
from models.head3d.head import Head, most_frontal, turn_between
from models.warp import sample_at
from utils.face.landmarks import MIRROR
from utils.face.pose import Pose, pose_of
from utils.media.images import to_network

TURNED, TURNED_REFERENCE = 0.6, 0.2  # shares of targets, and of references, that are turned
LARGEST, AXES = 20.0, (0.6, 1.0, 0.5)  # degrees; how far heads turn: pitch, yaw, roll
MOVED = (0.06, 0.06, 0.05)  # deviations: face widths to the side and down, logarithm of the scale
DEPTHS = (0.8, 1.2)  # of the skull that turns a target, over the usual
FOLLOWING = (-0.5, 1.0)  # logarithm of the power of how far the background of a turned target goes along
HARD = 0.75  # share of samples whose warped reference is the one that is turned the farthest away
SHARED = 0.7  # share of samples in which references are seen through the target's window, as at test
ZOOM, SHIFT = (0.85, 1.05), 0.08  # of the side of a picture: what is seen of it, and where
RASTER, POINTS = 64, 25  # of a moved head: places along a side, between which a line is as good, and its grid


class Frames(Protocol):
    """Where samples come from: a `data.heads.rhythmic.RhythmicFrames`, or frames of one person"""

    def draw(self, number: int) -> Drawn: ...


class Window(NamedTuple):
    """A square of a picture, seen as a picture of the same size: corner (2,), its first pixel's; step between pixels"""

    corner: np.ndarray
    step: float

    def points(self, places: np.ndarray) -> np.ndarray:
        """places (..., 2) of the picture -> in the window"""
        return ((places - self.corner) / self.step).astype(np.float32)

    def sampling(self, size: int) -> Tensor:
        """(size, size, 2): the place in the picture of each of its pixels"""
        axis = torch.arange(size, dtype=torch.float32) * self.step
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.stack([x, y], dim=-1) + torch.from_numpy(self.corner).float()


WHOLE = Window(np.zeros(2), 1.0)


class RhythmicSamples(Dataset):
    """Sample number n: ref_images (K, 3, H, H), ref_landmarks (K, 68, 2), image (3, H, H), landmarks (68, 2), the most
    frontal reference moved to the target's pose, ani_image (3, H, H) and ani_landmarks (68, 2), and warp, the number of
    the reference to be warped; with `augment` colour and channels, as `data.augment.recolour` wants them.

    Pictures are uint8, landmarks pixels. light: false keeps the colours as they are. Without `augment` nothing is
    turned, and the reference to be warped is the one whose pose is nearest, as at test.
    """

    def __init__(self, frames: Frames, augment: bool, light: bool = True) -> None:
        self.frames, self.augment, self.light = frames, augment, light

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        images, landmarks, pose, face, random = self.frames.draw(number)
        heads = [
            Head(to_network(image), points, pose[i : i + 1], face, POINTS)
            for i, (image, points) in enumerate(zip(images, landmarks, strict=True))
        ]
        windows = [WHOLE, WHOLE]
        asked = heads[-1].rest
        if self.augment:
            heads[:-1] = [
                turned(head, random) if random.random() < TURNED_REFERENCE else head for head in heads[:-1]
            ]
            windows = [draw_window(random, images.shape[-1]) for _ in windows]
            windows = windows[1:] * 2 if random.random() < SHARED else windows
            if random.random() < TURNED:
                asked = draw_turn(heads[-1].rest, random)
        sample = make_sample(heads[:-1], heads[-1], asked, windows, random, self.augment)
        if self.augment and random.random() < 0.5:
            sample = mirrored(sample)
        return sample | (draw_light(random) if self.augment and self.light else {})


def make_sample(
    references: list[Head],
    target: Head,
    asked: Pose,
    windows: list[Window],
    random: np.random.Generator,
    hard: bool,
) -> dict[str, Tensor]:
    """The target in the pose that is asked for, through the second window, and the references, through the first"""
    if asked is not target.rest:
        target = other_skull(target, random)
    poses = Pose.of(np.concatenate([one.rest.table() for one in references]))
    key = references[most_frontal(poses)]
    distances = turn_between(poses, asked)
    warp = int(distances.argmax() if hard else distances.argmin())
    if hard and random.random() > HARD:
        warp = int(random.integers(len(references)))
    first, second = windows
    points = {
        "ref_landmarks": np.stack([first.points(one.landmarks) for one in references]),
        "landmarks": second.points(target.landmarks_in(asked)[0]),
        "ani_landmarks": second.points(key.landmarks_in(asked)[0]),
    }
    pictures = torch.stack([one.image for one in references])
    images = {
        "ref_images": sampled(pictures, first.sampling(target.size)),
        "image": sampled(target.image, moved_sampling(target, asked, second)),
        "ani_image": sampled(key.image, moved_sampling(key, asked, second)),
    }
    tensors = {name: torch.from_numpy(array) for name, array in points.items()}
    return tensors | {name: to_bytes(image) for name, image in images.items()} | dict(warp=torch.tensor(warp))


def turned(head: Head, random: np.random.Generator) -> Head:
    """A picture of the same head, turned by chance"""
    pose = draw_turn(head.rest, random)
    image = sampled(head.image, moved_sampling(head, pose, WHOLE))
    return Head(image, head.landmarks_in(pose)[0], pose, head.face, POINTS)


def other_skull(head: Head, random: np.random.Generator) -> Head:
    """The same picture on another skull, before a background that comes along in another way"""
    made = Head(head.image, head.landmarks, head.rest, head.face * [1, 1, random.uniform(*DEPTHS)], POINTS)
    power = float(np.exp(random.uniform(*FOLLOWING)))
    made.sheet = replace(made.sheet, share=made.sheet.share**power)
    return made


def draw_turn(rest: Pose, random: np.random.Generator) -> Pose:
    """Another pose, by chance, up to LARGEST degrees from this one (one frame)"""
    axis = random.normal(0, AXES)
    angles = np.radians(random.uniform(0, LARGEST)) * axis / np.linalg.norm(axis)
    return pose_of(np.concatenate([angles, random.normal(0, MOVED)])[None], rest)


def draw_window(random: np.random.Generator, size: int) -> Window:
    step = random.uniform(*ZOOM)
    corner = (1 - step) * (size - 1) / 2 + size * random.uniform(-SHIFT, SHIFT, 2)
    return Window(corner, step)


def moved_sampling(head: Head, pose: Pose, window: Window) -> Tensor:
    """(H, H, 2): the place in the head's picture of each pixel of the window, once the head has another pose"""
    if pose is head.rest:
        return window.sampling(head.size)
    step = window.step * (head.size - 1) / (RASTER - 1)
    coarse = head.sheet.sampling(pose, (RASTER, RASTER), tuple(window.corner.tolist()), step)
    return F.interpolate(
        coarse.movedim(-1, 1), (head.size, head.size), mode="bilinear", align_corners=True
    ).movedim(1, -1)[0]


def sampled(images: Tensor, places: Tensor) -> Tensor:
    """images (N, 3, H, H) or (3, H, H), places (H, H, 2) in pixels -> the same with each pixel from its place"""
    batch = images if images.ndim == 4 else images[None]
    return sample_at(batch, places[None]).view_as(images)


def to_bytes(images: Tensor) -> Tensor:
    """[-1, 1] -> uint8"""
    return (images.clamp(-1, 1) * 127.5 + 128).floor().clamp_max(255).to(torch.uint8)


def mirrored(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same people, left and right exchanged"""
    size = sample["image"].shape[-1]
    flipped = dict(sample)
    for name, tensor in sample.items():
        if name.endswith(("image", "images")):
            flipped[name] = tensor.flip(-1)
        elif name.endswith("landmarks"):
            points = tensor[..., MIRROR, :]
            flipped[name] = torch.stack([size - 1 - points[..., 0], points[..., 1]], dim=-1)
    return flipped
