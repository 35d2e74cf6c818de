"""The tables of `evaluation.motion.table` as Markdown, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.intervals import COVERED, with_interval
from evaluation.motion.figures import BANDS
from evaluation.motion.rows import OTHER, STILL, TRUTH
from evaluation.motion.table import DEFINITIONS, TURNS, MotionTable
from evaluation.output import cell, pipes
from utils.audio import FPS
from utils.face.motion import AXES

Summary = Mapping[str, Mapping]
SHOWN = 10.0  # Hz, in the picture of spectra
UNITS = dict.fromkeys(TURNS, "degrees") | dict(x="% of a face width", y="% of a face width", scale="%")


def markdown(summary: Summary) -> str:
    """All tables, each with its definitions"""
    parts = [
        ("How far heads move", ("deviation",), sizes(summary, "deviation", 2)),
        ("How fast", ("speed",), sizes(summary, "speed", 1)),
        ("At which frequencies", ("spectrum", "frechet"), spectra(summary)),
        ("With the voice", ("alignment", "peaks"), alignments(summary)),
        ("Other seeds, and the one true motion", ("variety", "error"), lasts(summary)),
    ]
    texts = []
    for title, names, table in parts:
        legend = "\n".join(f"- {name}: {DEFINITIONS[name]}." for name in names)
        texts.append(f"## {title}\n\n{table}\n\n{legend}")
    share = f"Intervals in brackets cover {COVERED:g} %, by bootstrap over people."
    return "\n\n".join([*texts, share])


def sizes(summary: Summary, name: str, decimals: int) -> str:
    """deviation or speed of each axis, and its ratio to true motion's"""
    rows = [
        [
            row,
            *(
                f"{cell(found[f'{name}_{axis}'][0], decimals)} ({cell(found[f'{name}_ratio_{axis}'][0], 2)})"
                for axis in AXES
            ),
        ]
        for row, found in summary.items()
    ]
    return pipes(["", *AXES], rows)


def spectra(summary: Summary) -> str:
    heads = [f"{low:g} to {high:g} Hz" for low, high in BANDS]
    rows = [
        [
            row,
            *(
                ", ".join(cell(found[f"spectrum_{axis}"][band], 2) for axis in TURNS)
                for band in range(len(BANDS))
            ),
            *(
                cell(found[name], 2) if row != STILL else "-"
                for name in ("spectrum_factor", "spectrum_factor_of_means")
            ),
            cell(found["frechet"], 1),
        ]
        for row, found in summary.items()
    ]
    return pipes(["pitch, yaw, roll", *heads, "factor", "of means", "Fréchet"], rows)


def alignments(summary: Summary) -> str:
    heads = [
        "",
        "r at lag 0",
        "best r",
        "its lag, s",
        "best r, above another's",
        "peaks apart, s",
        "of chance",
    ]
    rows = [
        [
            row,
            with_interval(found["alignment"], 3),
            with_interval(found["alignment_best"], 3),
            f"{found['best_lag']:+.2f}",
            with_interval(found["above_other"], 3),
            cell(found["peak_distance"][0], 3),
            with_interval(found["peak_ratio"], 2),
        ]
        for row, found in summary.items()
        if row != STILL
    ]
    return pipes(heads, rows)


def lasts(summary: Summary) -> str:
    rows = [
        [row, cell(found["variety"][0], 2), with_interval(found["error"], 2)]
        for row, found in summary.items()
    ]
    return pipes(["", "between seeds", "error"], rows)


def draw_spectra(table: MotionTable) -> np.ndarray:
    """(H, W, 3) uint8: power of each axis by frequency, a line a row"""
    from matplotlib.figure import Figure

    from evaluation.charts import COLOURS, drawn

    figure = Figure((12, 6.4), dpi=110, layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    rows = [row for row in table.rows if row != STILL]
    for colour, row in zip(COLOURS, rows, strict=False):
        frequencies, power = table.power(row)
        shown = (frequencies > 0) & (frequencies <= SHOWN)
        style = dict(color="black", linewidth=2) if row == TRUTH else dict(color=colour)
        for ax, values in zip(axes, power, strict=True):
            ax.loglog(frequencies[shown], values[shown], label=row, **style)
    for ax, name in zip(axes, AXES, strict=True):
        ax.set(title=name, xlabel="Hz", ylabel=f"({UNITS[name]})² / Hz")
        ax.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return drawn(figure)


def draw_tracks(motions: Mapping[str, list[np.ndarray]], loud: np.ndarray) -> np.ndarray:
    """Motions of a clip by row, loud (T,) from 0 to 1 -> (H, W, 3) uint8: angles over time, two seeds of each row"""
    from matplotlib.figure import Figure

    from evaluation.charts import COLOURS, drawn

    shown = {
        f"{row}, seed {n}" if len(own) > 1 else row: one
        for row, own in motions.items()
        for n, one in enumerate(own[:2] if row not in (STILL, OTHER) else ())
    }
    shown = {name: one for name, one in shown.items() if len(one) == len(loud)}
    figure = Figure((10, 1.6 * len(shown) + 1), dpi=110, layout="constrained")
    panels = figure.subplots(len(shown) + 1, 1, sharex=True)
    for ax, (name, motion) in zip(panels, shown.items(), strict=False):
        for colour, axis, values in zip(COLOURS, TURNS, np.degrees(motion[:, :3]).T, strict=False):
            ax.plot(np.arange(len(values)) / FPS, values, color=colour, label=axis)
        ax.set_title(name, fontsize=8)
        ax.set_ylim(-20, 20)
        ax.grid(alpha=0.3)
    panels[0].legend(loc="upper right", fontsize=7, ncols=3)
    panels[0].set_ylabel("degrees")
    panels[-1].plot(np.arange(len(loud)) / FPS, loud, color="grey")
    panels[-1].set_title("loudness: 0 as in pauses, 1 as loud speech", fontsize=8)
    panels[-1].set_xlabel("seconds")
    return drawn(figure)
