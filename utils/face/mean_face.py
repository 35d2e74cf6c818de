"""The mean face in three dimensions: where the 68 landmarks of an average head lie, and which of them keep their place.

Units: one face width, the distance of the jaw points 0 and 16, about 14 cm. Axes: x to the right and y down, as in
pictures, z away from the viewer, so that the tip of the nose has the smallest z. The origin lies midway between the
points 0 and 16, inside the head, about which heads turn.

Across and down it is the template of all crops (`utils.face.landmarks.TEMPLATE`). Its depths come from the landmark
tracks of turning heads, by factorisation into shape and pose (Tomasi and Kanade 1992) with the shape shared by all of
them; such tracks leave the common scale of depth open, which is set by a nose tip 10 cm before the origin.
"""

from __future__ import annotations

import numpy as np

from utils.face.landmarks import TEMPLATE

# How far each landmark lies before the origin, in face widths.
DEPTHS = np.array(
    """
    0.00 0.02 0.04 0.06 0.11 0.17 0.25 0.32 0.35 0.32 0.25 0.17
    0.11 0.06 0.04 0.02 0.00 0.32 0.39 0.46 0.51 0.54 0.54 0.51
    0.46 0.39 0.32 0.52 0.57 0.63 0.68 0.54 0.56 0.58 0.56 0.54
    0.37 0.40 0.42 0.41 0.42 0.40 0.41 0.42 0.40 0.37 0.40 0.42
    0.39 0.49 0.55 0.55 0.55 0.49 0.39 0.44 0.48 0.49 0.48 0.44
    0.41 0.52 0.53 0.52 0.41 0.48 0.49 0.48
    """.split(),
    dtype=np.float64,
)
# What keeps its place on the head while a person talks: sides of the jaw, ends of the brows, nose, corners of the eyes.
RIGID = [*range(1, 6), *range(11, 16), 17, 21, 22, 26, *range(27, 36), 36, 39, 42, 45]


def _mean_face() -> np.ndarray:
    flat = TEMPLATE.astype(np.float64)
    width = np.linalg.norm(flat[16] - flat[0])
    return np.column_stack([(flat - (flat[0] + flat[16]) / 2) / width, -DEPTHS])


MEAN_FACE = _mean_face()  # (68, 3)

# An average skull, an ellipsoid: its middle and its radii, in face widths.
SKULL, RADII = np.array([0.0, -0.28, 0.12]), np.array([0.60, 0.80, 0.60])
FOREHEAD = list(
    range(15, 0, -1)
)  # the jaw points that are mirrored upwards, in the order of their mirror images
FLATTER = 2 / 3  # a forehead is so high, where the jaw is 1


def forehead(front: np.ndarray) -> np.ndarray:
    """front (..., 68, 2 or 3), upright -> (..., 15, 2 or 3): the jaw mirrored upwards, flatter; in 3-D, on the skull

    With the jaw it closes the outline of the face: points 0 to 16 and these. Needs face widths for the depths.
    """
    base = front[..., [0, 16], 1].mean(-1, keepdims=True)
    points = front[..., FOREHEAD, :].copy()
    points[..., 1] = base + FLATTER * (base - points[..., 1])
    if points.shape[-1] == 3:
        points[..., 2] = skull_depth(points[..., :2])
    return points


def skull_depth(flat: np.ndarray) -> np.ndarray:
    """Places (..., 2) of the upright head, face widths -> the depth of the skull's front there, its middle's beyond"""
    inside = 1 - (((flat - SKULL[:2]) / RADII[:2]) ** 2).sum(-1)
    return SKULL[2] - RADII[2] * np.sqrt(np.maximum(inside, 0))
