"""What the renderer of rhythmic head motion makes, at the resolution of the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from animation.composition import eased, region_of
from animation.heads.turning import HeadTurner
from models import RhythmicOutput
from models.head3d.sheet import POINTS
from utils.face.alignment import apply_transform, chain, invert_transform, scaling

BORDER = 8  # pixels of a 128-pixel crop, over which what is made fades into the photo


class Layers(NamedTuple):
    """One frame, float32, at the network's resolution, pixels of colours from 0 to 255, flows in pixels of the crop.

    raw (h, w, 3) is painted; reference and head are the pictures, moved by flows (h, w, 2) and laid over it, where the
    weights (h, w) of what is painted leave room; which: the reference that is moved. Without a flow its picture has no
    part.
    """

    raw: np.ndarray
    reference: tuple[np.ndarray, np.ndarray] | None
    head: tuple[np.ndarray, np.ndarray] | None
    which: int

    @classmethod
    def of(cls, output: RhythmicOutput, chosen: Sequence[int], blended: bool) -> list[Layers]:
        """Of the frames of a clip. blended: whether the network lays pictures over what it paints (linear composition);
        otherwise its frames are all there is.
        """
        painted = output.raw if blended else output.frames
        raw = ((painted.float().movedim(1, -1) + 1) * 127.5).cpu().numpy()
        moved = []
        for flow, weight in ((output.flow_ref, output.weight_ref), (output.flow_ani, output.weight_ani)):
            if flow is None or not blended:
                moved.append([None] * len(raw))
                continue
            flows, weights = flow.float().movedim(1, -1).cpu().numpy(), weight[:, 0].float().cpu().numpy()
            moved.append(list(zip(flows, weights, strict=True)))
        return [cls(*layers) for layers in zip(raw, *moved, chosen, strict=True)]


class RenderedHead:
    """Lays frames over the photo whose head is turned, out of the pixels of the photo and of the other references.

    photo (H, W, 3) uint8; transform (2, 3): its pixels to crop pixels; landmarks (68, 2) in pixels of the photo; size:
    of the crop; references: other photos with their transforms.
    """

    def __init__(
        self,
        photo: np.ndarray,
        transform: np.ndarray,
        landmarks: np.ndarray,
        size: int,
        references: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    ) -> None:
        import cv2

        self.photo, self.turner = photo, HeadTurner(landmarks, photo.shape[:2])
        self.region, self.to_region = region_of(photo, transform, size)
        height, width = photo[self.region].shape[:2]
        self.places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
        self.linear = self.to_region[:, :2].astype(np.float32).T
        self.references = [np.ascontiguousarray(photo[self.region])]
        for other, own in references:
            there = chain(own, self.to_region)
            smaller = min(1.0, float(np.hypot(there[0, 0], there[1, 0])))
            if smaller < 0.75:  # or a large photo would be sampled here and there
                other = cv2.resize(other, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
                there = chain(scaling(1 / smaller), there)
            drawn = cv2.warpAffine(
                other, there, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            self.references.append(drawn)
        self.mask = self._mask(size)

    def _mask(self, size: int) -> np.ndarray:
        """(h, w, 1) of the region: 1 on the head, 0 where the photo stands still and on the crop's border"""
        import cv2

        share = self.turner.sheet.share.view(POINTS, POINTS).numpy()
        points = self.turner.sheet.points.numpy()
        low, step = points[0], (points[-1] - points[0]) / (POINTS - 1)
        corner = np.array([self.region[1].start, self.region[0].start])
        to_grid = np.column_stack([np.diag(1 / step), (corner - low) / step])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        head = cv2.warpAffine(share, to_grid, self.places.shape[1::-1], flags=flags)
        inside = apply_transform(invert_transform(self.to_region), self.places.reshape(-1, 2))
        border = np.minimum(inside, size - 1 - inside).min(-1).reshape(head.shape) / (BORDER * size / 128)
        return eased(np.minimum(2 * head, border))[..., None]

    def __call__(self, layers: Layers, motion: np.ndarray) -> np.ndarray:
        """A frame and the head motion (6,) about the photo's pose that it has -> the whole picture (H, W, 3) uint8"""
        turned = self.turner(self.photo, motion)
        own = turned[self.region]
        made = self._enlarge(layers.raw)
        for picture, moved in ((own, layers.head), (self.references[layers.which], layers.reference)):
            if moved is not None:
                made = self._laid_over(made, picture, *moved)
        picture = turned.copy()
        picture[self.region] = np.clip(own + self.mask * (made - own) + 0.5, 0, 255)
        return picture

    def _laid_over(
        self, made: np.ndarray, picture: np.ndarray, flow: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        import cv2

        places = self.places + self._enlarge(flow @ self.linear)
        moved = cv2.remap(picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return moved + self._enlarge(weight)[..., None] * (made - moved)

    def _enlarge(self, crop: np.ndarray) -> np.ndarray:
        """A field (h, w) or (h, w, C) of the crop -> its part of the picture"""
        import cv2

        size = self.places.shape[1::-1]
        return cv2.warpAffine(
            crop, self.to_region, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
