"""Line charts, spectra and matrices as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.audio import SAMPLE_RATE
from utils.audio.mel import MELS, mel_of

# Told apart by people with any kind of colour vision, on white (Okabe and Ito 2008), and by their markers in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^vP"
COLUMNS = 2  # panels in a row
LINE = 0.1  # inches of a matrix' row

Lines = Mapping[str, Sequence[float]]


def line_charts(
    panels: Mapping[str, Lines],
    ticks: Mapping[float, str],
    x_label: str,
    y_label: str = "",
    dashed: Sequence[str] = (),
) -> np.ndarray:
    """panels {title: {line's name: a value, or nan, for each tick}} -> (H, W, 3) uint8, one legend below them all

    ticks {place on the x axis: what is written there}; y_label: of all panels, which then have one scale; dashed: lines
    without markers.
    """
    from matplotlib.figure import Figure

    rows, columns = -(-len(panels) // COLUMNS), min(COLUMNS, len(panels))
    figure = Figure((5 * columns, 3.4 * rows + 0.4), dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=bool(y_label)).ravel()
    styles: dict[str, dict] = {}
    for name in (name for lines in panels.values() for name in lines):
        colour, marker = COLOURS[len(styles) % len(COLOURS)], MARKERS[len(styles) % len(MARKERS)]
        plain = dict(color="grey", linestyle="--") if name in dashed else dict(color=colour, marker=marker)
        styles.setdefault(name, plain)
    for ax, (title, lines) in zip(axes, panels.items(), strict=False):
        for name, values in lines.items():
            ax.plot([*ticks], values, label=name, markersize=5, **styles[name])
        ax.set(title=title, xlabel=x_label, ylabel=y_label)
        ax.set_xticks([*ticks], [*ticks.values()])
        ax.grid(alpha=0.3)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    handles = {name: line for ax in axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3 * columns, frameon=False)
    return _drawn(figure)


def spectrograms(sounds: Mapping[str, np.ndarray]) -> np.ndarray:
    """{title: (N,) at 16 kHz} -> (H, W, 3) uint8: their log mel spectra on one scale, one above the other"""
    from matplotlib.figure import Figure

    figure = Figure((8, 2.2 * len(sounds)), dpi=110, layout="constrained")
    axes = figure.subplots(len(sounds), 1, squeeze=False, sharex=True).ravel()
    for ax, (title, sound) in zip(axes, sounds.items(), strict=True):
        seconds = len(sound) / SAMPLE_RATE
        ax.imshow(mel_of(sound).numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-1, vmax=0.7,
                  extent=(0, seconds, 0, MELS))  # fmt: skip
        ax.set(title=title, ylabel="mel band")
    axes[-1].set_xlabel("seconds")
    return _drawn(figure)


def matrices(
    panels: Mapping[str, np.ndarray], rows: Sequence[str], columns: Sequence[str], x_label: str, y_label: str
) -> np.ndarray:
    """{title: (R, C), numbers of at least 0} -> (H, W, 3) uint8: side by side, each on its own scale, white is 0

    rows (R), columns (C): what is written beside them. Colours grow with the root, so that small numbers show.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    width, height = LINE * len(columns) + 2.2, LINE * len(rows) + 1.6
    figure = Figure((width * len(panels), height), dpi=130, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False).ravel()
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        top = max(float(values.max(initial=0)), 1e-9)
        image = ax.imshow(values, cmap="Purples", norm=PowerNorm(0.5, 0, top), aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=5)
        ax.set_yticks(range(len(rows)), rows, fontsize=5)
        ax.set(title=title, xlabel=x_label, ylabel=y_label)
        figure.colorbar(image, ax=ax, fraction=0.03)
    return _drawn(figure)


def _drawn(figure) -> np.ndarray:
    """A figure of matplotlib -> (H, W, 3) uint8"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
