"""The whole head of a picture turned, its neck bent, before a background that stands still.

The picture becomes a sheet that bulges: at every point of a grid a depth, out of the face's landmarks and a round
skull, and how far it goes along with the head: wholly on face and hair, less and less down the neck, not at all beyond.
The points of the moved grid are drawn with a z-buffer, so that a nose hides the cheek behind it; as the sheet is whole,
nothing tears where the head comes from before the background, which stretches there by as much as the hair has moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.head3d.raster import interpolate, rasterise
from models.warp import sample_at
from utils.face.mean_face import MEAN_FACE, RADII, SKULL
from utils.face.pose import Pose, frontalise, place_3d
from utils.face.rotations import to_matrices

POINTS = 41  # of the grid, along each side
# In face widths, seen from the front: the head's middle, and how far it goes along, and where that ends, from there to
# the sides, upwards and downwards.
MIDDLE = np.array([0.0, -0.1])
WHOLE = {"side": 0.64, "up": 1.05, "down": 0.98}
END = {"side": 1.0, "up": 1.45, "down": 1.95}
BEHIND = 0.15  # depth of what is no head, in face widths
NECK = np.array([[x, y, z] for y in (1.05, 1.4, 1.8) for x, z in ((-0.3, 0.05), (0.0, -0.1), (0.3, 0.05))])
STIFFNESS = 3e-3  # of the surface, against the depths that it should have


@dataclass(frozen=True)
class Sheet:
    """rest: the pose of the picture's head, one frame; points (P, 2), the grid's, in pixels of the picture; depths (P,)
    in face widths, from the head's origin; share (P,), from 0 to 1, how far each goes along; triangles (F, 3).
    """

    rest: Pose
    points: Tensor
    depths: Tensor
    share: Tensor
    triangles: Tensor

    @property
    def box(self) -> tuple[float, float, float, float]:
        """What may move: left, top, right, bottom, in pixels of the picture"""
        low, high = self.points.amin(0).tolist(), self.points.amax(0).tolist()
        return low[0], low[1], high[0], high[1]

    def vertices(self, pose: Pose) -> Tensor:
        """Where the points lie in other poses (T) -> (T, P, 3): pixels, and depth in pixels"""
        scale, origin = float(self.rest.scale[0]), torch.from_numpy(self.rest.translation[0]).float()
        there = torch.cat([(self.points - origin) / scale, self.depths[:, None]], dim=-1)
        turn = to_matrices(pose.rotation) @ to_matrices(self.rest.rotation).swapaxes(-1, -2)
        turned = there @ torch.from_numpy(turn).float().transpose(-1, -2)  # (T, P, 3)
        turned = turned * torch.from_numpy(pose.scale).float()[:, None, None]
        turned[..., :2] += torch.from_numpy(pose.translation).float()[:, None]
        still = torch.cat([self.points, self.depths[:, None] * scale], dim=-1)
        return still + self.share[:, None] * (turned - still)

    def sampling(
        self, pose: Pose, places: tuple[int, int], corner: tuple[float, float], step: float
    ) -> Tensor:
        """Poses (T) -> (T, h, w, 2): where, in pixels of the picture, is found what lies in a raster of `places` (h, w)

        corner: the place (x, y) of the raster's first point in the picture; step: pixels from one to the next.
        """
        moved = self.vertices(pose)
        raster = torch.cat([(moved[..., :2] - torch.tensor(corner)) / step, moved[..., 2:]], dim=-1)
        fragments = rasterise(raster, self.triangles, *places)
        found = interpolate(fragments, self.points.expand(len(moved), -1, -1), self.triangles)
        y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in places), indexing="ij")
        own = torch.stack([x, y], dim=-1) * step + torch.tensor(corner)
        return torch.where(fragments.mask[..., None], found, own)

    def pictures(self, picture: Tensor, pose: Pose) -> Tensor:
        """picture (C, H, W), floating point, and poses (T) -> (T, C, H, W): its head in those poses"""
        places = self.sampling(pose, tuple(picture.shape[-2:]), (0.0, 0.0), 1.0)
        return sample_at(picture[None], places).clamp(picture.amin(), picture.amax())


def make_sheet(
    landmarks: np.ndarray,
    rest: Pose,
    size: tuple[int, int],
    face: np.ndarray = MEAN_FACE,
    count: int = POINTS,
) -> Sheet:
    """A picture's landmarks (68, 2), pixels, the pose of its head (one frame), the picture's size (height, width)

    face (68, 3): the person's, or the mean; count: of the grid's points, along each side.
    """
    low, high = _extent(rest, size)
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, count) for a, b in zip(low, high, strict=True))), axis=-1)
    points = grid.reshape(-1, 2)
    flat = (points - rest.translation) / rest.scale
    controls = _controls(landmarks, rest, face)
    share = _share(flat, rest)
    depths = BEHIND + (_surface(flat, controls) - BEHIND) * np.minimum(1, 2 * share)
    edge = np.minimum(*(_edge(points[:, i], (0, size[1 - i] - 1)) for i in (0, 1)))
    i = np.arange(count**2).reshape(count, count)
    corners = i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]
    above, below = np.stack(corners[:3], -1), np.stack([corners[3], *corners[1:3]], -1)
    triangles = np.concatenate([above.reshape(-1, 3), below.reshape(-1, 3)])
    share = share * edge
    moving = (share[triangles] > 0).any(1)  # what never moves need not be drawn: it is behind all else
    tensors = (torch.from_numpy(one.astype(np.float32)) for one in (points, depths, share))
    return Sheet(rest, *tensors, torch.from_numpy(triangles[moving]))


def _extent(rest: Pose, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The corners of what may move, within the picture"""
    reach = max(*END.values()) - MIDDLE[1]
    limits = np.array(size[::-1]) - 1.0
    low = np.clip(rest.translation[0] - reach * rest.scale[0], 0, limits - 1)
    return low, np.clip(rest.translation[0] + reach * rest.scale[0], low + 1, limits)


def _edge(x: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """1, and 0 on the picture's border, where there is nothing beyond that could come in"""
    return np.clip(np.minimum(x - limits[0], limits[1] - x) / (0.04 * (limits[1] - limits[0])), 0, 1)


def _share(flat: np.ndarray, rest: Pose) -> np.ndarray:
    """flat (P, 2), face widths from the head's origin -> (P,), how far each goes along with the head"""
    turn = to_matrices(rest.rotation)[0]
    lean = np.arctan2(turn[1, 0], turn[0, 0])  # of the head in the picture
    upright = flat @ np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]]) - MIDDLE
    across, down = np.abs(upright[:, 0]), upright[:, 1]
    half = np.where(down < 0, "up", "down")
    distances = []
    for radii in (WHOLE, END):
        along = np.vectorize(radii.get)(half)
        distances.append(np.hypot(across / radii["side"], down / along))
    inner, outer = distances  # 1 on the border of each; between them, the way from one to the other
    way = (1 - outer) / np.maximum(inner - outer, 1e-6)
    way = np.where(inner <= 1, 1.0, np.clip(way, 0, 1))
    return way * way * (3 - 2 * way)


def _controls(landmarks: np.ndarray, rest: Pose, face: np.ndarray) -> np.ndarray:
    """Places of known depth (N, 3), face widths from the head's origin as the camera sees them"""
    front = frontalise(landmarks[None], rest, face)[0]
    head = np.concatenate([front, _skull(), NECK])
    seen = place_3d(head, rest)[0]
    seen[:, :2] -= rest.translation[0]
    seen /= rest.scale[0]
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.column_stack([1.5 * np.sin(angles), 1.6 * np.cos(angles), np.full(24, BEHIND)])
    ring = ring[ring[:, 1] < 1.0]  # the neck goes on downwards
    return np.concatenate([seen, ring])


def _skull() -> np.ndarray:
    """Places of the skull (N, 3) above and beside the face, those that a viewer before it sees"""
    turn, rise = np.meshgrid(np.radians(np.arange(-80, 81, 20)), np.radians(np.arange(15, 76, 15)))
    unit = np.stack([np.sin(turn) * np.cos(rise), -np.sin(rise), -np.cos(turn) * np.cos(rise)], -1)
    places = SKULL + RADII * unit.reshape(-1, 3)
    sides = SKULL + RADII * np.array([[side, y, 0.0] for side in (-1, 1) for y in (-0.2, 0.1, 0.4)])
    return np.concatenate([places[places[:, 1] < -0.45], sides])


def _surface(flat: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """A thin plate through the controls (N, 3), a little stiff -> its depth at flat (P, 2)"""
    places, depths = controls[:, :2], controls[:, 2]
    count = len(places)
    affine = np.column_stack([np.ones(count), places])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(places, places) + STIFFNESS * np.eye(count)
    system[:count, count:], system[count:, :count] = affine, affine.T
    weights = np.linalg.solve(system, np.concatenate([depths, np.zeros(3)]))
    surface = (
        _kernel(flat, places) @ weights[:count]
        + np.column_stack([np.ones(len(flat)), flat]) @ weights[count:]
    )
    return np.clip(surface, -0.8, BEHIND + 0.1)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (a[:, None, 0] - b[:, 0]) ** 2 + (a[:, None, 1] - b[:, 1]) ** 2 + 1e-12
    return 0.5 * squared * np.log(squared)
