"""Photos in, pictures out: reading any image file, drawing landmarks, tiling, and writing PNG or JPEG."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from utils.errors import UserError, reason
from utils.files import replacing

# Landmarks joined to lines: jaw, brows, bridge, nostrils, then the closed outlines of eyes and lips.
LINES = [
    *(list(range(a, b)) for a, b in [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36)]),
    *([*range(a, b), a] for a, b in [(36, 42), (42, 48), (48, 60), (60, 68)]),
]
SUPERSAMPLING = 4
CAPTION = 18  # pixels of height
INK = (90, 220, 160)
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError)  # what Pillow's decoders raise for damaged files


def read_photo(path: Path) -> np.ndarray:
    """Any image that Pillow or OpenCV reads -> (H, W, 3) RGB uint8

    Turned as its EXIF orientation says; transparency laid over white; grey, palette, CMYK and 16-bit files converted.
    Raises UserError for a file that is missing, damaged or no image.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a photo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return _read_with_opencv(path)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: too many pixels; scale the photo down") from error
    except READ_ERRORS as error:
        raise UserError(f"{path}: a damaged image ({reason(error)}); save it again") from error


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes image (H, W, 3) or (H, W), uint8, whole or not at all; the suffix names the format."""
    with replacing(Path(path)) as part:
        Image.fromarray(np.ascontiguousarray(image)).save(part)


def to_uint8(images: Tensor, low: float = -1.0) -> np.ndarray:
    """Network images (..., C, H, W), from `low` to 1, C = 1 or 3 -> (..., H, W, 3) RGB uint8"""
    scaled = (images.detach().float() - low) * (255 / (1 - low))
    pictures = scaled.round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)
    return pictures.expand(*pictures.shape[:-1], 3).contiguous().cpu().numpy()


def to_network(image: np.ndarray) -> Tensor:
    """(..., H, W, 3) RGB uint8 -> (..., 3, H, W) float in [-1, 1]"""
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, -3).float() / 127.5 - 1


def draw_landmarks(
    canvas: int | np.ndarray, landmarks: np.ndarray, colour: tuple[int, int, int] = INK, width: float = 1.5
) -> np.ndarray:
    """Draws landmarks (68, 2), in pixels of the canvas, as a face of smooth lines -> (H, W, 3) uint8

    canvas: a picture (H, W, 3), which is copied, or the side of a black square.
    """
    if isinstance(canvas, int):
        canvas = np.zeros((canvas, canvas, 3), np.uint8)
    height, side = canvas.shape[:2]
    ink = Image.new("L", (side * SUPERSAMPLING, height * SUPERSAMPLING))
    pen = ImageDraw.Draw(ink)
    points = (np.asarray(landmarks, np.float64) + 0.5) * SUPERSAMPLING - 0.5
    for line in LINES:
        pen.line(
            [tuple(points[i]) for i in line], fill=255, width=round(width * SUPERSAMPLING), joint="curve"
        )
    cover = np.asarray(ink.reduce(SUPERSAMPLING), np.float32)[..., None] / 255
    return (canvas + cover * (np.array(colour, np.float32) - canvas) + 0.5).astype(np.uint8)


def grid(
    tiles: Sequence[np.ndarray],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    gap: int = 2,
) -> np.ndarray:
    """Tiles (H, W, 3) or (H, W), uint8, of one size -> one picture, row by row, on black

    columns: all in one row where absent; captions: one for each tile, written above it.
    """
    columns = columns or len(tiles)
    captioned = [
        _caption(tile, text) for tile, text in zip(tiles, captions or [None] * len(tiles), strict=True)
    ]
    height, width = captioned[0].shape[:2]
    rows = -(-len(captioned) // columns)
    picture = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for index, tile in enumerate(captioned):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def cut_tile(picture: np.ndarray, number: int, gap: int = 2) -> np.ndarray:
    """The tile (H, H, 3) of that number out of one row of captioned square tiles, as `grid` makes it"""
    side = len(picture) - CAPTION
    return picture[CAPTION:, number * (side + gap) : number * (side + gap) + side]


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """A square picture (H, H, 3) uint8 -> (side, side, 3), by bicubic interpolation"""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _caption(tile: np.ndarray, text: str | None) -> np.ndarray:
    tile = tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=-1)
    if text is None:
        return tile
    return np.concatenate([_strip(tile.shape[1], text), tile])


@lru_cache(maxsize=64)
def _strip(width: int, text: str) -> np.ndarray:
    strip = Image.new("RGB", (width, CAPTION))
    ImageDraw.Draw(strip).text(
        (width / 2, CAPTION / 2), text, (220, 220, 220), ImageFont.load_default(12), "mm"
    )
    return np.asarray(strip)


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


def _read_with_opencv(path: Path) -> np.ndarray:
    import cv2

    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path}: not an image that Pillow or OpenCV reads; give a JPEG or PNG photo")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
