"""The pictures of a video with another sound: packets are copied, bit for bit, where the new file can hold them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from utils.audio import FPS
from utils.errors import UserError, note, reason
from utils.files import replacing
from utils.media.read import open_media, read_video
from utils.media.write import VideoWriter

SOUNDS = {
    ".webm": "libopus",
    ".avi": "libmp3lame",
    ".mpg": "mp2",
    ".mpeg": "mp2",
}  # by a file's suffix; others: AAC
BITS = {"mp2": 64_000}  # a second, of others 96,000, all that AAC can use at 16 kHz
PICKY = (".mp4", ".m4v", ".mov")  # they hold more kinds of pictures than most of their players show
SHOWN = {"h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg"}
FASTEST = 60  # frames a second of pictures that are encoded anew
ENCODED = (".mp4", ".m4v", ".mov", ".mkv")  # what may hold these
Hear = Callable[[np.ndarray], None]


@contextmanager
def new_sound(source: Path, path: Path, rate: int, comment: str | None = None) -> Iterator[Hear]:
    """Gives what takes samples (n,), float in [-1, 1], again and again: the sound at `path` of the pictures of `source`

    The first video stream's packets stay as they are, with their timestamps (on a clock that starts at 0 where the
    source's starts later), rotation and shape of pixels; the sound begins with the first picture. Where the file cannot
    hold them, or its players would not show them, they are encoded anew in H.264, and a line says so. The file appears
    when the block ends well; after an error or Ctrl-C nothing is left. Memory does not grow with the video. comment: a
    line for the file's metadata.

    Raises UserError, at once, where no such file can be made.
    """
    obstacle = copy_obstacle(source, path)
    if obstacle:
        if path.suffix.lower() not in ENCODED:
            raise UserError(f"{path}: cannot hold the pictures of {source} ({obstacle}); use .mp4 or .mkv")
        note(f"{path}: {obstacle}; the pictures are encoded anew, in H.264")
    with (_encoded if obstacle else _copied)(source, path, rate, comment) as (pictures, write):
        yield _Interleaved(pictures, write, rate)
        for _ in pictures:
            pass


class _Interleaved:
    """Writes sound, and before it the pictures up to its end, or packets would pile up waiting for each other.

    pictures: writes one whenever it is asked for the next, and says when it is shown, in seconds after the first.
    """

    def __init__(self, pictures: Iterator[float], write: Hear, rate: int) -> None:
        self.pictures, self.write, self.rate = pictures, write, rate
        self.heard, self.shown = 0, -1.0

    def __call__(self, samples: np.ndarray) -> None:
        self.heard += len(samples)
        while self.shown < self.heard / self.rate:
            time = next(self.pictures, None)
            if time is None:
                break
            self.shown = time
        self.write(samples)


def copy_obstacle(source: Path, path: Path) -> str | None:
    """Why the packets of the pictures in `source` cannot stand in a file like `path`, if they cannot

    Raises UserError where no video can be written by that name.
    """
    with open_media(source, "video") as container, tempfile.TemporaryDirectory() as folder:
        stream = container.streams.video[0]
        codec = stream.codec_context.name
        try:
            trial = av.open(str(Path(folder) / f"trial{path.suffix}"), "w")
        except (ValueError, av.error.FFmpegError) as error:
            raise UserError(f"{path}: not a kind of video file that can be written; use .mp4") from error
        if path.suffix.lower() in PICKY and codec not in SHOWN:
            return f"few players show {codec} in a {path.suffix}"
        with trial:
            try:
                trial.add_stream_from_template(stream)
                _add_sound(trial, path, 16000)
                trial.start_encoding()
            except (ValueError, OSError) as error:  # PyAV's own errors derive from these
                return f"{codec} has no place in a {path.suffix} ({reason(error)})"
    return f"the {codec} of {source} has no timestamps to keep" if first_times(source) is None else None


def first_times(path: Path) -> list[int] | None:
    """When the first packets of a video are to be decoded that do not say so: Matroska's, before frames that look ahead

    None where others lack timestamps too, or are out of order.
    """
    unsaid, first, last, step = 0, None, None, None
    with open_media(path, "video") as container:
        for packet in container.demux(container.streams.video[0]):
            if not packet.size:
                continue
            if packet.pts is None or (packet.dts is None and last is not None):
                return None
            if packet.dts is None:
                unsaid += 1
                continue
            if last is not None and packet.dts <= last:
                return None
            first = packet.dts if first is None else first
            step = packet.dts - last if last is not None and step is None else step
            last = packet.dts
    return None if first is None else [first - (step or 1) * k for k in range(unsaid, 0, -1)]


def _add_sound(container: av.container.OutputContainer, path: Path, rate: int) -> av.audio.stream.AudioStream:
    codec = SOUNDS.get(path.suffix.lower(), "aac")
    sound = container.add_stream(codec, rate=rate, layout="mono")
    sound.bit_rate = BITS.get(codec, 96_000)
    return sound


@contextmanager
def _copied(
    source: Path, path: Path, rate: int, comment: str | None
) -> Iterator[tuple[Iterator[float], Hear]]:
    """What copies one packet after the other and says its time, and what writes sound"""
    with replacing(path) as part, open_media(source, "video") as container:
        pictures = container.streams.video[0]
        origin = max(0, container.start_time or 0) / 1e6  # of the source's clock
        start = float((pictures.start_time or 0) * pictures.time_base)
        options = {"movflags": "faststart"} if path.suffix.lower() in PICKY else {}
        with av.open(f"file:{part}", "w", options=options) as new:
            copy = new.add_stream_from_template(pictures)
            copy.time_base = pictures.time_base
            sound = _add_sound(new, path, rate)
            new.metadata.update(container.metadata)
            if comment:
                new.metadata["comment"] = comment
            copy.metadata.update(pictures.metadata)
            heard = round((start - origin) * rate)  # samples before the next

            def write(samples: np.ndarray) -> None:
                nonlocal heard
                if len(samples):
                    new.mux(sound.encode(_sound_frame(samples, rate, heard)))
                    heard += len(samples)

            yield _copy_packets(container, new, copy, first_times(source) or [], origin), write
            new.mux(sound.encode(None))


def _copy_packets(container, new, copy, early: list[int], origin: float) -> Iterator[float]:
    """Copies the packets of a video one by one -> when each is decoded, in seconds after the first picture is shown

    early: see `first_times`; origin: what of the source's clock, in seconds, is 0 in the copy
    """
    pictures, waiting = container.streams.video[0], iter(early)
    shift = round(origin / pictures.time_base)
    for packet in container.demux(pictures):
        if packet.size:
            dts = packet.dts if packet.dts is not None else next(waiting)
            yield float((dts - (pictures.start_time or 0)) * pictures.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, dts - shift, copy
            new.mux(packet)


def _sound_frame(samples: np.ndarray, rate: int, place: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples, np.float32)[None], format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, place, Fraction(1, rate)
    return frame


@contextmanager
def _encoded(
    source: Path, path: Path, rate: int, comment: str | None
) -> Iterator[tuple[Iterator[float], Hear]]:
    """What encodes one frame after the other and says its time, and what writes sound"""
    with open_media(source, "video") as container:
        fps = min(FASTEST, max(1, round(container.streams.video[0].average_rate or FPS)))
    frames = read_video(source, fps)
    first = next(frames)
    with VideoWriter(path, first.shape[1::-1], fps, audio=rate, comment=comment) as video:

        def pictures() -> Iterator[float]:
            video.write(first)
            yield 0.0
            for frame in frames:
                video.write(frame)
                yield video.frames / fps

        yield pictures(), video.write_audio
