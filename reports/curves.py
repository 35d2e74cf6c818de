"""Line charts as pictures: axes, grid, labels, legend; several side by side as panels of one figure.

>>> picture = draw_figure([Panel("unseen noise", {"base": (snr, error)}, "SNR (dB)", "error (pixels)")])
>>> write_image(Path("curves.png"), picture)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = tuple[Sequence[float], Sequence[float]]

# Told apart by people with any kind of colour vision, on white (Okabe and Ito 2008), and by their markers in grey.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (120, 120, 120))
MARKERS = ("disc", "square", "triangle", "diamond")
PAPER, INK, FRAME, GRID = (255, 255, 255), (40, 40, 40), (120, 120, 120), (228, 228, 228)
SHIFT = 4  # fractional bits of OpenCV's coordinates
LEFT, RIGHT, TOP, BOTTOM = 64, 18, 40, 56  # pixels around the axes, before `scale`


@dataclass
class Panel:
    """One chart. lines: name -> (x, y), of which nan is left out; dashed: names drawn as plain dashes.

    ticks: x -> what to write there, instead of numbers; limits: of y, instead of those that the lines have.
    """

    title: str
    lines: Mapping[str, Points]
    x_label: str = ""
    y_label: str = ""
    dashed: Sequence[str] = ()
    ticks: Mapping[float, str] | None = None
    limits: tuple[float, float] | None = None


def draw_figure(
    panels: Sequence[Panel],
    columns: int | None = None,
    size: tuple[int, int] = (420, 320),
    scale: float = 2.0,
) -> np.ndarray:
    """Panels of `size` (width, height) before `scale` -> (H, W, 3) RGB uint8, one legend below them all"""
    columns = min(columns or 3, len(panels))
    pictures = [draw_panel(panel, size, scale, _colours(panels)) for panel in panels]
    blank = np.full_like(pictures[0], 255)
    pictures += [blank] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], axis=1) for i in range(0, len(pictures), columns)]
    legend = draw_legend(_colours(panels), [name for panel in panels for name in panel.dashed],
                         rows[0].shape[1], scale)  # fmt: skip
    return np.concatenate([*rows, legend])


def draw_panel(panel: Panel, size: tuple[int, int], scale: float, colours: Mapping[str, int]) -> np.ndarray:
    """One chart without legend -> (H, W, 3) uint8; colours: the place of every name in COLOURS"""
    width, height = (round(side * scale) for side in size)
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    box = (LEFT * scale, TOP * scale, width - RIGHT * scale, height - BOTTOM * scale)
    limits = _limits(panel)
    x_ticks = panel.ticks or labels(nice_ticks(*limits[0], 7))
    y_ticks = labels(nice_ticks(*limits[1], 6))
    to_pixels = _Axes(box, limits)
    _draw_grid(canvas, to_pixels, x_ticks, y_ticks, scale)
    for name, (x, y) in panel.lines.items():
        points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
        _draw_line(canvas, to_pixels(points), colours[name], scale, name in panel.dashed)
    left, top, right, bottom = box
    _write(canvas, panel.title, ((left + right) / 2, top / 2), 14 * scale, "mm")
    _write(canvas, panel.x_label, ((left + right) / 2, height - 14 * scale), 12 * scale, "mm")
    _write(canvas, panel.y_label, (14 * scale, (top + bottom) / 2), 12 * scale, "mm", upright=True)
    return canvas


def draw_legend(colours: Mapping[str, int], dashed: Sequence[str], width: int, scale: float) -> np.ndarray:
    """The names with their colours and markers, in as many lines as they need -> (H, width, 3) uint8"""
    font, line, gap = _font(round(12 * scale)), round(24 * scale), round(22 * scale)
    entries, x, y = [], gap, line // 2
    for name in colours:
        needed = round(34 * scale + font.getlength(name)) + gap
        if x + needed > width and x > gap:
            x, y = gap, y + line
        entries.append((name, x, y))
        x += needed
    canvas = np.full((y + line, width, 3), PAPER, np.uint8)
    for name, x, y in entries:
        ends = np.array([[x, y], [x + 14 * scale, y], [x + 28 * scale, y]])
        _draw_line(canvas, ends, colours[name], scale, name in dashed, markers=(1,))
        _write(canvas, name, (x + 34 * scale, y), 12 * scale, "lm")
    return canvas


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about so many round numbers between low and high"""
    rough = (high - low) / max(most - 1, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def labels(ticks: Sequence[float]) -> dict[float, str]:
    """Each tick as it is written: all with as many decimals as the distance between two of them needs"""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else (ticks[0] if ticks else 0.0)
    decimals = next((d for d in range(8) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 8)
    return {tick: f"{tick:.{decimals}f}" for tick in ticks}


class _Axes:
    """Numbers to pixels. box: left, top, right, bottom in pixels; limits: of x, of y."""

    def __init__(self, box: tuple[float, ...], limits: tuple[tuple[float, float], ...]) -> None:
        self.box, self.limits = box, limits

    def __call__(self, points: Sequence[tuple[float, float]]) -> np.ndarray:
        (x0, x1), (y0, y1) = self.limits
        left, top, right, bottom = self.box
        values = np.asarray(points, float).reshape(-1, 2)
        x = left + (values[:, 0] - x0) / (x1 - x0) * (right - left)
        y = bottom - np.clip((values[:, 1] - y0) / (y1 - y0), 0, 1) * (bottom - top)
        return np.stack([x, y], axis=1)


def _colours(panels: Sequence[Panel]) -> dict[str, int]:
    names = dict.fromkeys(name for panel in panels for name in panel.lines)
    return {name: place for place, name in enumerate(names)}


def _limits(panel: Panel) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of x and y, a little wider than the lines; of one number, a range about it"""
    ranges = []
    for axis in (0, 1):
        values = [v for line in panel.lines.values() for v in line[axis] if math.isfinite(v)]
        values += list(panel.ticks or ()) if axis == 0 else []
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = (high - low) * (0.03 if axis == 0 else 0.08) or abs(low) * 0.1 or 1.0
        ranges.append((low - margin, high + margin))
    return ranges[0], panel.limits or ranges[1]


def _draw_grid(
    canvas: np.ndarray, axes: _Axes, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], scale: float
) -> None:
    left, top, right, bottom = axes.box
    (x0, _), (y0, _) = axes.limits
    for x, text in x_ticks.items():
        place = axes([(x, y0)])[0, 0]
        _stroke(canvas, np.array([[place, top], [place, bottom]]), GRID, scale)
        _write(canvas, text, (place, bottom + 12 * scale), 11 * scale, "mm")
    for y, text in y_ticks.items():
        place = axes([(x0, y)])[0, 1]
        _stroke(canvas, np.array([[left, place], [right, place]]), GRID, scale)
        _write(canvas, text, (left - 6 * scale, place), 11 * scale, "rm")
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
    _stroke(canvas, corners, FRAME, scale)


def _draw_line(
    canvas: np.ndarray,
    points: np.ndarray,
    place: int,
    scale: float,
    dashed: bool,
    markers: Sequence[int] | None = None,
) -> None:
    """points (n, 2) in pixels; place: in COLOURS and MARKERS; markers: at these points alone"""
    colour = COLOURS[place % len(COLOURS)]
    if dashed:
        for a, b in pairwise(points):
            _dashes(canvas, a, b, colour, scale)
        return
    _stroke(canvas, points, colour, 2 * scale)
    for point in points if markers is None else points[list(markers)]:
        _mark(canvas, point, MARKERS[place % len(MARKERS)], colour, 3.6 * scale)


def _mark(canvas: np.ndarray, point: np.ndarray, kind: str, colour: tuple[int, ...], radius: float) -> None:
    corners = {"disc": 24, "square": 4, "triangle": 3, "diamond": 4}[kind]
    turn = {"square": np.pi / 4, "triangle": -np.pi / 2}.get(kind, 0.0)
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    shape = point + radius * (1.0 if kind == "disc" else 1.25) * np.stack([np.cos(angles), np.sin(angles)], 1)
    cv2.fillPoly(canvas, [_fixed(shape)], colour, cv2.LINE_AA, SHIFT)
    cv2.polylines(canvas, [_fixed(shape)], True, PAPER, 1, cv2.LINE_AA, SHIFT)


def _dashes(canvas: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, ...], scale: float) -> None:
    length, dash = float(np.linalg.norm(b - a)), 6 * scale
    for start in np.arange(0, length, 2 * dash):
        ends = np.array([start, min(start + dash, length)])[:, None] / length
        _stroke(canvas, a + ends * (b - a), colour, 1.5 * scale)


def _stroke(canvas: np.ndarray, points: np.ndarray, colour: tuple[int, ...], width: float) -> None:
    cv2.polylines(canvas, [_fixed(points)], False, colour, max(1, round(width)), cv2.LINE_AA, SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * 2**SHIFT).astype(np.int32)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    canvas: np.ndarray, text: str, place: tuple[float, float], size: float, anchor: str, upright: bool = False
) -> None:
    """Writes the text into the picture; upright: turned to be read from the right, centred at the place"""
    if not text:
        return
    font = _font(round(size))
    if not upright:
        picture = Image.fromarray(canvas)
        ImageDraw.Draw(picture).text(place, text, INK, font, anchor)
        canvas[:] = np.asarray(picture)
        return
    width, height = round(font.getlength(text)) + 4, round(1.6 * size)
    strip = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(strip).text((width / 2, height / 2), text, INK, font, "mm")
    turned = np.rot90(np.asarray(strip))[: len(canvas)]
    left = max(0, round(place[0] - height / 2))
    top = min(max(0, round(place[1] - width / 2)), len(canvas) - len(turned))
    canvas[top : top + len(turned), left : left + height] = turned
