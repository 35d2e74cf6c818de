"""What the renderer of rhythmic head motion learns from: K references of a clip and a target frame (Section 3).

As published, the references are of the first quarter of a clip and the target of the rest. Which they are is a function
of the sample's number; `training.heads` makes pictures, moved heads and changes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from data.heads.poses import PoseStore
from data.loader import Sampling
from data.store import STATIC, ClipStore
from utils.errors import UserError
from utils.face.pose import Pose

POOL = 0.25  # share of a clip that references are taken from, its beginning
LEAST = 8  # frames of a clip


class Drawn(NamedTuple):
    """K references and, at the end, the target: images (K + 1, 3, H, W) uint8, landmarks (K + 1, 68, 2) and poses in
    pixels; the person's face (68, 3) in face widths; random numbers for all else about the sample
    """

    images: Tensor
    landmarks: np.ndarray
    pose: Pose
    face: np.ndarray
    random: np.random.Generator


class RhythmicFrames:
    """Draws sample number n. shots: the fewest and the most references; `together` samples in a row have as many, so
    that they make a batch. Raises UserError where the store's crops follow faces, or the poses are others'.
    """

    def __init__(
        self,
        store: ClipStore,
        poses: PoseStore,
        ids: Sequence[str],
        shots: tuple[int, int],
        seed: int,
        power: float = 1.0,
        together: int = 1,
    ) -> None:
        check_store(store, poses)
        self.store, self.poses, self.shots, self.together = store, poses, shots, together
        self.sampling = Sampling(store, ids, max(LEAST, shots[1] + 1), seed, power)

    def draw(self, number: int) -> Drawn:
        id, random = self.sampling.draw(number)
        pool = reference_pool(self.store.lengths[id], self.count(number))
        references = random.choice(pool, self.count(number), replace=False)
        target = random.integers(pool, self.store.lengths[id])
        return self.take(id, np.r_[references, target], random)

    def count(self, number: int) -> int:
        """K of sample `number`"""
        fewest, most = self.shots
        random = np.random.default_rng((self.sampling.seed, 1, number // self.together))
        return int(random.integers(fewest, most + 1))

    def take(self, id: str, chosen: np.ndarray, random: np.random.Generator) -> Drawn:
        """Some frames of a clip"""
        clip = self.store[id]
        pose, face = self.poses[id][chosen], self.poses.face(id)
        return Drawn(clip.frames(chosen), clip.landmarks[chosen], pose, face, random)


def reference_pool(length: int, count: int) -> int:
    """How many of a clip's first frames `count` references are taken from: a quarter, or as many as needed"""
    return min(max(count, int(POOL * length)), length - 1)


def check_store(store: ClipStore, poses: PoseStore) -> None:
    """Raises UserError where heads do not move in the store's crops, or the poses are of other clips."""
    if store.crop != STATIC:
        raise UserError(
            f"{store.path}: its crops follow the face, so that heads stand still; preprocess with --crop static"
        )
    poses.check(store.lengths)
