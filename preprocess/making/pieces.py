"""A video of any length as clips of a store: pieces of some seconds, each of one shot, with a face from end to end.

The video is read twice at the same time, by one reader that looks for the face and by another, a piece behind it, that
cuts the face out: so memory holds landmarks, sound and JPEGs of one piece, and of the pictures a few at a time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from data.store_writer import ClipArrays, StoreWriter
from preprocess.making.clip import LARGEST_LOSS, Crop, RawClip, Sound, cut_out, load_landmarks
from utils.align import from_text, to_text
from utils.audio import FPS, SAMPLES_PER_FRAME
from utils.errors import UserError
from utils.face.detector import LONGEST_GAP, FaceDetector, fill_gaps, is_cut
from utils.media.read import read_video

SHORTEST = FPS  # frames of a piece of a longer video; less is left out
NUMBER = re.compile(r"_(\d{3,})$")
Made = tuple[str, ClipArrays | str]  # a clip's id, and its arrays or the reason why there are none


def video_of(id: str) -> str:
    """NAME_012 -> NAME, which may be the id of the video that it is a piece of"""
    return NUMBER.sub("", id)


def unfinished(clips: list[RawClip], writer: StoreWriter) -> list[RawClip]:
    """Those that the store lacks, or lacks pieces of; they know which of their pieces need not be made again."""
    finished, pieces = writer.finished(), defaultdict(set)
    for id in finished:
        if NUMBER.search(id):
            pieces[video_of(id)].add(id)
    left = (clip for clip in clips if clip.id not in finished)
    found = (replace(clip, done=frozenset(pieces.get(clip.id, ()))) for clip in left)
    return [clip for clip in found if not (clip.done and _all_there(clip.done, writer))]


def _all_there(pieces: frozenset[str], writer: StoreWriter) -> bool:
    """Whether these are all of a video's pieces: the last one knows how many there are."""
    last = max(pieces, key=lambda id: int(NUMBER.search(id)[1]))
    return writer.metadata(last).get("pieces") == str(len(pieces))


class Ahead:
    """A video's frames, piece by piece: of at most so many frames, and each of one shot"""

    def __init__(self, frames: Iterator[np.ndarray], most: int) -> None:
        self._frames, self.most = frames, most
        self._next = next(frames, None)
        self.position = 0  # the next frame's number

    @property
    def over(self) -> bool:
        return self._next is None

    def piece(self) -> Iterator[np.ndarray]:
        """The frames of the next piece, all of which must be taken"""
        begin, same = self.position, True
        while not self.over and same and self.position - begin < self.most:
            frame, self._next = self._next, next(self._frames, None)
            self.position += 1
            same = self.over or not _another_shot(frame, self._next)
            yield frame


def _another_shot(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether one begins with the second of two frames on end"""
    if before.shape != now.shape:
        return True
    return is_cut(before[::8, ::8].astype(np.int16), now[::8, ::8].astype(np.int16))


class Behind:
    """The same frames again, those asked for, in one go from the front"""

    def __init__(self, frames: Iterator[np.ndarray]) -> None:
        self._frames, self._position = frames, 0

    def between(self, first: int, end: int) -> Iterator[np.ndarray]:
        while self._position < end:
            frame = next(self._frames)
            self._position += 1
            if self._position > first:
                yield frame


@dataclass(frozen=True)
class Piece:
    """What is known of a piece when its last frame has been looked at; points (T, 68, 2) as `stretch` takes them"""

    id: str
    begin: int  # its first frame, of the video's
    points: np.ndarray
    total: int | None  # how many pieces the video has, if this is the last of them

    @property
    def alone(self) -> bool:
        return self.total == 1


def read_pieces(clip: RawClip, crop: Crop, detector: FaceDetector | None) -> Iterator[Made]:
    """The clips of a video, but for the pieces that are done

    A video that is one piece keeps its id, those of others end in _000, _001 ... Of each piece the longest stretch that
    shows a face is kept; its metadata hold first_frame, where that begins in the video, and the last piece's also how
    many pieces there are. The transcript of a piece are the words that are known to be said in it.

    Raises UserError where the video cannot be read on, or has no sound.
    """
    sound, behind = Sound(clip), Behind(read_video(clip.video))
    for piece in follow(clip, Ahead(read_video(clip.video), round(crop.seconds * FPS)), detector):
        try:
            audio = sound.read(len(piece.points))
            if piece.id not in clip.done:
                yield piece.id, _made(clip, piece, behind, audio, crop)
        except UserError as error:
            yield piece.id, str(error)


def follow(clip: RawClip, ahead: Ahead, detector: FaceDetector | None) -> Iterator[Piece]:
    """The face in each piece, but in those that are done, whose points are NaN.

    Raises UserError where precomputed landmarks are of another number of frames than the video has.
    """
    known, number = load_landmarks(clip.landmarks) if clip.landmarks else None, 0
    while not ahead.over:
        begin, id = ahead.position, f"{clip.id}_{number:03}"
        if known is None and id not in clip.done:
            points = detector.track(ahead.piece(), longest_gap=int(LARGEST_LOSS * ahead.most))
        else:
            unknown = np.full((sum(1 for _ in ahead.piece()), 68, 2), np.nan, np.float32)
            points = unknown if known is None else known[begin : ahead.position]
        number += 1
        if known is not None and (
            ahead.position > len(known) or (ahead.over and ahead.position < len(known))
        ):
            more = "" if ahead.over else " or more"
            raise UserError(f"{clip.landmarks}: holds {len(known)} frames, not {ahead.position}{more}")
        yield Piece(
            clip.id if ahead.over and number == 1 else id, begin, points, number if ahead.over else None
        )


def _made(clip: RawClip, piece: Piece, behind: Behind, audio: np.ndarray, crop: Crop) -> ClipArrays:
    """Raises UserError where the piece shows no face that is of use."""
    span = stretch(piece.points, SHORTEST if not piece.alone else min(SHORTEST, len(piece.points)))
    first, last = piece.begin + span.start, piece.begin + span.stop
    audio = audio[span.start * SAMPLES_PER_FRAME : span.stop * SAMPLES_PER_FRAME]
    points = fill_gaps(piece.points[span])
    return cut_out(_noted(clip, piece, first, last), behind.between(first, last), points, audio, crop)


def stretch(points: np.ndarray, least: int) -> slice:
    """points (T, 68, 2), NaN where no face is seen -> the longest stretch with no long gap in it, of `least` frames

    Raises UserError where there is none.
    """
    seen = np.flatnonzero(~np.isnan(points).any(axis=(1, 2)))
    if not len(seen):
        raise UserError(f"no face in its {len(points)} frames")
    runs = np.split(seen, np.flatnonzero(np.diff(seen) > LONGEST_GAP + 1) + 1)
    longest = max(runs, key=lambda run: run[-1] - run[0])
    span = slice(int(longest[0]), int(longest[-1]) + 1)
    if span.stop - span.start < least:
        raise UserError(
            f"{span.stop - span.start} frames with a face, of its {len(points)}; {least} would be needed"
        )
    return span


def _noted(clip: RawClip, piece: Piece, first: int, last: int) -> RawClip:
    """The clip with what is known of frames `first` to `last` - 1 of its video"""
    notes, transcript = dict(clip.metadata), clip.transcript
    if not piece.alone:
        words = from_text(notes.pop("words"), clip.source) if "words" in notes else []
        words = [word for word in words if first <= (word.start + word.end) / 2 * FPS < last]
        notes |= {"words": to_text(words)} if words else {}
        transcript = " ".join(word.word for word in words)
        notes |= {"first_frame": str(first)} | ({"pieces": str(piece.total)} if piece.total else {})
    elif last - first < len(piece.points):
        notes |= {"first_frame": str(first), "source_frames": str(len(piece.points))}
    return replace(clip, transcript=transcript, metadata=notes)
