"""What videos the demo writes of a speaking face: the whole photo, the face alone, a panel of the steps to it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from animation.composition import Change, Composer, fit_for_video
from animation.stream import Subject
from utils.errors import note
from utils.face.landmarks import to_crop_size
from utils.media.drawing import draw_landmarks, enlarge, grid

TILE = 256  # pixels of a panel's pictures


class Face(NamedTuple):
    """The photo's face: transform (2, 3) from photo to crop, crop (size, size, 3), landmarks (68, 2) in the crop."""

    photo: np.ndarray
    transform: np.ndarray
    crop: np.ndarray
    landmarks: np.ndarray
    subject: Subject


class Moment(NamedTuple):
    """One frame of the result: landmarks (68, 2) in crop pixels, VG-net's frame (size, size, 3) uint8, and how that
    came of the photo."""

    landmarks: np.ndarray
    frame: np.ndarray
    change: Change


def choose_views(args: Namespace, face: Face) -> dict[Path, Callable[[Moment], np.ndarray]]:
    """The videos to write, each with the function that draws its frames."""
    whole, alone = "", None
    if args.paste_back:
        whole, alone = "_full", ""
    elif args.crop or args.size:
        whole, alone = None, ""
    views = {}
    if alone is not None:
        views[alone] = enlarged_face(face, args.size) if args.size else lambda moment: moment.frame
    if whole is not None:
        views[whole] = whole_photo(face)
    if args.panel:
        result = enlarged_face(face, TILE)
        views["_panel"] = lambda moment: draw_panel(moment, result(moment))
    return {args.sample_dir / f"{args.save_name}{ending}.mp4": draw for ending, draw in views.items()}


def whole_photo(face: Face) -> Callable[[Moment], np.ndarray]:
    """Draws the photo, at its own resolution where a video can have it."""
    photo, transform = fit_for_video(face.photo, face.transform)
    if photo is not face.photo:
        note(f"the photo is scaled to {photo.shape[1]} x {photo.shape[0]} for H.264")
    compose = Composer(photo, transform, face.landmarks, len(face.crop))
    return lambda moment: compose(moment.change)


def enlarged_face(face: Face, size: int) -> Callable[[Moment], np.ndarray]:
    """Draws the crop out of the photo's own pixels, at `size` pixels a side."""
    compose = Composer.of_crop(face.photo, face.transform, face.landmarks, len(face.crop), size)
    return lambda moment: compose(moment.change)


def draw_panel(moment: Moment, result: np.ndarray) -> np.ndarray:
    """Landmarks | attention | motion | result"""
    points = to_crop_size(moment.landmarks, 128 * TILE // len(moment.frame))
    attention, motion = moment.change.pictures()
    captions = ["landmarks", "attention", "motion", "result"]
    tiles = [draw_landmarks(TILE, points), enlarge(attention, TILE), enlarge(motion, TILE), result]
    return grid(tiles, captions=captions)
