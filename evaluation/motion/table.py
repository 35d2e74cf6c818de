"""The tables of headmotion_test.py: figures over clips, with intervals over people, and those of all clips together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.intervals import Interval, pooled
from evaluation.motion import figures
from evaluation.motion.alignment import LAGS
from evaluation.motion.rows import OTHER, TRUTH, clip_figures
from utils.audio import FPS
from utils.face.motion import AXES

TURNS = AXES[:3]
DEFINITIONS = {
    "deviation": "standard deviation within a clip, mean over clips: degrees, per cent of a face width, per cent of "
    "the scale; in brackets over that of true motion",
    "speed": "mean absolute speed on each axis: degrees, or per cent, a second; in brackets over that of true motion",
    "spectrum": "power (Welch, segments of 4 s) in bands of frequency over that of true motion, geometric means over "
    "clips, as people differ by factors; factor: the worst of pitch, yaw and roll up to 3 Hz, of more or of less; of "
    "means: the same of arithmetic means over clips, which the liveliest people make",
    "frechet": "Fréchet distance between Gaussians that fit windows of 2 s (every 0.2 s): the six lowest cosine "
    "coefficients (0.25 to 1.5 Hz) of each axis over the true motion's deviation, one seed at a time; of true motion: "
    "one half of the people against the other",
    "alignment": "correlation of the speed of turning with loudness, both smoothed over 0.16 s, mean over clips: at "
    "lag 0, and at the one lag for all clips where the row's is highest (negative: the head moves first)",
    "peaks": "mean distance of a peak of loudness to the nearest peak of the speed of turning, in seconds, and over "
    "what it is when the motion is shifted against the sound by chance (below 1: they meet)",
    "variety": "root mean square angle between motions of two seeds, degrees",
    "error": "root mean square angle to the one true motion, degrees: no goal, for a still head has a small "
    "one, and another good take of the same speech a large one",
}


@dataclass
class MotionTable:
    """Figures and motions of each clip by row. people {clip: who it is}: intervals are over people"""

    people: Mapping[str, str]
    clips: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    motions: dict[str, dict[str, list[np.ndarray]]] = field(default_factory=dict)

    def add(self, id: str, motions: dict[str, list[np.ndarray]], heard: np.ndarray) -> None:
        """motions by row, heard (T,) dB"""
        true = motions[TRUTH][0]
        self.motions[id] = motions
        self.clips[id] = {
            row: clip_figures(made, true, heard, seeds=row != OTHER) for row, made in motions.items()
        }

    @property
    def rows(self) -> list[str]:
        return list(next(iter(self.clips.values())))

    def mean(self, row: str, figure: str) -> Interval:
        """Over clips, with the interval that other people would leave it in"""
        sums: dict[str, list[float]] = {}
        for id, rows in self.clips.items():
            if not math.isnan(rows[row][figure]):
                sums.setdefault(self.people[id], []).append(rows[row][figure])
        return pooled([(sum(values), len(values)) for values in sums.values()])

    def ratio(self, row: str, figure: str) -> Interval:
        """Of the means, over that of true motion, with the same interval"""
        sums: dict[str, np.ndarray] = {}
        for id, rows in self.clips.items():
            pair = np.array([rows[row][figure], rows[TRUTH][figure]])
            sums[self.people[id]] = sums.get(self.people[id], 0) + pair
        return pooled([tuple(pair) for pair in sums.values()])

    def lag(self, row: str) -> int:
        """At which the row's alignment is highest, frames"""
        values = [self.mean(row, f"alignment_{lag:+d}")[0] for lag in LAGS]
        return 0 if np.isnan(values).all() else int(LAGS[int(np.nanargmax(values))])

    def above(self, row: str, other: str) -> Interval:
        """How much higher a row's alignment at its best lag is than another's at its own, clip by clip

        nan where there is no other row.
        """
        if other not in self.rows:
            return pooled([])
        names = [f"alignment_{self.lag(one):+d}" for one in (row, other)]
        sums: dict[str, list[float]] = {}
        for id, rows in self.clips.items():
            gain = rows[row][names[0]] - rows[other][names[1]]
            if not math.isnan(gain):
                sums.setdefault(self.people[id], []).append(gain)
        return pooled([(sum(values), len(values)) for values in sums.values()])

    def power(self, row: str) -> tuple[np.ndarray, np.ndarray]:
        """-> frequencies (N,), power (6, N): the geometric mean over clips: no lively person outweighs others

        Both are empty, (0,) and (6, 0), where no motion has a window's length.
        """
        found = [[figures.spectrum(motion) for motion in one] for one in self._long(row)]
        if not found:
            return np.zeros(0), np.zeros((6, 0))
        with np.errstate(divide="ignore"):
            logs = [np.mean([np.log(power) for _, power in one], axis=0) for one in found]
        return found[0][0][0], np.exp(np.mean(logs, axis=0))

    def _long(self, row: str) -> list[list[np.ndarray]]:
        """Of each clip that has any, the row's motions that are as long as a window"""
        found = [
            [motion for motion in motions[row] if len(motion) >= figures.WINDOW]
            for motions in self.motions.values()
        ]
        return [one for one in found if one]

    def bands(self, row: str, typical: bool = True) -> np.ndarray:
        """(6, bands) of power over the true motion's: geometric means over clips or, not `typical`, arithmetic ones"""
        return self._in_bands(row, typical) / self._in_bands(TRUTH, typical)

    def _in_bands(self, row: str, typical: bool) -> np.ndarray:
        clips = []
        for long in self._long(row):
            powers = np.array([figures.in_bands(*figures.spectrum(motion)) for motion in long])
            with np.errstate(divide="ignore"):
                clips.append((np.log(powers) if typical else powers).mean(0))
        if not clips:
            return np.full((6, len(figures.BANDS)), np.nan)
        return np.exp(np.mean(clips, axis=0)) if typical else np.mean(clips, axis=0)

    def factor(self, row: str, typical: bool = True) -> float:
        """By which the spectrum of turning up to 3 Hz is off at worst"""
        return figures.factor(self.bands(row, typical)[:3, : figures.JUDGED], np.ones((3, figures.JUDGED)))

    def frechet(self, row: str) -> float:
        """To true motion; of true motion that of one half of the people to the other"""
        true = np.concatenate([motions[TRUTH][0] for motions in self.motions.values()])
        names = sorted({self.people[id] for id in self.motions})
        half = set(names[::2])

        def features(row: str, seed: int, of: Sequence[str]) -> np.ndarray:
            own = [self.motions[id][row] for id in of]
            return np.concatenate([figures.window_features(one[seed % len(one)], true.std(0)) for one in own])

        ids = list(self.motions)
        if row == TRUTH:
            parts = [[id for id in ids if (self.people[id] in half) is side] for side in (True, False)]
            sides = [features(TRUTH, 0, part) for part in parts if part]
            return figures.frechet(*sides) if len(sides) == 2 and min(map(len, sides)) > 1 else math.nan
        goal, seeds = features(TRUTH, 0, ids), max(len(motions[row]) for motions in self.motions.values())
        made = [features(row, seed, ids) for seed in range(seeds)]
        distances = [figures.frechet(one, goal) for one in made if min(len(one), len(goal)) > 1]
        return float(np.mean(distances)) if distances else math.nan

    def summary(self) -> dict[str, dict]:
        """{row: figures}, each a number or (value, low, high); see DEFINITIONS"""
        return {row: self._summary(row) for row in self.rows}

    def _summary(self, row: str) -> dict:
        found: dict[str, object] = {}
        for name in ("deviation", "speed"):
            for axis in AXES:
                found[f"{name}_{axis}"] = self.mean(row, f"{name}_{axis}")
                found[f"{name}_ratio_{axis}"] = self.ratio(row, f"{name}_{axis}")
        found |= {
            f"spectrum_{axis}": ratios.tolist() for axis, ratios in zip(AXES, self.bands(row), strict=True)
        }
        found |= dict(spectrum_factor=self.factor(row), spectrum_factor_of_means=self.factor(row, False))
        found["frechet"] = self.frechet(row)
        lag = self.lag(row)
        found |= dict(alignment=self.mean(row, "alignment_+0"), best_lag=lag / FPS)
        found |= dict(
            alignment_best=self.mean(row, f"alignment_{lag:+d}"), above_other=self.above(row, OTHER)
        )
        found |= {name: self.mean(row, name) for name in ("peak_distance", "variety", "error")}
        found["peak_ratio"] = self._peaks(row)
        return found

    def _peaks(self, row: str) -> Interval:
        sums: dict[str, np.ndarray] = {}
        for id, rows in self.clips.items():
            pair = np.array([rows[row]["peak_distance"], rows[row]["peak_chance"]])
            if not np.isnan(pair).any():
                sums[self.people[id]] = sums.get(self.people[id], 0) + pair
        return pooled([tuple(pair) for pair in sums.values()])

    def lines(self) -> list[dict]:
        """One for each clip and row"""
        return [
            {"clip": id, "person": self.people[id], "row": row, **found}
            for id, rows in self.clips.items()
            for row, found in rows.items()
        ]
