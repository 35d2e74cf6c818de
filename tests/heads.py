"""Heads that move, for tests: smooth motion that is lively while the voice is loud, and stores with poses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from data.heads.poses import default_path, write_poses
from data.store import STATIC, ClipStore
from data.store_writer import ClipArrays, StoreWriter
from tests.synthetic import draw_face, make_clip, make_store, talking_landmarks
from utils.face.landmarks import TEMPLATE
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import Pose, fit_pose, frontalise, place, pose_of

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


def moving_clip(seed: int, frames: int = 24, size: int = 64, speaker: str = "s1") -> tuple[ClipArrays, Pose]:
    """A fixed crop in which a drawn head moves and talks, and its poses"""
    talking, _ = talking_landmarks(frames, seed)
    still = fit_pose(TEMPLATE[None])[np.zeros(frames, int)]
    rest = Pose(np.zeros((1, 3)), np.full((1, 2), 0.5 * size), np.full(1, 0.45 * size))
    pose = pose_of(2 * smooth_motion(frames, seed), rest)
    landmarks = place(frontalise(talking, still), pose).astype(np.float32)
    clip = make_clip(seed, frames, size, speaker=speaker)
    colour = tuple(int(x) for x in np.random.default_rng(seed).integers(120, 230, 3))
    pictures = [
        cv2.imencode(".png", draw_face(face, colour, size)[..., ::-1])[1].tobytes() for face in landmarks
    ]
    return replace(clip, pictures=pictures, landmarks=landmarks, source_landmarks=landmarks), pose


def make_static_store(path: Path, clips: int = 5, frames: int = 24, size: int = 64) -> Path:
    """`moving_clip`s of two speakers, with poses; in the lists of splits/ the last is test, the one before it val"""
    notes = dict(parameters=dict(size=size, landmarks="drawn", crop=STATIC), versions={})
    writer = StoreWriter(path, dict(fps=25, sample_rate=16000, size=size, template=TEMPLATE, **notes))
    poses, ids = {}, [f"s{1 + number % 2}/clip{number}" for number in range(clips)]
    for number, id in enumerate(ids):
        clip, pose = moving_clip(number, frames, size, id.split("/")[0])
        writer.add(id, clip)
        poses[id] = pose, MEAN_FACE
    writer.pack()
    write_poses(default_path(path), poses)
    folder = path.parent / "splits"
    folder.mkdir(exist_ok=True)
    for name, chosen in dict(train=ids[:-2], val=ids[-2:-1], test=ids[-1:]).items():
        (folder / f"{name}.txt").write_text("\n".join(chosen) + "\n")
    return path
