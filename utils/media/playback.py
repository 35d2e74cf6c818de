"""A video's frames at its own steady rate, forwards and backwards, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise, repeat
from pathlib import Path

import numpy as np

from utils.audio import FPS
from utils.errors import UserError
from utils.media.read import LONGEST_PAUSE, media_errors, nearest_frames, open_media, upright

SLOWEST, FASTEST = Fraction(1), Fraction(60)  # frames a second that a result has
STEADY = (
    "avi",
)  # kinds of files that have one rate, and times that are out of order where frames look ahead
RATED = 100  # frames, by whose times the rate is told where the file does not say it
HELD = 128 * 2**20  # bytes of pictures that are held to play a stretch backwards


class Recording:
    """The pictures of a video file, numbered at a steady rate: number k is the frame nearest to k / rate.

    `forwards` must have run, as far as frames are wanted backwards: it notes where each of them lies. Pictures are
    (H, W, 3) uint8 RGB, upright. What follows the first damaged frame, or one of another
    size, is left out, as if the file ended there.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file has no pictures that can be read."""
        self.path = Path(path)
        with open_media(self.path, "video") as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or _rate_of(container, stream)
            shape = stream.sample_aspect_ratio
        self.rate = min(max(Fraction(rate), SLOWEST), FASTEST).limit_denominator(1001)
        self._shape = shape if shape and shape != 1 else None
        self.aspect = self._shape  # of its pixels, width over height, once they are upright
        self.sources: list[int] = []  # of each number, which frame of the file it is
        self.stamps: dict[int, int] = {}  # of frames of the file that are shown, their timestamps
        self.picture_bytes = 1

    def forwards(self, count: int | None = None) -> Iterator[np.ndarray]:
        """The first `count` pictures, or all; fewer where the file has no more"""
        self.sources, self.stamps, made = [], {}, 0
        for source, stamp, picture in self._numbered():
            if count is not None and made == count:
                return
            self.sources.append(source)
            if stamp is not None:
                self.stamps[source] = stamp
            self.picture_bytes, made = picture.nbytes, made + 1
            yield picture
        if not made:
            raise UserError(f"{self.path}: no frame of its video can be read")

    def played(self, count: int, hold: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """`count` pictures with their numbers: to the end, back to the first, and so on; hold: the last one stays"""
        last = None
        for last in enumerate(self.forwards(count)):
            yield last
        length = len(self.sources)
        more = repeat(last) if hold or length == 1 else self._back_and_forth(length)
        yield from islice(more, count - length)

    def _back_and_forth(self, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """From the last picture but one to the first, from the second to the last, and so on without end"""
        while True:
            yield from self._backwards(0, length - 1)
            yield from self._range(1, length)

    def _backwards(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        while stop > start:
            first = max(start, stop - max(1, HELD // self.picture_bytes))
            yield from reversed(list(self._range(first, stop)))
            stop = first

    def _range(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """The pictures of these numbers, in order"""
        if start >= stop:
            return
        number = start
        for source, picture in self._from(self.sources[start]):
            while number < stop and self.sources[number] == source:
                yield number, picture
                number += 1
            if number == stop:
                return
        raise UserError(f"{self.path}: frame {number} cannot be found again; convert the video first")

    def _from(self, source: int) -> Iterator[tuple[int, np.ndarray]]:
        """Frames of the file with their place in it, from number `source` or earlier on"""
        places = {stamp: number for number, stamp in self.stamps.items()}
        stamp = self.stamps.get(source)
        if stamp is not None and len(places) == len(self.stamps):
            with open_media(self.path, "video") as container:
                stream = container.streams.video[0]
                container.seek(stamp, stream=stream, backward=True, any_frame=False)
                found = False
                for frame in _decoded(container, stream):
                    number = places.get(frame.pts)
                    if not found and (frame.pts is None or frame.pts > stamp):
                        break  # the container's index leads elsewhere
                    found = found or number == source
                    if found and number is not None:
                        yield number, upright(frame)
                if found:
                    return
        with open_media(self.path, "video") as container:
            for number, frame in enumerate(_decoded(container, container.streams.video[0])):
                if number >= source:
                    yield number, upright(frame)

    def _numbered(self) -> Iterator[tuple[int, int | None, np.ndarray]]:
        """(place in the file, timestamp, picture) of one number after the other"""
        step = float(1 / self.rate)
        with open_media(self.path, "video") as container:
            frames = _timed(container, container.streams.video[0], step)
            yield from nearest_frames(self._shown(frames, step), self.rate)

    def _shown(self, frames: Iterator, step: float) -> Iterator[tuple[float, float, tuple]]:
        """What `nearest_frames` takes, to the end or to the first picture of another size"""
        size = None
        for number, time, frame in frames:
            picture = upright(frame)
            size = size or picture.shape
            if picture.shape != size:
                return
            turned = picture.shape[0] == frame.width != frame.height
            self.aspect = 1 / self._shape if turned and self._shape else self._shape
            yield time, step, (number, frame.pts, picture)


def _timed(container, stream, step: float) -> Iterator[tuple[int, float, object]]:
    """Frames with their place in the file and their seconds from the first; a jump of time counts as one step"""
    origin, before, shift, timed = None, -step, 0.0, container.format.name not in STEADY
    for number, frame in enumerate(_decoded(container, stream)):
        time = float(frame.pts * frame.time_base) if frame.pts is not None and timed else None
        origin = time if origin is None else origin
        now = before + step if time is None else time - origin + shift
        if not -step <= now - before < LONGEST_PAUSE:
            shift += before + step - now
            now = before + step
        before = max(now, before)
        yield number, before, frame


def _rate_of(container, stream) -> Fraction:
    """Frames a second by the first frames' times, which may jitter"""
    times = [
        frame.pts * frame.time_base
        for frame in islice(_decoded(container, stream), RATED)
        if frame.pts is not None
    ]
    steps = sorted(after - before for before, after in pairwise(sorted(times)) if after > before)
    return 1 / steps[len(steps) // 2] if steps else Fraction(FPS)


def _decoded(container, stream) -> Iterator:
    """The frames of a stream, to its end or to the first that is damaged"""
    stream.codec_context.thread_count = 1
    try:
        for packet in container.demux(stream):
            for frame in packet.decode():
                if frame.is_corrupt:
                    return
                yield frame
    except media_errors():
        return
