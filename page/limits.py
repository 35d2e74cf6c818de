"""How much a visitor may ask for, each limit with its own sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from utils.audio import FPS, SAMPLE_RATE
from utils.errors import UserError
from utils.media.images import READ_ERRORS, opened_picture
from utils.media.kinds import check_pictures, is_picture
from utils.media.read import open_media, stream_audio, video_length

MEGA = 10**6


@dataclass(frozen=True)
class Limits:
    """longest: seconds of sound or video; megapixels: of a picture; megabytes: of a file; waiting: jobs in the queue"""

    longest: float = 60.0
    megapixels: float = 16.0
    megabytes: float = 100.0
    waiting: int = 8

    def check_photo(self, path: Path) -> None:
        """Raises UserError for a file or a picture that is too large; what is no picture is for its reader to say."""
        self.check_size(path)
        if (size := picture_size(path)) is not None:
            self.check_pixels(path, *size)

    def check_speech(self, path: Path) -> None:
        """Raises UserError for sound that is too long, or none. The sound is read, for headers may be silent or lie."""
        self.check_size(path)
        heard = 0
        for block in stream_audio(path):
            heard += len(block)
            if heard > self.longest * SAMPLE_RATE:
                raise UserError(f"{path}: longer than {self.longest:g} seconds; cut the sound")

    def check_video(self, path: Path) -> None:
        """Raises UserError for what is no video, or one that is too large or says that it is too long."""
        self.check_size(path)
        if is_picture(path):
            raise UserError(f"{path}: a picture; give a video")
        check_pictures(path)
        with open_media(path, "video") as container:
            codec = container.streams.video[0].codec_context
            self.check_pixels(path, codec.width, codec.height)
        if video_length(path) > self.longest + 1 / FPS:
            raise self.too_long(path)

    def check_size(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no longer here, for files are deleted after a while; give it again")
        if path.stat().st_size > self.megabytes * MEGA:
            raise UserError(f"{path}: larger than {self.megabytes:g} MB; make the file smaller")

    def check_pixels(self, path: Path, width: int, height: int) -> None:
        if width * height > self.megapixels * MEGA:
            size = f"{width} x {height} pixels"
            raise UserError(f"{path}: {size} are more than {self.megapixels:g} megapixels; scale it down")

    def too_long(self, path: Path) -> UserError:
        return UserError(f"{path}: longer than {self.longest:g} seconds; cut the video")

    def count(self, path: Path, frames: Iterable) -> Iterable:
        """The same frames of a video at 25 a second. Raises UserError where there are too many, whatever it said."""
        for number, frame in enumerate(frames):
            if number > self.longest * FPS + 1:
                raise self.too_long(path)
            yield frame


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) by the file's head, before a pixel is decoded; None where Pillow cannot tell, or refuses to"""
    try:
        with opened_picture(path) as image:
            return image.size
    except (*READ_ERRORS, Image.DecompressionBombError):
        return None
