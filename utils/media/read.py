"""Reads video and sound from any file that FFmpeg knows, through PyAV: no temporary files, one streaming pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from utils.audio import FPS, SAMPLE_RATE
from utils.errors import UserError

AUDIO_SUFFIXES = set(
    ".wav .wave .rf64 .w64 .caf .aif .aiff .aifc .au .snd .voc .svx .sph .nist .flac .wv .ape .tta .ogg .oga "
    ".opus .spx .mp3 .mp2 .m4a .m4b .aac .ac3 .amr .wma .mka .mp4 .m4v .mkv .webm .mov .avi .3gp .flv .mpg "
    ".mpeg .ts".split()
)
# FFmpeg's readers that open other files or the network, or never end; text, which it shows as a film, is none either
NO_MEDIA = set(
    "hls dash concat imf sdp rtsp rtp sap webm_dash_manifest hds smoothstreaming lavfi ffmetadata whip".split()
)
MOST_PLANES = 7  # channels that PyAV reads as planes: with one more it reads beyond their end
LARGEST_FRAME = 8192 * 4608  # pixels
HIGHEST_RATE = 768_000  # Hz
Item = TypeVar("Item")
LONGEST_PAUSE = 5.0  # seconds between two frames of a video beyond which its timestamps are taken to be wrong


def video_start(path: Path) -> float:
    """When the first frame is shown, in seconds on the file's own clock. Raises UserError as `read_video` does."""
    with open_media(path, "video") as container:
        stream = container.streams.video[0]
        return float((stream.start_time or 0) * stream.time_base)


def video_length(path: Path) -> float:
    """About how many seconds of pictures the file says it holds, 0 where it does not say. Raises UserError."""
    with open_media(path, "video") as container:
        stream = container.streams.video[0]
        return (
            float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        )


def sound_length(path: Path) -> float:
    """About how many seconds of sound the file says it holds, 0 where it does not say. Raises UserError."""
    with open_media(path, "audio") as container:
        return (container.duration or 0) / 1e6


def read_video(path: Path, fps: int = FPS) -> Iterator[np.ndarray]:
    """Frames (H, W, 3), uint8 RGB, upright, at `fps` by the file's timestamps (each output takes the nearest frame).

    Raises UserError, naming the frame, where one is damaged, and where the file has no video at all.
    """
    container = open_media(path, "video")
    return nearest_frames(_timed_frames(path, container), fps)


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE, start: float | None = None) -> np.ndarray:
    """The whole sound as (N,), float32 mono in [-1, 1].

    start: where on the file's clock, in seconds, sample 0 shall lie (silence is added, or sound cut); None: at the
    first sample. Raises UserError as `stream_audio` does.
    """
    return np.concatenate(list(stream_audio(path, sample_rate, start=start)))


def stream_audio(
    path: Path, sample_rate: int = SAMPLE_RATE, block: int = SAMPLE_RATE, start: float | None = None
) -> Iterator[np.ndarray]:
    """The sound in pieces of `block` samples, the last one shorter, float32 mono; memory does not grow with length.

    Raises UserError at once where the file is missing, unreadable or has no sound stream, and later where that stream
    turns out to hold no samples.
    """
    container = open_media(path, "audio")
    return _blocks(path, _mono_pieces(path, container, sample_rate, start), block)


def resample(audio: np.ndarray, before: int, after: int) -> np.ndarray:
    """audio (N,) float at `before` Hz -> (M,) float32 at `after` Hz, by the filters that reading a file would use"""
    from av import AudioFrame, AudioResampler

    frame = AudioFrame.from_ndarray(
        np.ascontiguousarray(audio[None], np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate = before
    resampler = AudioResampler(format="fltp", rate=after)
    pieces = [piece.to_ndarray()[0] for part in (frame, None) for piece in resampler.resample(part)]
    return np.concatenate([np.zeros(0, np.float32), *pieces])


def open_media(path: Path, kind: str | None = None):
    """An open PyAV container. kind: "video" or "audio" where the file must have such a stream."""
    import av

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:  # a name with a colon would be taken for a protocol
        container = av.open(f"file:{path}", metadata_errors="ignore", options=_only_files())
    except media_errors() as error:
        raise UserError(f"{path}: neither video nor sound that FFmpeg can read ({_reason(error)})") from error
    wrong = _unusable(container, kind) if kind else None
    if wrong:
        container.close()
        raise UserError(f"{path}: {wrong}")
    return container


def media_errors() -> tuple[type[Exception], ...]:
    """What PyAV raises for files that are not as they should be"""
    import av

    return av.error.FFmpegError, OSError, ValueError, IndexError, EOFError, MemoryError


@cache
def _only_files() -> dict[str, str]:
    """Options by which FFmpeg opens the file itself, and none that it names"""
    import av

    known = sorted(set(av.format.formats_available) - NO_MEDIA)
    return {"protocol_whitelist": "file", "format_whitelist": ",".join(known)}


def _unusable(container, kind: str) -> str | None:
    """What is wrong with the first stream of a kind, if something is"""
    streams = getattr(container.streams, kind)
    if not streams:
        return f"has no {'sound' if kind == 'audio' else 'video'}"
    context = streams[0].codec_context
    if context is None:  # decoding would crash the process
        return f"its {kind} has a format that FFmpeg cannot decode; convert the file first"
    if kind == "video" and context.width * context.height > LARGEST_FRAME:
        return f"its frames of {context.width} x {context.height} are too large; scale the video down"
    if kind == "audio" and not 0 < (context.sample_rate or 1) <= HIGHEST_RATE:
        return f"its sound claims {context.sample_rate} samples a second; convert it to 48,000"
    return None


def _timed_frames(path: Path, container) -> Iterator[tuple[float, float, np.ndarray]]:
    """(time, duration, picture) of each frame, times in seconds from the first frame."""
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    duration = float(1 / (stream.average_rate or Fraction(FPS)))
    origin, time, number, promised = None, -duration, 0, stream.frames
    with container:
        for frame in _decode(path, container, stream):
            if frame.is_corrupt:
                raise UserError(f"{path}: frame {number} is damaged; replace the file or leave it out")
            moment = frame.pts * float(frame.time_base) if frame.pts is not None else None
            origin = moment if origin is None else origin
            before, time = (
                time,
                moment - origin if moment is not None and origin is not None else time + duration,
            )
            if not -LONGEST_PAUSE < time - before < LONGEST_PAUSE:
                raise UserError(f"{path}: the timestamps jump by {time - before:.1f} s at frame {number}")
            yield time, duration, upright(frame)
            number += 1
    if number == 0:
        raise UserError(f"{path}: no frame of its video can be read")
    if number < 0.9 * promised:  # some formats, MPEG among them, promise nothing: 0
        raise UserError(f"{path}: the video breaks off after {number} of {promised} frames; replace the file")


def _decode(path: Path, container, stream) -> Iterator:
    """The frames of a stream; for sound, damaged packets are left out, as players do."""
    packets = container.demux(stream)  # after an error of its own it has no more
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except media_errors() as error:
            if stream.type == "video":
                raise UserError(f"{path}: its video is damaged ({_reason(error)})") from error


def upright(frame) -> np.ndarray:
    """The picture as it is meant to be seen: telephones store theirs turned, with a note by how much."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def nearest_frames(frames: Iterable[tuple[float, float, Item]], fps: int | Fraction) -> Iterator[Item]:
    """frames: time and duration in seconds, and what is shown -> number k is what is shown nearest to k / fps"""
    count, last = 0, None
    for time, duration, picture in frames:
        while last is not None and count / fps < (last[0] + time) / 2:
            yield last[2]
            count += 1
        last = time, duration, picture
    while last is not None and (count == 0 or count / fps < last[0] + last[1] / 2):
        yield last[2]
        count += 1


def _mono_pieces(path: Path, container, sample_rate: int, start: float | None) -> Iterator[np.ndarray]:
    """Pieces (n,) of any length at `sample_rate`, the mean of the channels, from `start` on."""
    from av import AudioResampler

    planes = container.streams.audio[0].codec_context.channels <= MOST_PLANES
    resampler = AudioResampler(format="fltp" if planes else "flt", rate=sample_rate)
    stream, cut, count, got = container.streams.audio[0], None, 0, 0
    with container:
        for frame in _decode(path, container, stream):
            count += frame.samples
            if cut is None:
                begin = float(frame.pts * frame.time_base) if frame.pts is not None else 0.0
                cut = 0 if start is None else round((start - begin) * sample_rate)
                if cut < 0:
                    yield np.zeros(-cut, np.float32)
            for piece in _resample(path, resampler, frame):
                got += len(piece)
                yield piece[max(cut, 0) :]
                cut -= min(max(cut, 0), len(piece))
        if cut is not None:
            for piece in _resample(path, resampler, None):
                got += len(piece)
                yield piece[max(cut, 0) :]
    if count and not got:
        raise UserError(f"{path}: its sound is too short, {count} samples; give at least a video frame's")


def _resample(path: Path, resampler, frame) -> list[np.ndarray]:
    try:
        pieces = [_mean_of_channels(piece) for piece in resampler.resample(frame)]
        return [np.nan_to_num(piece, nan=0.0, posinf=1.0, neginf=-1.0) for piece in pieces]
    except media_errors() as error:
        raise UserError(f"{path}: its sound changes format midway; convert it to WAV first") from error


def _mean_of_channels(piece) -> np.ndarray:
    """A frame of float samples, in planes (C, n) or one after the other (1, C n) -> (n,)"""
    if not piece.format.is_planar:
        return piece.to_ndarray().reshape(-1, piece.layout.nb_channels).mean(axis=1, dtype=np.float32)
    if piece.layout.nb_channels > MOST_PLANES:
        raise ValueError(f"{piece.layout.nb_channels} channels all of a sudden")
    return piece.to_ndarray().mean(axis=0, dtype=np.float32)


def _blocks(path: Path, pieces: Iterable[np.ndarray], block: int) -> Iterator[np.ndarray]:
    """The same samples in pieces of equal length."""
    buffer, empty = np.zeros(0, np.float32), True
    for piece in pieces:
        buffer = np.concatenate([buffer, piece])
        while len(buffer) >= block:
            yield np.clip(buffer[:block], -1, 1)
            buffer, empty = buffer[block:], False
    if len(buffer):
        yield np.clip(buffer, -1, 1)
    elif empty:
        raise UserError(f"{path}: its sound is empty")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
