"""A picture of a person and its head in three dimensions: the picture with its head in other poses, or another face."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.head3d.sheet import POINTS, Sheet, make_sheet
from models.rhythmic.maps import hull_depth
from models.warp import landmark_sampling, pixel_grid
from utils.face.landmarks import normalise
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import Pose, frontalise, place
from utils.face.rotations import to_matrices, to_vectors

FADE = 0.2  # face widths beyond the face's outline, in which what its expression moves comes to rest


class Head:
    """image (3, H, H), floating point; landmarks (68, 2), pixels; rest: the head's pose in it, one frame; face (68, 3):
    the person's as seen from the front, or the mean, in face widths; points: of the sheet's grid, along each side.
    """

    def __init__(
        self,
        image: Tensor,
        landmarks: np.ndarray,
        rest: Pose,
        face: np.ndarray = MEAN_FACE,
        points: int = POINTS,
    ) -> None:
        self.image, self.landmarks, self.rest, self.face, self.points = image, landmarks, rest, face, points

    @property
    def size(self) -> int:
        return self.image.shape[-1]

    @cached_property
    def sheet(self) -> Sheet:
        return make_sheet(self.landmarks, self.rest, self.image.shape[-2:], self.face, self.points)

    @cached_property
    def front(self) -> np.ndarray:
        """(68, 3): this picture's expression as seen from the front, in face widths"""
        return frontalise(self.landmarks[None], self.rest, self.face)[0]

    def landmarks_in(self, pose: Pose) -> np.ndarray:
        """Poses (T) -> (T, 68, 2) float32: where they are, with this picture's expression"""
        return place(self.front, pose).astype(np.float32)

    def pictures(self, pose: Pose) -> Tensor:
        """Poses (T) -> (T, 3, H, H): the picture with its head in them"""
        return self.sheet.pictures(self.image, pose)

    def reshaped(self, landmarks: np.ndarray, pose: Pose | None = None) -> Tensor:
        """landmarks (T, 68, 2), poses (T) -> (T, 3, H, H): the picture, warped by a thin plate until its face has them

        pose: the head is turned to it in three dimensions first, and the thin plate does what is left; without it, all.
        """
        size, count = self.size, len(landmarks)
        before = self.landmarks[None].repeat(count, 0) if pose is None else self.landmarks_in(pose)
        source, target = (torch.from_numpy(normalise(points, size)) for points in (before, landmarks))
        sampling = landmark_sampling(source, target.unsqueeze(1), size).squeeze(1)  # (T, H, H, 2), normalised
        if pose is not None:  # what the thin plate finds in the turned picture, found in the picture itself
            sampling = self._within_face(sampling, landmarks, pose)
            turned = self.sheet.sampling(pose, (size, size), (0.0, 0.0), 1.0).movedim(-1, 1)
            found = F.grid_sample(turned, sampling, padding_mode="border", align_corners=False)
            sampling = (2 * found.movedim(1, -1) + 1) / size - 1
        image = self.image.expand(count, -1, -1, -1)
        drawn = F.grid_sample(image, sampling, mode="bicubic", padding_mode="border", align_corners=False)
        return drawn.clamp(self.image.amin(), self.image.amax())

    def _within_face(self, sampling: Tensor, landmarks: np.ndarray, pose: Pose) -> Tensor:
        """sampling (T, H, H, 2) that moves less and less beyond the face: brows that rise would lift the hair"""
        own = pixel_grid(self.size, self.size, sampling)
        depth = hull_depth(torch.from_numpy(landmarks).float(), self.size)[
            :, 0, ..., None
        ]  # (T, H, H, 1), pixels
        reach = FADE * torch.from_numpy(pose.scale).float()[:, None, None, None]
        share = (1 + depth / reach).clamp(0, 1)
        return own + share * share * (3 - 2 * share) * (sampling - own)


def turn_between(one: Pose, other: Pose) -> np.ndarray:
    """Poses (T) each, or one frame against T -> (T,): the angle by which the heads are turned differently, radians"""
    turned = np.swapaxes(to_matrices(one.rotation), -1, -2) @ to_matrices(other.rotation)
    return np.linalg.norm(to_vectors(turned), axis=-1)


def most_frontal(pose: Pose) -> int:
    """Which of the poses is the nearest to a face seen from the front"""
    return int(np.linalg.norm(pose.rotation, axis=-1).argmin())
