"""Videos written as their frames arrive: H.264 and AAC through PyAV, in constant memory; sound alone as WAV."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from utils.errors import UserError
from utils.files import replacing

LARGE = 200_000  # pixels; above, the encoder trades a little compression for speed and memory


class VideoWriter:
    """`with VideoWriter(path, (width, height), audio=48000) as video:`, then `write` and `write_audio` in turn.

    The file appears, or replaces the one of that name, when the block ends well; after an error or Ctrl-C nothing is
    left. An odd width or height gains one repeated column or row, because yuv420p halves the colour planes.

    size: (width, height) of the frames; audio: the sampling rate of the sound, None for a silent video; crf: 0 (exact)
    to 51, 18 shows no loss; comment: a line for the file's metadata; aspect: width over height of
    pixels that are not square. Sound and frames should be written
    alternately: packets wait in memory for each other.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: int | Fraction = 25,
        audio: int | None = None,
        channels: int = 1,
        crf: int = 18,
        comment: str | None = None,
        aspect: Fraction | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = tuple(size)
        self.fps, self.audio, self.channels, self.crf = fps, audio, channels, crf
        self.comment, self.aspect = comment, aspect
        self.frames = 0
        self.samples = 0

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            part = stack.enter_context(replacing(self.path))
            self.container = self._open(part)
            stack.callback(self.container.close)
            if self.comment:
                self.container.metadata["comment"] = self.comment
            self.video_stream = self._add_video()
            self.audio_stream = self._add_audio() if self.audio else None
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.stack.__exit__(*error)
            return
        with self.stack:
            self._flush()

    def write(self, frame: np.ndarray) -> None:
        """frame (H, W, 3), RGB, uint8"""
        width, height = self.size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"a frame of {frame.shape} {frame.dtype} for a video of {height} x {width} x 3 uint8"
            )
        frame = np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = self.frames, 1 / Fraction(self.fps)
        self.frames += 1
        self.container.mux(self.video_stream.encode(picture))

    def write_audio(self, samples: np.ndarray) -> None:
        """samples (n,), or (n, channels), float in [-1, 1] at the sampling rate `audio`; louder is clipped"""
        if not len(samples):
            return
        samples = np.asarray(samples, np.float32).reshape(len(samples), -1)
        if samples.shape[1] != self.channels:
            raise ValueError(f"{samples.shape[1]} channels of sound for a video of {self.channels}")
        planes = np.ascontiguousarray(np.clip(samples, -1, 1).T)
        sound = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout())
        sound.sample_rate, sound.pts, sound.time_base = self.audio, self.samples, Fraction(1, self.audio)
        self.samples += len(samples)
        self.container.mux(self.audio_stream.encode(sound))

    def _open(self, part: Path) -> av.container.OutputContainer:
        try:
            return av.open(f"file:{part}", "w", options={"movflags": "faststart"})
        except (ValueError, av.error.FFmpegError) as error:
            raise UserError(f"{self.path}: not a kind of video file that can be written; use .mp4") from error

    def _add_video(self) -> av.video.stream.VideoStream:
        width, height = (side + side % 2 for side in self.size)
        large = width * height > LARGE
        options = {"crf": str(self.crf), "preset": "veryfast" if large else "medium"}
        # PyAV converts RGB by BT.601: the bitstream says so, or players would guess BT.709 for large frames.
        colours = "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m:range=tv"
        options["x264-params"] = colours + (":rc-lookahead=10" if large else "")
        stream = self.container.add_stream("libx264", rate=self.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if self.aspect:
            stream.codec_context.sample_aspect_ratio = self.aspect
        return stream

    def _add_audio(self) -> av.audio.stream.AudioStream:
        stream = self.container.add_stream("aac", rate=self.audio, layout=self._layout())
        stream.bit_rate = 96_000 * self.channels
        return stream

    def _layout(self) -> str:
        return {1: "mono", 2: "stereo"}[self.channels]

    def _flush(self) -> None:
        self.container.mux(self.video_stream.encode(None))
        if self.audio_stream:
            self.container.mux(self.audio_stream.encode(None))


@contextmanager
def wav_writer(path: Path, rate: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives what appends samples (n,), float in [-1, 1], to a mono file of 16 bits, whole when the block ends well."""
    with replacing(path) as part, wave.open(str(part), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        yield lambda samples: file.writeframes(
            (np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes()
        )
