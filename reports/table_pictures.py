"""Pictures that go with the README's tables: curves of a table's figures, strips of frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from evaluation.definitions import FIGURES
from reports.curves import Panel, draw_figure
from reports.markdown import Table
from utils.files import replacing
from utils.media.images import write_image
from utils.media.read import read_video

STRIP = 8  # frames of a clip


def chart(table: Table, x: str, figures: list[str], out: Path) -> None:
    """Draws figures of a table over its column x, a line for each kind of clips; a word in x stands at the end"""
    places = list(dict.fromkeys(one[x] for one in table.lines))
    places = sorted(
        places, key=lambda place: (isinstance(place, str), place if not isinstance(place, str) else 0)
    )
    names = list(dict.fromkeys(one.get("clips", table.title) for one in table.lines))
    panels = []
    for figure in figures:
        lines = {}
        for name in names:
            chosen = [one for one in table.lines if one.get("clips", table.title) == name]
            values = {one[x]: np.nan if one[figure] is None else one[figure] for one in chosen}
            lines[name] = (range(len(places)), [values[place] for place in places])
        ticks = {number: str(place) for number, place in enumerate(places)}
        panels.append(Panel(FIGURES[figure].heading, lines, x, ticks=ticks))
    write_image(out, draw_figure(panels))


def strip(folder: Path, out: Path) -> None:
    """Frames of the side-by-side videos in `folder`, a clip a row of STRIP frames and its pictures one below another"""
    rows = []
    for path in sorted(folder.glob("*.mp4")):
        rows.append(np.concatenate(frames_of(path, STRIP), axis=0))
    if rows:
        write_image(out, np.concatenate(rows, axis=1))


def frames_of(video: Path, count: int) -> list[np.ndarray]:
    """So many frames of a video, evenly spaced, without its ends"""
    frames = list(read_video(video))
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count + 2).round().astype(int)[1:-1]]


def copy_shown(page: Path, folder: Path) -> None:
    """Copies the pictures that the page shows out of its folder assets, where it shows such"""
    text = page.read_text()
    for picture in folder.glob("*.png"):
        if f"(assets/{picture.name})" in text:
            with replacing(page.parent / "assets" / picture.name) as part:
                shutil.copyfile(picture, part)
