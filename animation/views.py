"""What videos are written of a speaking face: the whole picture, the face alone, a panel of the steps to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from animation.composition import Change, Composer, fit_for_video
from animation.heads.turning import HeadTurner
from animation.stream import Subject
from utils.errors import note
from utils.face.alignment import chain, crop_face, scaling
from utils.face.landmarks import to_crop_size
from utils.media.drawing import draw_landmarks, enlarge, grid

TILE = 256  # pixels of a panel's pictures


class Face(NamedTuple):
    """A picture's face: transform (2, 3) from picture to crop, crop (size, size, 3), landmarks (68, 2) in the crop.

    mask (size, size), 0 to 1: how much of it may change, the whole face by default.
    """

    photo: np.ndarray
    transform: np.ndarray
    crop: np.ndarray
    landmarks: np.ndarray
    subject: Subject | None = None
    mask: np.ndarray | None = None


class Moment(NamedTuple):
    """One frame of the result: landmarks (68, 2) in crop pixels, VG-net's frame (size, size, 3) uint8, and how that
    came of the face's picture; change None: the picture stays as it is, for it shows no face.

    motion (6,): of the head about the picture's pose (`utils.face.pose.motion_of`); None, it stands still. The frame is
    that of the still head, the landmarks those of the moved one. picture: the whole picture, where that is drawn
    already, and the frame with it.
    """

    landmarks: np.ndarray
    frame: np.ndarray
    change: Change | None
    face: Face
    motion: np.ndarray | None = None
    picture: np.ndarray | None = None


Draw = Callable[[Moment], np.ndarray]
Made = TypeVar("Made")


class Views(Protocol):
    """What is asked for, by the demo's flags of these names"""

    folder: Path
    name: str
    size: int | None
    crop: bool
    panel: bool
    paste_back: bool


def planned_files(wish: Views) -> dict[str, Path]:
    """The videos that are asked for, by what they show: the face alone, the whole picture, a panel"""
    endings = {"whole": ""}
    if wish.paste_back:
        endings = {"alone": "", "whole": "_full"}
    elif wish.crop or wish.size:
        endings = {"alone": ""}
    if wish.panel:
        endings["panel"] = "_panel"
    return {what: wish.folder / f"{wish.name}{ending}.mp4" for what, ending in endings.items()}


def choose_views(wish: Views, first: Face) -> dict[Path, Draw]:
    """The videos to write, each with the function that draws its frames. first: of the faces to come"""
    draw = {
        "alone": lambda: enlarged_face(wish.size) if wish.size else network_face(),
        "whole": lambda: whole_picture(first.photo),
        "panel": whole_panel,
    }
    return {path: draw[what]() for what, path in planned_files(wish).items()}


def whole_picture(first: np.ndarray) -> Draw:
    """Draws the picture, at its own resolution where a video can have it. first: of the pictures to come."""
    fitted, _ = fit_for_video(first, np.eye(2, 3))
    if fitted is not first:
        note(f"the picture is scaled to {fitted.shape[1]} x {fitted.shape[0]} for H.264")

    def compose(face: Face) -> Composer:
        photo, transform = fit_for_video(face.photo, face.transform)
        return Composer(photo, transform, face.landmarks, len(face.crop), face.mask)

    drawn = _drawing(compose)

    def draw(moment: Moment) -> np.ndarray:
        if moment.picture is not None:
            return moment.picture
        return fit_for_video(moment.face.photo, np.eye(2, 3))[0] if moment.change is None else drawn(moment)

    return draw


def enlarged_face(size: int) -> Draw:
    """Draws the crop out of the picture's own pixels, at `size` pixels a side."""
    drawn = _drawing(
        lambda face: Composer.of_crop(
            face.photo, face.transform, face.landmarks, len(face.crop), size, face.mask
        )
    )

    def draw(moment: Moment) -> np.ndarray:
        if moment.picture is None:
            return drawn(moment)
        to_view = chain(moment.face.transform, scaling(size / len(moment.face.crop)))
        return crop_face(moment.picture, to_view, size)

    return draw


def network_face() -> Draw:
    """Draws VG-net's own frame."""
    turners = Kept(lambda face: HeadTurner(face.landmarks, face.crop.shape[:2]))

    def draw(moment: Moment) -> np.ndarray:
        if moment.motion is None or moment.picture is not None:
            return moment.frame
        return turners.of(moment.face)(moment.frame, moment.motion)

    return draw


def _drawing(composer: Callable[[Face], Composer]) -> Draw:
    """Draws moments by the composer of their face, and turns the head where it moves"""
    composers = Kept(composer)
    turners = Kept(lambda face: HeadTurner(composers.of(face).landmarks, composers.of(face).canvas.shape[:2]))

    def draw(moment: Moment) -> np.ndarray:
        picture = composers.of(moment.face)(moment.change or Change.none(len(moment.face.crop)))
        return picture if moment.motion is None else turners.of(moment.face)(picture, moment.motion)

    return draw


class Kept(Generic[Made]):
    """What is made of a face, made anew where the face is another one"""

    def __init__(self, make: Callable[[Face], Made]) -> None:
        self.make, self.face = make, None

    def of(self, face: Face) -> Made:
        if face is not self.face:
            self.face, self.made = face, self.make(face)
        return self.made


def whole_panel() -> Draw:
    result = enlarged_face(TILE)
    return lambda moment: draw_panel(moment, result(moment))


def draw_panel(moment: Moment, result: np.ndarray) -> np.ndarray:
    """Landmarks | attention | motion | result; of a moment without a face the result alone"""
    change = moment.change or Change.none(len(moment.frame))
    points = to_crop_size(moment.landmarks, 128 * TILE // len(moment.frame))
    attention, motion = change.pictures()
    captions = ["landmarks", "attention", "motion", "result"]
    drawn = np.zeros((TILE, TILE, 3), np.uint8) if np.isnan(points).any() else draw_landmarks(TILE, points)
    tiles = [drawn, enlarge(attention, TILE), enlarge(motion, TILE), result]
    return grid(tiles, captions=captions)
