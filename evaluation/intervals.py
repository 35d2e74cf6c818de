"""Figures over clips with the interval that other clips would leave them in, by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.output import cell

DRAWS, COVERED = 1000, 95.0  # bootstraps; per cent of them that an interval covers
Interval = tuple[float, float, float]  # a value and the interval's ends


def pooled(pairs: Sequence[tuple[float, float]]) -> Interval:
    """Pairs of a sum and how many it is of, one a clip -> the ratio over all clips, and its interval's ends

    Clips of nan, and of none, do not count; nan without any that does.
    """
    known = np.array([pair for pair in pairs if pair[1] and math.isfinite(pair[0])], float)
    if not len(known):
        return (math.nan,) * 3
    random = np.random.default_rng(0)
    times = random.multinomial(len(known), np.full(len(known), 1 / len(known)), DRAWS)
    sums = times @ known
    edges = np.percentile(sums[:, 0] / sums[:, 1], [50 - COVERED / 2, 50 + COVERED / 2])
    return float(known[:, 0].sum() / known[:, 1].sum()), float(edges[0]), float(edges[1])


def with_interval(values: Interval | None, decimals: int) -> str:
    """As tables show it, the interval in brackets; - for nan, and for one that is not there"""
    if values is None or math.isnan(values[0]):
        return cell(None, decimals)
    value, low, high = (cell(one, decimals) for one in values)
    return f"{value} ({low} to {high})"


def split_intervals(summary: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict]:
    """A table's `summary` for metrics.json: rows {row: {figure: value}}, intervals {row: {figure: [low, high]}}"""
    rows = {name: {figure: values[0] for figure, values in row.items()} for name, row in summary.items()}
    intervals = {
        name: {figure: [*values[1:]] for figure, values in row.items()} for name, row in summary.items()
    }
    return dict(rows=rows, intervals=intervals)
