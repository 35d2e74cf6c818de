"""VG-net's frames at the resolution of the photo: its own pixels, moved, under what the network paints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models import VGOutput
from models.lids import BOXES, Box, Eye, slide
from models.warp import pixel_grid
from utils.face.alignment import apply_transform, chain, crop_face, invert_transform, scaling

# H.264 players stop at 36,864 blocks of 16 x 16 pixels (level 5.2) and at 4,096 pixels a side.
LARGEST_VIDEO, LONGEST_SIDE = 36_864 * 256, 4096
DARK, LIT = 140, 200  # of 255, the brightest of a face in little light, and in good light
LARGEST_GAIN = 6.0
COLOURLESS = 4  # levels between the colours of a grey photo, as JPEG leaves them
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FACE_OUTLINE = [*range(17), 26, 25, 24, 19, 18, 17]  # jaw and brows


def fit_for_video(photo: np.ndarray, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """photo (H, W, 3) and its transform to the crop, both scaled down where H.264 could not hold the photo"""
    import cv2

    height, width = photo.shape[:2]
    scale = min(1.0, (LARGEST_VIDEO / (height * width)) ** 0.5, LONGEST_SIDE / max(height, width))
    if scale == 1:
        return photo, transform
    smaller = tuple(max(16, int(side * scale) // 16 * 16) for side in (width, height))
    enlarge = scaling(width / smaller[0], height / smaller[1])
    return cv2.resize(photo, smaller, interpolation=cv2.INTER_AREA), chain(enlarge, transform)


class Change(NamedTuple):
    """What one frame of VG-net does to the example image, at the network's own resolution, float32.

    flow (h, w, 2), crop pixels: where the frame's pixel is found in the image, less its own place; attention (h, w),
    0 to 1; motion (h, w, 3), 0 to 255; eyes: those that lids slide over, of batch and length 1.
    """

    flow: np.ndarray
    attention: np.ndarray
    motion: np.ndarray
    eyes: Sequence[Eye] = ()

    @classmethod
    def of(cls, output: VGOutput) -> list[Change]:
        """The changes of the frames of the first clip of a batch"""
        size = output.frames.shape[-1]
        flow = torch.zeros(*output.frames.shape[1:2], size, size, 2)
        if output.sampling is not None:
            flow = (output.sampling[0] - pixel_grid(size, size, output.sampling)) * (size / 2)
        motion = (output.motion[0].float().movedim(1, -1) + 1) * 127.5
        arrays = (flow, output.attention[0, :, 0].float(), motion)
        closed = [[part[:1].cpu() for part in eye] for eye in output.eyes]  # once, not frame by frame
        eyes = [[Eye(*(part[:, i : i + 1] for part in eye)) for eye in closed] for i in range(len(flow))]
        return [*map(cls, *(array.cpu().numpy() for array in arrays), eyes)]

    @classmethod
    def none(cls, size: int) -> Change:
        """What leaves the example as it is"""
        return cls(*(np.zeros((size, size, *more), np.float32) for more in ((2,), (), (3,))))

    def under(self, light: Light) -> Change:
        """The same, of the photo as it is, where the network saw it as `light.shown`"""
        return self._replace(motion=light.back(self.motion))

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Attention and motion as pictures (h, w, 3) uint8"""
        attention = np.repeat((self.attention * 255).round().astype(np.uint8)[..., None], 3, axis=-1)
        return attention, self.motion.round().clip(0, 255).astype(np.uint8)


class Light(NamedTuple):
    """A photo's exposure and colour, which what the network paints has to take on

    gain: by which a dark photo is brightened before the network, which learnt from lit faces, sees it; grey: whether
    the photo has no colours.
    """

    gain: float
    grey: bool

    @classmethod
    def of(cls, crop: np.ndarray) -> Light:
        """crop (size, size, 3) uint8"""
        brightest = max(float(np.percentile(crop.max(-1), 98)), LIT / LARGEST_GAIN)
        clipped = max(float(crop.max()), 1.0)
        grey = int(np.ptp(crop.astype(int), axis=-1).max()) <= COLOURLESS
        return cls(1.0 if brightest > DARK else max(1.0, min(LIT / brightest, 255 / clipped)), grey)

    def shown(self, crop: np.ndarray) -> np.ndarray:
        """crop uint8 -> as the network sees it"""
        return crop if self.gain == 1 else np.clip(crop * self.gain, 0, 255).round().astype(np.uint8)

    def back(self, pictures: np.ndarray) -> np.ndarray:
        """pictures (..., 3) that the network made -> in the light of the photo, of the same type"""
        if self.gain == 1 and not self.grey:
            return pictures
        made = pictures / np.float32(self.gain)
        made = np.repeat((made @ LUMA)[..., None], 3, axis=-1) if self.grey else made
        return made.round().astype(np.uint8) if pictures.dtype == np.uint8 else made.astype(pictures.dtype)


class Composer:
    """Carries out VG-net's changes on the picture that its example image was cut from, at the picture's resolution.

    The flow has no resolution: it moves the picture's own pixels, and only what attention and motion paint comes from
    the network's small frame. Both fade to nothing between the face and the border of the crop, so that neither a
    square nor a moving background can be seen; outside the face the picture stays as it is, to the last bit.
    """

    def __init__(
        self,
        picture: np.ndarray,
        transform: np.ndarray,
        landmarks: np.ndarray,
        size: int,
        mask: np.ndarray | None = None,
    ) -> None:
        """picture (H, W, 3) uint8; transform (2, 3): its pixels to crop pixels; landmarks (68, 2) in crop pixels

        mask (size, size), from 0 to 1: how much may change, `face_mask` by default.
        """
        self.canvas = picture.copy()
        self.landmarks = apply_transform(invert_transform(transform), landmarks)  # in pixels of the picture
        self.region, self.to_region = region_of(picture, transform, size)
        self.own = np.ascontiguousarray(picture[self.region])
        self.face = face_mask(landmarks, size) if mask is None else mask
        self.linear = self.to_region[:, :2].astype(np.float32).T
        height, width = self.own.shape[:2]
        self.places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
        self.size = size
        self.eyes = [self._eye_region(box) for box in BOXES]

    @classmethod
    def of_crop(
        cls,
        photo: np.ndarray,
        transform: np.ndarray,
        landmarks: np.ndarray,
        size: int,
        side: int,
        mask: np.ndarray | None = None,
    ) -> Composer:
        """For pictures of the face alone, `side` pixels each way, out of the photo; the rest as for the photo"""
        crop = crop_face(photo, chain(transform, scaling(side / size)), side)
        return cls(crop, scaling(size / side), landmarks, size, mask)

    def __call__(self, change: Change) -> np.ndarray:
        """The whole picture (H, W, 3) uint8, valid until the next call"""
        import cv2

        places = self.places + self._enlarge((change.flow * self.face[..., None]) @ self.linear)
        moved = cv2.remap(self.own, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for eye, region in zip(change.eyes, self.eyes, strict=False):
            if eye.closed.item() > 0 and region[1].numel():
                self._close(eye, *region, places, moved)
        attention = (change.attention * self.face)[..., None]
        painted = self._enlarge(np.concatenate([change.motion * attention, attention], axis=-1))
        mixed = moved * (1 - painted[..., 3:]) + (painted[..., :3] + 0.5)
        self.canvas[self.region] = np.clip(mixed, 0, 255, out=mixed)
        return self.canvas

    def _close(
        self, eye: Eye, part: tuple[slice, slice], pixels: Tensor, places: np.ndarray, moved: np.ndarray
    ) -> None:
        """Draws the lid over the eye, in what has been moved from these places of the picture"""
        import cv2

        lid, above = (one[0, 0].numpy() for one in slide(pixels, eye))
        there = self.places[part] + (lid * (self.size / 2)) @ self.linear
        source = cv2.remap(places, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        skin = cv2.remap(self.own, source, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        pixel = 2 / (self.size * np.linalg.det(self.linear) ** 0.5)  # of the picture, in half crop sizes
        cover = np.clip(above / pixel + 0.5, 0, 1)[..., None]  # a rim without stairs
        moved[part] = moved[part] + cover * (skin.astype(np.float32) - moved[part]) + 0.5

    def _eye_region(self, box: Box) -> tuple[tuple[slice, slice], Tensor]:
        """A box of the crop -> its part of the region, and where its pixels lie in the crop, normalised (h, w, 2)"""
        rows, columns = (np.array(side) * self.size - 0.5 for side in box)
        corners = apply_transform(
            self.to_region, np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        )
        limits = self.own.shape[1::-1]
        (left, top), (right, bottom) = (
            np.clip(edge, 0, limits).round().astype(int) for edge in (corners.min(0), corners.max(0))
        )
        part = slice(top, bottom), slice(left, right)
        inside = apply_transform(invert_transform(self.to_region), self.places[part])
        return part, torch.from_numpy((inside + 0.5) * (2 / self.size) - 1)

    def _enlarge(self, crop: np.ndarray) -> np.ndarray:
        """A field (h, w, C) in crop pixels -> its part of the picture"""
        import cv2

        size, flags = self.own.shape[1::-1], cv2.INTER_LINEAR
        return cv2.warpAffine(crop, self.to_region, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def face_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """landmarks (68, 2) in crop pixels -> (size, size), 1 on the face, easing to 0 towards the crop's border"""
    step = size / 128
    to_border = np.minimum(np.arange(size), np.arange(size)[::-1]) / (10 * step)
    border = eased(np.minimum(to_border[:, None], to_border[None, :]))
    return _soft_hull(landmarks[FACE_OUTLINE], size, 4 * step, 14 * step) * border


def lower_face_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """landmarks (68, 2) in crop pixels -> (size, size), `face_mask` below the nose, easing to 0 up to its tip"""
    tip, base = landmarks[30, 1], landmarks[31:36, 1].mean()
    below = eased((np.arange(size) - tip) / max(base - tip, size / 32))
    return face_mask(landmarks, size) * below[:, None]


def _soft_hull(points: np.ndarray, size: int, margin: float, feather: float) -> np.ndarray:
    """1 within `margin` pixels of the convex hull of points (N, 2), easing to 0 over `feather` more"""
    import cv2

    outside = np.ones((size, size), np.uint8)
    cv2.fillConvexPoly(outside, cv2.convexHull(points.round().astype(np.int32)), 0)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return eased(1 - (distance - margin) / feather)


def eased(x: np.ndarray) -> np.ndarray:
    """From 0 to 1, with neither end abrupt, while x goes from 0 to 1; float32"""
    x = np.clip(x, 0, 1)
    return (x * x * (3 - 2 * x)).astype(np.float32)


def region_of(photo: np.ndarray, transform: np.ndarray, size: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """The slices of the photo that the crop covers, and the transform (2, 3) from crop pixels to that region"""
    back = invert_transform(transform)
    corners = apply_transform(back, np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5)
    limits = np.array(photo.shape[1::-1])
    left, top = np.clip(np.floor(corners.min(0)), 0, limits - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), 1, limits).astype(int)
    back[:, 2] -= (left, top)
    return (slice(top, bottom), slice(left, right)), back
