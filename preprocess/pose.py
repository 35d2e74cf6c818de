"""A store's landmarks -> how its heads are turned, frame by frame.

    python -m preprocess.pose STORE.h5                      writes STORE_pose.h5, and STORE_pose.png to look at
    python -m preprocess.pose STORE.h5 --export DIR         also DIR/ID_rt.npy and DIR/ID_front.npy
    python -m preprocess.pose STORE.h5 --landmarks DIR      takes DIR/ID.npy, (T, 68, 3) pixels, of another detector

A mean face is turned, moved and scaled until its 27 rigid points lie on the landmarks (scaled orthography, robust
weights); the face that this shows from the front becomes the person's own, which is fitted again; rotations are
smoothed as quaternions. `data.heads.poses` reads the file. Pixels are those of the crop in a store of --crop static,
and otherwise those of the video.

The exported files are those of the original (section 2.1 of its paper; rigid motion without scale): rt (T, 6), rotation
vector r and translation t, front (T, 68, 3), both in pixels, with front = R(r) landmarks + t; so the landmarks are the
first two rows of R(r)^T (front - t).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.heads.poses import check_target, default_path, write_poses
from data.store import STATIC, Clip, ClipStore
from utils.audio import FPS
from utils.cli import add_number, parser
from utils.errors import UserError, run
from utils.face.motion import AXES
from utils.face.pose import Pose, fit_pose_3d, fit_track, frontalise, motion_of, place_3d, smooth_pose
from utils.face.rotations import to_matrices
from utils.files import replacing, writable_folder
from utils.files.arrays import read_numbers
from utils.media.images import write_image

SHOWN = 6  # clips in the picture
NOSE, EARS = 30, [0, 16]


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, metavar="STORE", help="clip store, a file or a folder")
    flags.add_argument("poses", type=Path, nargs="?", help="file to write (default: STORE_pose.h5)")
    add_number(flags, "smoothing", 1.0, "over time, in frames; 0 for none", least=0, below=250)
    flags.add_argument(
        "--export", type=Path, metavar="DIR", help="also the original's files, one pair a clip"
    )
    flags.add_argument(
        "--landmarks",
        type=Path,
        metavar="DIR",
        help="take DIR/ID.npy, (T, 68, 3) pixels, z of either sign",
    )
    return flags.parse_args(argv)


def clip_pose(
    clip: Clip, static: bool, smoothing: float, folder: Path | None
) -> tuple[Pose, np.ndarray, np.ndarray]:
    """-> poses, the person's face (68, 3), and the landmarks (T, 68, 2) that they are of"""
    landmarks = clip.landmarks if static else clip.source_landmarks
    pose, face = fit_track(landmarks)
    if folder is not None:
        points = read_landmarks(folder / f"{clip.id}.npy", clip.length)
        pose = fit_pose_3d(points, face)
        landmarks = points[..., :2]
    return smooth_pose(pose, smoothing), face, landmarks


def read_landmarks(path: Path, frames: int) -> np.ndarray:
    """(T, 68, 3) of any detector, z turned away from the viewer where it was not. Raises UserError."""
    points = read_numbers(path, "landmarks", f"give ({frames}, 68, 3) numbers")
    if points.shape != (frames, 68, 3):
        raise UserError(f"{path}: holds {points.shape} numbers, not ({frames}, 68, 3)")
    nose_behind = np.median(points[:, NOSE, 2] - points[:, EARS, 2].mean(1)) > 0
    return points * [1, 1, -1] if nose_behind else points


def original_files(pose: Pose, landmarks: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rt (T, 6) and front (T, 68, 3) as the original has them, in pixels; see the top of this module"""
    front = frontalise(landmarks, pose, face)
    seen = place_3d(front, pose)
    back = np.swapaxes(to_matrices(pose.rotation), -1, -2)
    middle = np.column_stack([pose.translation, np.zeros(len(pose))])
    shift = (
        middle - (back @ middle[..., None])[..., 0]
    )  # turned about the head's origin, which keeps its place
    rt = np.column_stack([-pose.rotation, shift])
    return rt.astype(np.float32), (seen @ np.swapaxes(back, -1, -2) + shift[:, None]).astype(np.float32)


def export(folder: Path, id: str, rt: np.ndarray, front: np.ndarray) -> None:
    for name, values in (("rt", rt), ("front", front)):
        with replacing(folder / f"{id}_{name}.npy") as part, part.open("wb") as file:
            np.save(file, values)


def draw_tracks(tracks: dict[str, Pose]) -> np.ndarray:
    """Angles over time, of a few clips -> (H, W, 3) uint8"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 1.9 * len(tracks) + 0.4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for row, (id, pose) in zip(
        figure.subplots(len(tracks), squeeze=False)[:, 0], tracks.items(), strict=True
    ):
        for axis, name in enumerate(AXES[:3]):
            row.plot(np.arange(len(pose)) / FPS, np.degrees(pose.rotation[:, axis]), label=name)
        row.set_title(id, fontsize=8)
        row.set_ylabel("degrees", fontsize=8)
        row.grid(alpha=0.3)
        row.tick_params(labelsize=7)
    row.set_xlabel("seconds", fontsize=8)
    row.legend(fontsize=7, ncols=3)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def spread(poses: Sequence[Pose]) -> str:
    """The median over the clips of each angle's standard deviation, in words"""
    angles = np.degrees(np.median([motion_of(pose)[:, :3].std(0) for pose in poses], axis=0))
    return ", ".join(f"{name} {angles[axis]:.2f}" for axis, name in enumerate(AXES[:3]))


def main(args: Namespace) -> None:
    store = ClipStore(args.store)
    path = args.poses or default_path(args.store)
    if path.is_dir() or path.suffix not in (".h5", ".hdf5"):
        raise UserError(f"{path}: the poses are one .h5 file; give a name that ends so")
    check_target(path)
    if args.landmarks and not args.landmarks.is_dir():
        raise UserError(f"{args.landmarks}: no such folder of landmarks")
    writable_folder(path.parent)
    static, clips = store.crop == STATIC, {}
    for id in tqdm(store.ids, "poses", unit="clip"):
        pose, face, landmarks = clip_pose(store[id], static, args.smoothing, args.landmarks)
        clips[id] = pose, face
        if args.export:
            export(args.export, id, *original_files(pose, landmarks, face))
    write_poses(path, clips)
    chosen = store.ids[:: max(1, len(store.ids) // SHOWN)][:SHOWN]
    picture = path.with_suffix(".png")
    write_image(picture, draw_tracks({id: clips[id][0] for id in chosen}))
    told = spread([pose for pose, _ in clips.values()])
    print(
        f"{path}: {len(clips)} clips; standard deviations within a clip, in degrees: {told}; look at {picture}"
    )


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
