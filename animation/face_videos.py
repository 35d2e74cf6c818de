"""Painted and wireframe videos of landmarks that come piece by piece, and the arrays of them, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from animation.stream import rechunk
from utils.audio import FPS, SAMPLE_RATE
from utils.errors import UserError
from utils.files import replacing, replacing_together
from utils.media.painted_face import paint, wireframe
from utils.media.read import stream_audio
from utils.media.write import VideoWriter

SIDE = 512  # pixels of the videos
CHUNK = 250  # frames that are drawn at a time
VIDEOS = {"_painted.mp4": paint, "_wireframe.mp4": wireframe}  # how names end: what draws the frames


def read_landmarks(path: Path) -> np.ndarray:
    """What -s wrote, left in its file until it is used. Raises UserError."""
    try:
        landmarks = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: no landmarks can be read; make them with -s") from error
    if not isinstance(landmarks, np.ndarray) or landmarks.shape[1:] not in ((68, 2), (68, 3)):
        raise UserError(f"{path}: not an array (T, 68, 2) or (T, 68, 3); make it with -s")
    numbers = len(landmarks) and np.issubdtype(landmarks.dtype, np.floating)
    if not (numbers and all(np.isfinite(piece).all() for piece in in_pieces(landmarks))):
        raise UserError(f"{path}: its landmarks are empty or not finite numbers; make it again with -s")
    return landmarks


def in_pieces(landmarks: np.ndarray) -> Iterator[np.ndarray]:
    """landmarks (T, ...) -> (k, ...), one piece after the other"""
    return (landmarks[start : start + CHUNK] for start in range(0, len(landmarks), CHUNK))


def write_results(
    place: Path, frames: int, pieces: Iterable[np.ndarray], file: Path, save: bool = False
) -> None:
    """The videos, and with `save` the array, of landmarks (k, 68, 2 or 3) piece by piece: all of them or none.

    place: of the results, without suffix; frames: how many there are; file: whose sound goes with them
    """
    rate, guide = 2 * SAMPLE_RATE, None
    track = stream_audio(file, rate, rate // FPS)
    names = [place.with_name(f"{place.name}{ending}") for ending in VIDEOS]
    with replacing_together(place), ExitStack() as stack:
        videos = [stack.enter_context(VideoWriter(name, (SIDE, SIDE), audio=rate)) for name in names]
        array = stack.enter_context(replacing(place.with_name(f"{place.name}.npy"))) if save else None
        for landmarks in rechunk(pieces, CHUNK):
            if array:
                append_array(array, landmarks, frames)
            guide = landmarks if guide is None else guide  # where the first ten seconds lie, all do
            for pictures in zip(*(draw(landmarks, SIDE, guide) for draw in VIDEOS.values()), strict=True):
                sound = next(track, np.zeros(0, np.float32))
                for video, picture in zip(videos, pictures, strict=True):
                    video.write(picture)
                    video.write_audio(sound)


def append_array(path: Path, piece: np.ndarray, count: int) -> None:
    """Adds rows to a .npy file of float32 that will have `count` of them; begins it where there is none"""
    new = not path.exists()
    with path.open("ab") as file:
        if new:
            header = dict(descr="<f4", fortran_order=False, shape=(count, *piece.shape[1:]))
            np.lib.format.write_array_header_1_0(file, header)
        file.write(piece.astype("<f4").tobytes())
