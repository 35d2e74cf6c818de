"""What kind of file somebody gave: a picture or a video."""

from __future__ import annotations

from pathlib import Path

from utils.errors import UserError
from utils.media.read import open_media

# FFmpeg's readers of text, which show it as a film, and of pictures, which are films of one frame to it
NO_FILMS = ("tty", "image2", "ansi", "bin", "xbin", "adf", "idf")


def is_video(path: Path) -> bool:
    """Whether FFmpeg finds moving pictures in a file in which Pillow and OpenCV find no picture"""
    return not is_picture(path) and _has_video(path)


def is_picture(path: Path) -> bool:
    """By its first bytes: a damaged picture is one, and a moving GIF too, of which the first picture counts"""
    import cv2
    from PIL import Image

    if not Path(path).is_file():
        return False
    try:
        with Image.open(path):
            return True
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return isinstance(error, Image.DecompressionBombError) or cv2.haveImageReader(str(path))


def _has_video(path: Path) -> bool:
    try:
        with open_media(path, "video") as container:
            name = container.format.name
            return name not in NO_FILMS and not name.endswith("_pipe")
    except UserError:
        return False
