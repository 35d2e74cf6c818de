"""Heads that move, for tests: smooth motion that is lively while the voice is loud, and stores with poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.heads.poses import default_path, write_poses
from data.store import ClipStore
from tests.synthetic import make_store
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import Pose, pose_of

SIZES = np.array([0.06, 0.08, 0.04, 0.03, 0.03, 0.02])
REST = Pose(np.zeros((1, 3)), np.full((1, 2), 64.0), np.full(1, 60.0))


def smooth_motion(frames: int, seed: int) -> np.ndarray:
    """(T, 6) float32: sums of slow waves, of heads' sizes"""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 25
    rates, phases = random.uniform(0.2, 1.5, (6, 5)), random.uniform(0, 6.28, (6, 5))
    return (SIZES * np.sin(6.28 * rates * time + phases).mean(-1) * 1.5).astype(np.float32)


def make_head_store(path: Path, clips: int = 5, frames: int = 40) -> Path:
    """`make_store` with poses of `smooth_motion`"""
    make_store(path, clips, frames, size=32, speakers=3)
    store = ClipStore(path)
    made = {id: (pose_of(smooth_motion(frames, n), REST), MEAN_FACE) for n, id in enumerate(store.ids)}
    write_poses(default_path(path), made)
    return path
