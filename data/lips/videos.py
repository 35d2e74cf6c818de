"""The mouth of the face in a video: followed, and cut out as the stores that training reads have it.

The video is decoded twice, for the landmarks of all frames and then for its mouths, so that memory hardly grows with
it. Faces are found and aligned as for those stores. A cut to another shot moves the crop over half a second, as its
smoothing does not know of it, and all shots share the place of the mouth on their mean face.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.audio import FPS
from utils.errors import UserError, note
from utils.face.alignment import LARGEST_ZOOM, apply_transform, crop_face, crop_transforms
from utils.face.detector import FaceDetector, fill_gaps
from utils.face.mouth import cut_mouths, mouth_window
from utils.media.read import read_video, video_length
from utils.progress import Watch, bar, unwatched

CROP = 128  # pixels of the face crops that mouths are cut from, as in the stores
CHUNK = 32  # frames whose mouths are cut at a time
LONGEST_GUESS = FPS  # frames without a face that go by what lies before and after; in more, nothing is said


class FaceTrack(NamedTuple):
    """Where a face is in T frames: transforms (T, 2, 3), source pixels to the crop's; window (2, 3) of the mouth
    (`mouth_window`); faceless (T,), where it is not seen; silent (T,), where for so long that nothing can be told
    """

    transforms: np.ndarray
    window: np.ndarray
    faceless: np.ndarray
    silent: np.ndarray


def track_face(video: Path, size: int, view: float, watch: Watch = bar) -> FaceTrack:
    """Follows the largest face of a video. size, view: of its mouths. Raises UserError where there is none."""
    frames = watch("faces", read_video(video), round(FPS * video_length(video)) or None)
    points = np.stack(list(FaceDetector().track_stream(frames)))
    faceless = np.isnan(points).any(axis=(1, 2))
    if faceless.all():
        raise UserError(f"{video}: no face found; give a video that shows one from the front")
    points = fill_gaps(points, longest=len(points))
    transforms = crop_transforms(points, CROP)
    silent = long_runs(faceless, LONGEST_GUESS)
    zoom = float(np.median(np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])[~silent]))
    if zoom > LARGEST_ZOOM:
        raise UserError(f"{video}: the face is too small: it would be magnified {zoom:.1f} times")
    if silent.any():
        first = int(np.flatnonzero(silent)[0])
        stretch = f"{silent.sum() / FPS:.1f} s of it, the first from {first / FPS:.1f} s on"
        note(f"{video}: no face is seen for {stretch}; silent there")
    window = mouth_window(apply_transform(transforms, points)[~silent], size, view)
    return FaceTrack(transforms, window, faceless, silent)


def long_runs(mask: np.ndarray, longest: int) -> np.ndarray:
    """mask (T,) -> (T,), true where it is true for more than `longest` frames on end"""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    kept = np.zeros(len(mask), bool)
    for start, stop in edges.reshape(-1, 2):
        kept[start:stop] = stop - start > longest
    return kept


def cut_from(video: Path, track: FaceTrack, size: int, watch: Watch = unwatched) -> Iterator[Tensor]:
    """The mouths of a video (k, size, size) uint8, so many frames at a time"""
    faces: list[np.ndarray] = []
    pairs = zip(read_video(video), track.transforms, strict=True)
    for frame, transform in watch("mouths", pairs, len(track.transforms)):
        faces.append(crop_face(frame, transform, CROP))
        if len(faces) == CHUNK:
            yield _mouths(faces, track.window, size)
            faces = []
    if faces:
        yield _mouths(faces, track.window, size)


def _mouths(faces: list[np.ndarray], window: np.ndarray, size: int) -> Tensor:
    return cut_mouths(torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2), window, size)
