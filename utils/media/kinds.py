"""What kind of file somebody gave: a picture, a video, or something that FFmpeg only takes for one."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from utils.errors import UserError
from utils.media.images import READ_ERRORS, opened_picture
from utils.media.quiet import quiet_libraries
from utils.media.read import open_media

TEXTS = {"tty", "bin", "xbin", "adf", "idf"}  # what FFmpeg would draw as on a terminal


STILLS = {"heic", "heix", "heif", "mif1", "avif"}  # photos in a film's container, as telephones take them


def is_video(path: Path) -> bool:
    """Whether FFmpeg finds moving pictures in a file in which Pillow and OpenCV find no picture"""
    if not Path(path).is_file() or is_picture(path):
        return False
    try:
        check_pictures(path)
    except UserError:
        return False
    return True


def is_picture(path: Path) -> bool:
    """By its first bytes: a damaged picture is one, and a moving GIF too, of which the first picture counts"""
    import cv2

    try:
        with opened_picture(path):
            return True
    except Image.DecompressionBombError:
        return True
    except READ_ERRORS:
        with quiet_libraries():
            return cv2.haveImageReader(str(path))


def check_pictures(source: Path) -> None:
    """Raises UserError where a file is no video: missing, unreadable, mere sound, or a still picture."""
    import av

    with open_media(source, "video") as container:
        still = container.format.name == "image2" or container.format.name.endswith("_pipe")
        still |= container.metadata.get("major_brand", "").strip() in STILLS
        cover = container.streams.video[0].disposition & av.stream.Disposition.attached_pic
        text = container.format.name in TEXTS
    if still or text:
        raise UserError(f"{source}: a {'text' if text else 'still picture'}; give a video")
    if cover:
        raise UserError(f"{source}: has no video, only sound and a cover picture")
