"""Pages of pictures with their names, and files of them that stay under a stated size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reports.curves import COLOURS, GRID, INK, PAPER
from utils.errors import UserError
from utils.files import replacing

GAP, LINE, LETTERS = 4, 21, 16  # pixels: between pictures, from line to line of a text, size of its letters
DITHER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 15 / 32
SPREAD = 10  # levels over which a GIF's few colours are mixed
WAVE = (176, 196, 214)


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    heads: Sequence[str] = (),
    labels: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> np.ndarray:
    """rows of pictures (H, W, 3) uint8, of one size -> a page (H, W, 3) on white

    heads: above each column; labels: left of each row; notes: below each column. Texts may have several lines.
    """
    height, width = rows[0][0].shape[:2]
    left, top = _room(labels), _lines(heads) * LINE + GAP
    bottom = top + len(rows) * (height + GAP)
    size = left + len(rows[0]) * (width + GAP) - GAP, bottom + _lines(notes) * LINE
    page = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(LETTERS)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            page.paste(Image.fromarray(tile), (left + j * (width + GAP), top + i * (height + GAP)))
    write = partial(pen.multiline_text, fill=INK, font=font, align="center", spacing=LINE - LETTERS)
    for texts, y, anchor in ((heads, top - GAP, "md"), (notes, bottom, "ma")):
        for j, text in enumerate(texts):
            write((left + j * (width + GAP) + width / 2, y), text, anchor=anchor)
    for i, text in enumerate(labels):
        write((left / 2, top + i * (height + GAP) + height / 2), text, anchor="mm")
    return np.asarray(page)


def words(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """An empty tile of this shape with a word in it, (H, W, 3) uint8"""
    tile = Image.new("RGB", (shape[1], shape[0]), GRID)
    font = ImageFont.load_default(LETTERS)
    place = (shape[1] / 2, shape[0] / 2)
    ImageDraw.Draw(tile).multiline_text(place, text, INK, font, anchor="mm", align="center")
    return np.asarray(tile)


def sound_strip(
    audio: np.ndarray, opening: np.ndarray, size: tuple[int, int], widest: float, loudest: float
) -> np.ndarray:
    """audio (N,), mouth opening (T,) of the same time -> (height, width, 3): the waveform, and the opening over it

    size: (width, height); widest, loudest: what fills the height.
    """
    width, height = size
    page = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(page)
    for x, part in enumerate(np.array_split(audio, width)):
        low, high = (height / 2 * (1 - value / loudest) for value in (part.max(), part.min()))
        pen.line([(x, low), (x, high)], fill=WAVE)
    x = (np.arange(len(opening)) + 0.5) / len(opening) * width
    y = (height - 4) * (1 - opening / widest) + 2
    pen.line([*zip(x.tolist(), y.tolist(), strict=True)], fill=COLOURS[1], width=3, joint="curve")
    pen.rectangle([0, 0, width - 1, height - 1], outline=GRID)
    return np.asarray(page)


def write_jpeg(path: Path, page: np.ndarray, limit: int) -> None:
    """Writes the page as a JPEG of at most `limit` bytes, as good as that allows. Raises UserError where none fits."""
    image = Image.fromarray(page)
    qualities = range(92, 48, -6)
    _write_within(path, limit, (partial(image.save, quality=q, optimize=True) for q in qualities))


def write_gif(path: Path, frames: Sequence[np.ndarray], fps: float, limit: int) -> tuple[int, int]:
    """Writes frames (H, W, 3) as an endless GIF of at most `limit` bytes -> its (width, height)

    First small changes between frames are dropped, then the frames shrink. Raises UserError where none fits.
    """
    for scale in (1, 0.9, 0.8, 0.7, 0.6, 0.5):
        size = tuple(round(side * scale) for side in frames[0].shape[1::-1])
        scaled = [
            np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames
        ]
        attempts = (partial(_save_gif, frames=scaled, fps=fps, tolerance=t) for t in (4, 8, 12))
        try:
            _write_within(path, limit, attempts)
            return size
        except UserError as error:
            too_large = error
    raise too_large


def _save_gif(path: Path, frames: Sequence[np.ndarray], fps: float, tolerance: int) -> None:
    """One palette for all frames, and ordered dithering, so that what keeps still does not flicker"""
    frames = list(settled(frames, tolerance))
    chosen = frames[:: max(1, len(frames) // 4)]
    everything = Image.fromarray(np.concatenate(chosen))
    palette = everything.quantize(255, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    height, width = frames[0].shape[:2]
    pattern = SPREAD * np.tile(DITHER, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    pictures = [
        Image.fromarray(np.clip(frame + pattern, 0, 255).round().astype(np.uint8)).quantize(
            palette=palette, dither=Image.Dither.NONE
        )
        for frame in frames
    ]
    pictures[0].save(
        path, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
    )


def settled(frames: Iterable[np.ndarray], tolerance: int) -> Iterable[np.ndarray]:
    """Frames (H, W, 3) in which a pixel keeps its colour until it has changed by more than `tolerance` levels"""
    shown = None
    for frame in frames:
        if shown is None:
            shown = frame
        changed = np.abs(frame.astype(int) - shown).max(-1, keepdims=True) > tolerance
        shown = np.where(changed, frame, shown)
        yield shown


def _write_within(path: Path, limit: int, attempts: Iterable[Callable[[Path], object]]) -> None:
    """The first attempt at writing the file that has at most `limit` bytes. Raises UserError where none has."""
    with replacing(path) as part:
        for attempt in attempts:
            attempt(part)
            if part.stat().st_size <= limit:
                return
        size = part.stat().st_size
        raise UserError(f"{path}: {size} bytes at the least, more than {limit}; show less in it")


def _lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts), default=0)


def _room(labels: Sequence[str]) -> int:
    """Pixels that the longest line of the labels needs"""
    font = ImageFont.load_default(LETTERS)
    lines = [line for text in labels for line in text.split("\n")]
    return round(max(map(font.getlength, lines)) + 20) if lines else 0
