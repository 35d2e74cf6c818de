"""Matrices as pictures: a square a number, with a name beside every row and above every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, LETTERS, HEADING, MARGIN = (
    12,
    10,
    14,
    8,
)  # pixels: a square's side, heights of letters, what is left free
INK = np.array([63, 0, 125])  # of the largest number; 0 is white


def matrices(panels: Mapping[str, np.ndarray], rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """{title: (R, C), numbers of at least 0} -> (H, W, 3) uint8: side by side, each on its own scale, which it names

    Colours grow with the root, so that small numbers show.
    """
    pictures = [_panel(title, values, rows, columns) for title, values in panels.items()]
    return np.concatenate(pictures, axis=1)


def colours(values: np.ndarray) -> np.ndarray:
    """(R, C) numbers of at least 0 -> (R, C, 3) uint8"""
    top = values.max(initial=0)
    depth = np.sqrt(values / top if top else np.zeros(values.shape))[..., None]
    return (255 + depth * (INK - 255)).round().astype(np.uint8)


def _panel(title: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    font, large = ImageFont.load_default(LETTERS), ImageFont.load_default(HEADING)
    title = f"{title} (darkest: {values.max(initial=0):.3g})"
    left, above = (
        MARGIN + max((_width(font, name) for name in names), default=0) for names in (rows, columns)
    )
    top = MARGIN + 2 * HEADING + above
    squares = colours(values).repeat(CELL, axis=0).repeat(CELL, axis=1)
    height, width = top + len(squares) + MARGIN, left + squares.shape[1] + MARGIN
    image = Image.new("RGB", (max(width, 2 * MARGIN + _width(large, title)), height), "white")
    image.paste(Image.fromarray(squares), (left, top))
    draw = ImageDraw.Draw(image)
    draw.rectangle([left - 1, top - 1, left + squares.shape[1], top + len(squares)], outline="grey")
    draw.text((MARGIN, MARGIN), title, "black", large)
    for n, name in enumerate(rows):
        draw.text((left - 3, top + CELL * n + CELL // 2), name, "black", font, anchor="rm")
    for n, name in enumerate(columns):
        upright = Image.new("L", (above, CELL))
        ImageDraw.Draw(upright).text((3, CELL // 2), name, 255, font, anchor="lm")
        upright = upright.rotate(90, expand=True)
        image.paste("black", (left + CELL * n, top - above), upright)
    return np.asarray(image)


def _width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(np.ceil(font.getlength(text)))
