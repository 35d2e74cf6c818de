"""Tables of figures: printed, as metrics.json, and as a CSV per clip, each figure with its definition."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch

from utils.files import replacing

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


class Figure(NamedTuple):
    """How a figure is headed, with how many decimals it is shown, and what it is."""

    heading: str
    decimals: int
    definition: str


GROUPS = {
    "landmarks": {
        "lmd_mouth": Figure(
            "LMD mouth", 3, "mean distance of the 20 mouth points, pixels of a 128-pixel crop"
        ),
        "lmd_mouth_ratio": Figure("of static", 3, "LMD mouth over that of the static face"),
        "lmd_all": Figure("LMD 68", 3, "mean distance of all 68 points, pixels of a 128-pixel crop"),
        "lmd_mouth_unaligned": Figure(
            "unaligned", 3, "LMD mouth against the stored landmarks, head motion left in"
        ),
        "opening_correlation": Figure(
            "opening r", 3, "correlation with the true inner-lip opening, mean over clips"
        ),
        "opening_correlation_pooled": Figure(
            "pooled r", 3, "the same over all clips' frames, openings less rest"
        ),
        "opening_gain": Figure("range", 2, "standard deviation of the opening over the true one's"),
        "offset": Figure(
            "offset", 0, "frames by which the mouth is later than the true one (best cross-correlation)"
        ),
        "audio_offset": Figure("A/V", 0, "frames by which the mouth is later than the loudness of the sound"),
        "pause_opening": Figure(
            "pauses", 3, "mean opening in the clip's pauses, as a multiple of the opening at rest"
        ),
        "pause_excess": Figure(
            "excess", 2, "mean opening in the clip's pauses less the opening at rest, pixels"
        ),
        "silence_opening": Figure(
            "silence", 3, "mean opening while the network hears 3 s of no sound, as a multiple of rest"
        ),
        "jitter": Figure("jitter", 3, "mean second difference over time of the 48 other landmarks, pixels"),
        "jitter_ratio": Figure("jitter, of truth", 2, "jitter over that of the true landmarks"),
        "undetected": Figure(
            "no face", 0, "frames in which dlib found no face, in all; left out of these figures"
        ),
    },
    "landmarks in noise": {
        "rmse": Figure(
            "RMSE", 3, "root mean square of the distances of all 68 points, pixels of a 128-pixel crop"
        ),
        "opening_error": Figure(
            "opening error", 3, "mean absolute error of the inner lips' opening, pixels of a 128-pixel crop"
        ),
        "width_error": Figure(
            "width error", 3, "mean absolute error of the mouth's width (points 48 and 54), pixels"
        ),
        "velocity_error": Figure(
            "velocity error", 3, "mean distance of the mouth points' first differences over time, pixels"
        ),
        "acceleration_error": Figure(
            "acceleration error", 3, "mean distance of their second differences, pixels"
        ),
    },
    "pictures": {
        "psnr": Figure(
            "PSNR", 2, "dB, whole frame, RGB, peak 255, mean over frames (100 for identical frames)"
        ),
        "psnr_gain": Figure("gain", 2, "PSNR over that of the static face, dB"),
        "mouth_psnr": Figure(
            "mouth PSNR", 2, "PSNR in the box of the clip's true mouth points, plus 0.15 of its width"
        ),
        "mouth_psnr_gain": Figure("gain", 2, "mouth PSNR over that of the static face, dB"),
        "ssim": Figure("SSIM", 4, "scikit-image, 7 x 7 uniform windows, mean over RGB, data range 255"),
        "cpbd": Figure("CPBD", 3, "share of edges seen as sharp, luma, blocks of 64 pixels, whole frame"),
        "mouth_cpbd": Figure("mouth CPBD", 3, "CPBD of the mouth box, which is one block"),
        "mouth_cpbd_ratio": Figure("of true CPBD", 3, "CPBD of the mouth box over that of the true frames"),
        "sharpness_ratio": Figure(
            "sharpness", 3, "variance of the luma's Laplacian over that of the true frames"
        ),
        "mouth_sharpness_ratio": Figure(
            "mouth sharpness",
            3,
            "variance of the luma's Laplacian in the mouth box, over that of the true frames",
        ),
    },
    "by the original script's definitions": {
        "paper_lmd_sum": Figure(
            "LMD sum", 3, "sum over 20 mouth points, whole pixels, each set about its centre"
        ),
        "paper_ssim": Figure("SSIM 256", 4, "BGR resized to 256 pixels (INTER_AREA), 7 x 7 windows"),
        "paper_psnr": Figure(
            "PSNR 8 bit", 2, "grey, 256 pixels, 8-bit arithmetic that wraps at 256: not a real PSNR"
        ),
        "paper_cpbd": Figure("CPBD 62", 3, "CPBD that sums the bins 0 to 62 of its histogram, not 0 to 63"),
    },
}
FIGURES = {name: figure for group in GROUPS.values() for name, figure in group.items()}


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


def definitions(rows: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """What each figure of the rows is"""
    present = {name for row in rows.values() for name in row}
    return {name: figure.definition for name, figure in FIGURES.items() if name in present}


def environment(device: torch.device) -> dict:
    """The machine's class and the versions of what computes the figures"""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    machine = dict(
        processor=platform.machine(), cores=os.cpu_count(), gpu=accelerator, system=platform.system()
    )
    return {"machine": machine, "versions": {"python": platform.python_version(), **_versions()}}


def _versions() -> dict[str, str | None]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def write_json(path: Path, results: dict) -> None:
    """Writes results whole or not at all; nan, which JSON does not know, becomes null."""
    with replacing(path) as part:
        part.write_text(json.dumps(_finite(results), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, lines: list[dict]) -> None:
    """Writes one line a dictionary, with all their keys as columns; nan becomes an empty field."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if _is_nan(value) else value for name, value in line.items()} for line in lines
    )
    with replacing(path) as part:
        part.write_text(text.getvalue())


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
