"""Photos in, pictures out: reading any image file, drawing landmarks, tiling, and writing PNG, JPEG or GIF."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from utils.errors import UserError, reason
from utils.files import replacing
from utils.media.quiet import quiet_libraries

DITHER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 1.6 - 4.7  # levels
# What Pillow's decoders raise for damaged files
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError)
MOST_PIXELS = (
    64_000_000  # of a photo: some 200 MB as it is, and a few times that while it is turned and searched
)
LONGEST_SIDE = 16  # times the other one


def read_photo(path: Path) -> np.ndarray:
    """Any image that Pillow or OpenCV reads -> (H, W, 3) RGB uint8

    Turned as its EXIF orientation says; transparency laid over white; grey, palette, CMYK and 16-bit files converted.
    Raises UserError for a file that is missing, damaged or no image.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a photo")
    try:
        with opened_picture(path) as image:
            if image.width * image.height > MOST_PIXELS:  # a JPEG can be read at half its size
                image.draft("RGB", (image.width // 2, image.height // 2))
            _check_size(path, *image.size)
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return _read_with_opencv(path)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: too many pixels; scale the photo down") from error
    except READ_ERRORS as error:
        raise UserError(f"{path}: a damaged image ({reason(error)}); save it again") from error


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture by its head, nothing decoded yet. Raises what Pillow does; what it warns of is not said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            yield image


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes image (H, W, 3) or (H, W), uint8, whole or not at all; the suffix names the format."""
    with replacing(Path(path)) as part:
        Image.fromarray(np.ascontiguousarray(image)).save(part)


def write_gif(path: Path, frames: list[np.ndarray], fps: float) -> None:
    """Frames (H, W, 3) as an endless GIF of one palette, with ordered dithering

    A pixel waits until it has changed by 8 levels, so that what is still stays still, and the file small.
    """
    shown = frames[:1]
    for frame in frames[1:]:
        changed = np.abs(frame.astype(int) - shown[-1]).max(-1, keepdims=True) > 8
        shown.append(np.where(changed, frame, shown[-1]))
    palette = Image.fromarray(np.concatenate(shown[:: max(1, len(shown) // 4)]))
    palette = palette.quantize(255, Image.Quantize.MEDIANCUT, kmeans=2)
    (height, width), images = frames[0].shape[:2], []
    pattern = np.tile(DITHER, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    for frame in shown:
        image = Image.fromarray(np.clip(frame + pattern, 0, 255).round().astype(np.uint8))
        images.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
    with replacing(path) as part:
        images[0].save(
            part, "GIF", save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0
        )


def to_uint8(images: Tensor, low: float = -1.0) -> np.ndarray:
    """Network images (..., C, H, W), from `low` to 1, C = 1 or 3 -> (..., H, W, 3) RGB uint8"""
    scaled = (images.detach().float() - low) * (255 / (1 - low))
    pictures = scaled.round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)
    return pictures.expand(*pictures.shape[:-1], 3).contiguous().cpu().numpy()


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(..., H, W, 3) RGB uint8 -> (..., 3, H, W) uint8"""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, -3)


def to_network(pictures: Tensor) -> Tensor:
    """(..., 3, H, W) RGB uint8 -> float in [-1, 1]"""
    return pictures / 127.5 - 1


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):  # 16-bit, 32-bit and floating-point grey
        return _grey_to_rgb(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _grey_to_rgb(values: np.ndarray) -> np.ndarray:
    """values (H, W), whole numbers up to 255 or 65535, or fractions up to 1 -> (H, W, 3) uint8"""
    largest = values.max(initial=0)
    full = 65535 if largest > 255 else 255
    if values.dtype.kind == "f" and largest <= 1:
        full = 1
    elif values.dtype == np.uint16:
        full = 65535
    grey = np.clip(values.astype(np.float64) * (255 / full) + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _check_size(path: Path, width: int, height: int) -> None:
    """Raises UserError for a picture that would take a machine's memory."""
    if width * height > MOST_PIXELS:
        most = f"{MOST_PIXELS // 10**6} million"
        raise UserError(f"{path}: {width} x {height} pixels are too many; scale the photo down to {most}")
    if max(width, height) > LONGEST_SIDE * max(1, min(width, height)):
        raise UserError(
            f"{path}: {width} x {height} pixels are no photo of a face; cut it out of the picture"
        )


def _read_with_opencv(path: Path) -> np.ndarray:
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))  # read with the first picture
    import cv2

    try:
        with quiet_libraries():
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, OSError, MemoryError):
        image = None
    if image is None:
        raise UserError(
            f"{path}: not an image that Pillow or OpenCV reads; give a JPEG or PNG photo, or a video"
        )
    _check_size(path, *image.shape[1::-1])
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
