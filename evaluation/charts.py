"""Line charts as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.audio import SAMPLE_RATE
from utils.audio.mel import MELS, mel_of

# Told apart by people with any kind of colour vision, on white (Okabe and Ito 2008), and by their markers in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^vP"
COLUMNS = 2  # panels in a row

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
    return drawn(figure)


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
    return drawn(figure)


def drawn(figure) -> np.ndarray:
    """A figure of matplotlib -> (H, W, 3) uint8"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
