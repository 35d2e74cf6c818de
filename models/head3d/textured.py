"""The textured three-dimensional face of a key frame, turned and drawn: the "ani" frames (3-D aware module).

The original's dense mesh of a foreign network is replaced by the 68 landmarks themselves, with forehead and sides, in
the mean's depths: a fixed triangulation, textured from the key frame. What the key frame does not show, for it is
turned away from the viewer, is taken from the other side of the face.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from models.head3d.raster import Fragments, rasterise
from models.warp import sample_at
from utils.face.landmarks import MIRROR
from utils.face.mean_face import MEAN_FACE, forehead
from utils.face.pose import Pose, frontalise, place_3d

SIDES = [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]  # jaw points from which the face goes on to the back
INWARDS, BACKWARDS = 0.99, 0.25  # of a side's place, so that it shows no background, and face widths
HIDDEN = (
    0.25  # cosine between the key frame's view and a triangle's normal, below which its other side is better
)
MIRRORED = [*MIRROR, *range(82, 67, -1), *range(92, 82, -1)]  # of all 93 vertices


class TexturedFace:
    """A key frame's face. landmarks (68, 2), pixels of the key frame; rest: its pose, one frame; face (68, 3): the
    person's, or the mean.
    """

    def __init__(self, landmarks: np.ndarray, rest: Pose, face: np.ndarray = MEAN_FACE) -> None:
        front = frontalise(np.asarray(landmarks)[None], rest, face)[0]
        self.head = with_sides(front)  # (93, 3), face widths
        seen = place_3d(self.head, rest)[0]
        self.triangles = torch.from_numpy(triangulation())
        normals = np.stack([_normals(seen)[:, 2], _normals(seen, mirrored=True)[:, 2]])
        other = (normals[0] < HIDDEN) & (normals[1] > normals[0])
        places = torch.from_numpy(seen[:, :2].astype(np.float32))
        twins = torch.tensor(MIRRORED)[self.triangles]
        chosen = torch.where(torch.from_numpy(other)[:, None], twins, self.triangles)
        self.texture = places[chosen]  # (F, 3, 2): where each corner is found in the key frame

    def fragments(self, pose: Pose, height: int, width: int) -> Fragments:
        """Poses (T) -> what each pixel of pictures of that size shows of the face"""
        vertices = torch.from_numpy(place_3d(self.head, pose).astype(np.float32))
        return rasterise(vertices, self.triangles, height, width)

    def render(self, key: Tensor, pose: Pose) -> tuple[Tensor, Tensor]:
        """key (3, H, W), poses (T) -> the face (T, 3, H, W), 0 around it, and where it is (T, 1, H, W), 0 or 1"""
        height, width = key.shape[-2:]
        fragments = self.fragments(pose, height, width)
        corners = self.texture[fragments.faces.clamp_min(0)]  # (T, H, W, 3, 2)
        places = (corners * fragments.weights[..., None]).sum(-2)
        mask = fragments.mask[:, None].float()
        return sample_at(key[None], places).clamp(key.amin(), key.amax()) * mask, mask


def with_sides(front: np.ndarray) -> np.ndarray:
    """front (68, 3), face widths -> (93, 3): and 15 points of the forehead, 10 of the sides"""
    sides = front[SIDES] * [INWARDS, 1, 1] + [0, 0, BACKWARDS]
    return np.concatenate([front, forehead(front), sides])


@lru_cache(maxsize=1)
def triangulation() -> np.ndarray:
    """(F, 3): the triangles of the 93 vertices, symmetric, each the same way round seen from the front"""
    from scipy.spatial import Delaunay

    flat = np.concatenate([MEAN_FACE, forehead(MEAN_FACE)])[:, :2]
    strips = [
        triangle
        for one, other in ((0, 1), (1, 2), (2, 3), (3, 4), (9, 8), (8, 7), (7, 6), (6, 5))
        for triangle in ((SIDES[one], SIDES[other], 83 + one), (SIDES[other], 83 + other, 83 + one))
    ]
    triangles = np.concatenate([Delaunay(flat).simplices, strips]).astype(np.int64)
    turned = _normals(with_sides(MEAN_FACE), triangles)[:, 2] < 0
    triangles[turned] = triangles[turned][:, [0, 2, 1]]
    return triangles


def _normals(points: np.ndarray, triangles: np.ndarray | None = None, mirrored: bool = False) -> np.ndarray:
    """points (V, 3) -> (F, 3): unit normals whose third number is how far a triangle faces the viewer, from -1 to 1

    mirrored: of each triangle's mirror image.
    """
    triangles = triangulation() if triangles is None else triangles
    numbers = np.array(MIRRORED)[triangles][:, [0, 2, 1]] if mirrored else triangles
    a, b, c = np.moveaxis(points[numbers], 1, 0)
    normals = np.cross(b - a, c - a)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
