"""Line charts: lines are where their numbers are, panels share a scale, and nothing is kept of pyplot."""

import sys

import numpy as np

from evaluation.charts import line_charts, spectrograms

BLUE = (0, 114, 178)


def places(picture: np.ndarray, colour: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of about this colour"""
    return (np.abs(picture.astype(int) - colour).sum(-1) < 60).nonzero()


def test_lines_are_where_their_numbers_are():
    picture = line_charts({"t": {"rising": [0, 1, 2], "flat": [1, np.nan, 1]}}, {0: "a", 1: "b", 2: "c"}, "x")
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    rows, columns = places(picture[: int(0.8 * len(picture))], BLUE)  # without the legend
    middle = (columns.min() + columns.max()) / 2
    assert rows[columns < middle].mean() > rows[columns > middle].mean() + 50  # y grows upwards
    assert "matplotlib.pyplot" not in sys.modules


def test_panels_with_one_label_share_their_scale():
    panels = {"low": {"a": [0, 0]}, "high": {"a": [9, 9]}}
    picture = line_charts(panels, {0: "0", 1: "1"}, "x", "pixels")
    rows, columns = places(picture[: int(0.8 * len(picture))], BLUE)
    left = columns < picture.shape[1] // 2
    assert rows[left].mean() > rows[~left].mean() + 100
    three = line_charts(panels | {"empty": {}}, {0: "0", 1: "1"}, "x", "pixels")
    assert three.shape[1] == picture.shape[1] and three.shape[0] > 1.5 * picture.shape[0]


def test_a_spectrogram_is_bright_where_it_is_loud():
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    tone[:8000] = 0  # silence, then a tone
    picture = spectrograms({"one": tone, "two": np.zeros(16000)}).sum(-1)
    top, bottom = picture[: len(picture) // 2, 80:-20], picture[len(picture) // 2 :, 80:-20]
    middle = top.shape[1] // 2
    dark, bright = (top[30:-30, side] for side in (slice(10, middle - 20), slice(middle + 20, -10)))
    assert bright.max() > 400 > dark[len(dark) // 3 : 2 * len(dark) // 3].max()
    assert bottom[40:-60].min() < 60
