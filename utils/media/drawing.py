"""Landmarks drawn as faces, and tiles of pictures with captions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Landmarks joined to lines: jaw, brows, bridge, nostrils, then the closed outlines of eyes and lips.
LINES = [
    *(list(range(a, b)) for a, b in [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36)]),
    *([*range(a, b), a] for a, b in [(36, 42), (42, 48), (48, 60), (60, 68)]),
]
SUPERSAMPLING = 4
CAPTION = 18  # pixels of height
INK = (90, 220, 160)


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
