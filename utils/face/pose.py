"""How a head is turned: rotation, place and scale of the mean face in a picture, out of its landmarks.

The camera is a scaled orthography, as faces in crops are far from it and a crop has lost its focal length: a landmark
X of the head lies at scale * (R X) + translation, of which the picture shows x and y. See `utils.face.mean_face` for
the axes and units. Rotations are vectors (radians): about x, the chin goes up or down (pitch), about y the face turns
to a side (yaw), about z it leans (roll).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.face.landmarks import MIRROR, smooth
from utils.face.mean_face import MEAN_FACE, RIGID
from utils.face.rotations import nearest_rotation, smooth_rotations, to_matrices, to_vectors

ROUNDS = 10  # of refinement; a landmark is seldom moved by more than a hundredth of a pixel after six
BLOCK = 2048  # frames that are fitted at a time
OUTLIER = 0.03  # face widths: a landmark that is so far off counts half
SIDEWAYS = 0.25  # of a face that is turned by 75 degrees: beyond, its picture does not tell its width
# The outline of the jaw is where the cheek turns away from the camera, another place of the head in every pose.
WEIGHTS = np.array([0.4 if point < 17 else 1.0 for point in RIGID])


@dataclass(frozen=True)
class Pose:
    """Of T frames: rotation (T, 3), vectors; translation (T, 2), pixels, where the head's origin is; scale (T,),
    pixels per face width.
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, table: np.ndarray) -> Pose:
        """The inverse of `table`"""
        return cls(table[:, :3], table[:, 3:5], table[:, 5])

    def table(self) -> np.ndarray:
        """(T, 6): rotation vector, translation, scale"""
        return np.column_stack([self.rotation, self.translation, self.scale])

    def __len__(self) -> int:
        return len(self.scale)

    def __getitem__(self, frames: slice | np.ndarray) -> Pose:
        """The poses of some frames: a slice, a mask or indices"""
        return Pose(self.rotation[frames], self.translation[frames], self.scale[frames])


def fit_pose(landmarks: np.ndarray, face: np.ndarray = MEAN_FACE, points: list[int] = RIGID) -> Pose:
    """landmarks (T, 68, 2) in pixels, face (68, 3) -> their poses, by iteratively re-weighted least squares"""
    if len(landmarks) > BLOCK:  # frames are independent of each other: memory need not grow with them
        starts = range(0, len(landmarks), BLOCK)
        parts = [fit_pose(landmarks[start : start + BLOCK], face, points).table() for start in starts]
        return Pose.of(np.concatenate(parts))
    seen, head = np.asarray(landmarks, np.float64)[:, points], face[points]
    weights = WEIGHTS if points is RIGID else np.ones(len(points))
    rotation, translation, scale = _affine_start(seen, head, weights)
    for _ in range(ROUNDS):
        turned = head @ np.swapaxes(rotation, -1, -2)  # (T, P, 3)
        missed = seen - scale[:, None, None] * turned[..., :2] - translation[:, None]
        far = np.linalg.norm(missed, axis=-1) / scale[:, None]
        step = _solve(_derivatives(turned, scale), missed, weights / (1 + (far / OUTLIER) ** 2))
        rotation = to_matrices(step[:, :3]) @ rotation
        scale, translation = np.maximum(scale + step[:, 3], 1e-6), translation + step[:, 4:]
    return Pose(to_vectors(rotation), translation, scale)


def _affine_start(seen: np.ndarray, head: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """The least-squares affine camera, its rows made orthonormal -> rotations (T, 3, 3), translations, scales"""
    share = (weights / weights.sum())[:, None]
    centre, place = (share * head).sum(0), (share * seen).sum(1)
    centred = head - centre
    camera = np.swapaxes(seen - place[:, None], -1, -2) @ (share * centred)  # (T, 2, 3)
    camera = camera @ np.linalg.inv(centred.T @ (share * centred))
    left, sizes, right = np.linalg.svd(camera, full_matrices=False)
    rows, scale = left @ right, np.maximum(sizes.mean(-1), 1e-6)
    rotation = np.concatenate([rows, np.cross(rows[:, :1], rows[:, 1:])], axis=1)
    return rotation, place - scale[:, None] * (rows @ centre), scale


def _derivatives(turned: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Of the picture's points (T, P, 2) by a further rotation, the scale and the translation: (T, P, 2, 6)"""
    x, y, z = np.moveaxis(turned, -1, 0)
    size, zero, one = scale[:, None], np.zeros_like(x), np.ones_like(x)
    across = [zero, size * z, -size * y, x, one, zero]
    down = [-size * z, zero, size * x, y, zero, one]
    return np.stack([np.stack(across, -1), np.stack(down, -1)], -2)


def _solve(derivatives: np.ndarray, missed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted Gauss-Newton step (T, 6)"""
    count = len(missed)
    matrix = derivatives.reshape(count, -1, 6)
    weighted = (derivatives * weights[..., None, None]).reshape(count, -1, 6)
    normal = np.swapaxes(weighted, -1, -2) @ matrix
    damping = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
    return np.linalg.solve(normal + damping, np.swapaxes(weighted, -1, -2) @ missed.reshape(count, -1, 1))[
        ..., 0
    ]


def fit_track(landmarks: np.ndarray) -> tuple[Pose, np.ndarray]:
    """landmarks (T, 68, 2) of one person -> their poses, and the person's own face (68, 3)

    The mean face gives the first poses, these the person's face as seen from the front, with the mean's depths, and
    that the poses: a long nose is no longer a head that is turned down.
    """
    pose = fit_pose(landmarks)
    face = person_face(landmarks, pose)
    return fit_pose(landmarks, face), face


def person_face(landmarks: np.ndarray, pose: Pose) -> np.ndarray:
    """landmarks (T, 68, 2) of one person, their poses -> the person's face (68, 3), the median over time

    Its midline is put into the middle: what is left of a turn that all frames share is no shape of the face.
    """
    face = np.median(frontalise(landmarks, pose), axis=0)
    mirrored = face[MIRROR] * [-1, 1, 1]
    return (face + mirrored) / 2


def fit_pose_3d(landmarks: np.ndarray, face: np.ndarray = MEAN_FACE, points: list[int] = RIGID) -> Pose:
    """landmarks (T, 68, 3), z away from the viewer, in pixels -> their poses, in closed form (Umeyama 1991)"""
    seen, head = np.asarray(landmarks, np.float64)[:, points], face[points]
    centre, place = head.mean(0), seen.mean(1)
    covariance = np.swapaxes(seen - place[:, None], -1, -2) @ (head - centre)
    rotation = nearest_rotation(covariance)
    scale = (rotation * covariance).sum((1, 2)) / ((head - centre) ** 2).sum()
    scale = np.maximum(scale, 1e-6)
    translation = place - scale[:, None] * (rotation @ centre)
    return Pose(to_vectors(rotation), translation[:, :2], scale)


def frontalise(landmarks: np.ndarray, pose: Pose, face: np.ndarray = MEAN_FACE) -> np.ndarray:
    """landmarks (T, 68, 2) -> front (T, 68, 3): the face as seen from the front, in face widths, with the mean's depths

    `place` gives back the same landmarks, to the last bits.
    """
    rotation = to_matrices(pose.rotation)[:, :2]  # (T, 2, 3)
    flat = (np.asarray(landmarks, np.float64) - pose.translation[:, None]) / pose.scale[:, None, None]
    flat = flat - face[:, 2, None] * rotation[:, None, :, 2]
    left, sizes, right = np.linalg.svd(rotation[..., :2])
    inverse = (np.swapaxes(right, -1, -2) / np.maximum(sizes, SIDEWAYS)[:, None]) @ np.swapaxes(left, -1, -2)
    across = flat @ np.swapaxes(inverse, -1, -2)
    return np.concatenate([across, np.broadcast_to(face[:, 2:], (len(across), 68, 1))], axis=-1)


def place(front: np.ndarray, pose: Pose) -> np.ndarray:
    """front (T, P, 3) in face widths, or (P, 3) for all frames -> where the picture shows it, (T, P, 2) pixels"""
    return place_3d(front, pose)[..., :2]


def place_3d(front: np.ndarray, pose: Pose) -> np.ndarray:
    """The same with its depth: (T, P, 3) pixels, z from the head's origin, away from the viewer"""
    turned = front @ np.swapaxes(to_matrices(pose.rotation), -1, -2)
    there = turned * pose.scale[:, None, None]
    there[..., :2] += pose.translation[:, None]
    return there


def smooth_pose(pose: Pose, sigma: float) -> Pose:
    """The same, Gaussian-weighted over time, rotations as quaternions; sigma in frames, 0 for none"""
    scale = np.exp(smooth(np.log(pose.scale), sigma))
    return Pose(smooth_rotations(pose.rotation, sigma), smooth(pose.translation, sigma), scale)


def rest_pose(pose: Pose) -> Pose:
    """The pose about which a head moves, of one frame: the mean of the half of the frames that are nearest to all"""
    matrices = to_matrices(pose.rotation)
    mean = nearest_rotation(matrices.mean(0))
    for _ in range(3):
        angles = np.linalg.norm(to_vectors(mean.T @ matrices), axis=-1)
        mean = nearest_rotation(matrices[angles <= np.median(angles)].mean(0))
    return Pose(to_vectors(mean)[None], np.median(pose.translation, 0)[None], np.median(pose.scale)[None])


def motion_of(pose: Pose, rest: Pose | None = None) -> np.ndarray:
    """Poses -> head motion (T, 6) float32 about the rest pose, by default the track's own

    Rotation vector in the head's own axes at rest (radians), translation (face widths), logarithm of the scale.
    """
    rest = rest_pose(pose) if rest is None else rest
    turned = np.swapaxes(to_matrices(rest.rotation), -1, -2) @ to_matrices(pose.rotation)
    moved = (pose.translation - rest.translation) / rest.scale[:, None]
    return np.column_stack([to_vectors(turned), moved, np.log(pose.scale / rest.scale)]).astype(np.float32)


def pose_of(motion: np.ndarray, rest: Pose) -> Pose:
    """Head motion (T, 6) about a rest pose (one frame) -> poses; the inverse of `motion_of`"""
    motion = np.asarray(motion, np.float64)
    turned = to_matrices(rest.rotation) @ to_matrices(motion[:, :3])
    moved = rest.translation + motion[:, 3:5] * rest.scale[:, None]
    return Pose(to_vectors(turned), moved, rest.scale * np.exp(motion[:, 5]))
