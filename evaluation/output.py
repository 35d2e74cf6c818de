"""Tables of figures: printed, as Markdown, as metrics.json, and as a CSV per clip."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from data.splits import ALL
from evaluation.definitions import FIGURES, GROUPS
from utils.distributed import is_main
from utils.files import write_text
from utils.versions import versions

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "dlib-bin",
    "h5py",
)


def text(rows: Mapping[str, Mapping[str, float]]) -> str:
    """rows {name: {figure: value}} -> a table and its legend for every group of figures that they have"""
    parts = []
    for title, group in GROUPS.items():
        shown = [name for name in group if any(name in row for row in rows.values())]
        if shown:
            legend = [f"  {FIGURES[name].heading:18}{FIGURES[name].definition}" for name in shown]
            parts.append("\n".join([f"{title}:", table(rows, shown), *legend]))
    return "\n\n".join(parts)


def table(rows: Mapping[str, Mapping[str, float]], shown: Sequence[str]) -> str:
    """rows {name: {figure: value}}, the figures to show -> lines of text"""
    cells = [["", *(FIGURES[name].heading for name in shown)]]
    for row, values in rows.items():
        cells.append([row, *(cell(values.get(name), FIGURES[name].decimals) for name in shown)])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def pipes(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """heads (n) and rows of n cells -> lines of a Markdown table"""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def environment(device: torch.device) -> dict:
    """The machine's class and the versions of what computes the figures"""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    machine = dict(
        processor=platform.machine(), cores=os.cpu_count(), gpu=accelerator, system=platform.system()
    )
    return {"machine": machine, "versions": {"python": platform.python_version(), **versions(PACKAGES)}}


def run_facts(args: Namespace, device: torch.device, clips: int, frames: int) -> dict:
    """What every metrics.json says of the run: its command, its data, the machine"""
    counts = {"dataset": corpus(args), "split": args.split, "clips": clips, "frames": frames}
    return {"command": args.command, **counts, "store": str(args.dataset_dir), **environment(device)}


def corpus(args: Namespace) -> str:
    """Whose clips they are: the corpus whose splits are used, or with ALL of them the store's own name"""
    return Path(args.dataset_dir).stem if args.split == ALL else args.dataset


def progress(results: Iterable, clips: int) -> tqdm:
    """The results of so many clips, with a bar in the main process"""
    return tqdm(results, total=clips, unit="clip", dynamic_ncols=True, disable=not is_main())


def write_json(path: Path, results: dict) -> None:
    """Writes results whole or not at all; nan, which JSON does not know, becomes null."""
    write_text(path, json.dumps(_finite(results), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, lines: list[dict]) -> None:
    """Writes one line a dictionary, with all their keys as columns; nan becomes an empty field."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if _is_nan(value) else value for name, value in line.items()} for line in lines
    )
    write_text(path, text.getvalue())


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if _is_nan(value) else value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def cell(value: float | None, decimals: int) -> str:
    """A figure as tables show it, - for one that is not there"""
    return "-" if value is None or _is_nan(value) else f"{value:.{decimals}f}"
