"""How landmarks made from speech stand up to noise: figures of a clip, tables of model x noise x ratio, curves.

All distances are in pixels of a 128-pixel crop, between motion added to the clip's own rest shape and the stored
landmarks without head motion (as in atnet_test.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.nrnet import read_noises
from evaluation.charts import line_charts
from evaluation.definitions import FIGURES
from evaluation.landmark_metrics import correlation, landmark_distance, mean
from evaluation.output import cell, pipes, write_csv
from utils.audio.noise import mix
from utils.face.landmarks import MOUTH, mouth_opening
from utils.files import write_text
from utils.media.images import write_image

CLEAN = math.inf  # dB
STATIC, SPEECH_ALONE = "static face", "none"
MEASURED = [
    "lmd_mouth",
    "lmd_all",
    "rmse",
    "opening_error",
    "width_error",
    "velocity_error",
    "acceleration_error",
    "opening_correlation",
]
Condition = tuple[str, str, float]  # model, kind of noise, ratio in dB


def figures(made: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """made, true (T, 68, 2) in pixels -> the figures that are MEASURED, by their names in evaluation/definitions.py"""
    lips = made[:, MOUTH], true[:, MOUTH]
    openings = mouth_opening(made), mouth_opening(true)
    widths = (np.linalg.norm(one[:, 54] - one[:, 48], axis=-1) for one in (made, true))
    differences = [np.diff(lips[0], n, axis=0) - np.diff(lips[1], n, axis=0) for n in (1, 2)]
    return {
        "lmd_mouth": mean(landmark_distance(made, true, MOUTH)),
        "lmd_all": mean(landmark_distance(made, true)),
        "rmse": float(np.sqrt(np.square(made - true).sum(-1).mean())),
        "opening_error": float(np.abs(openings[0] - openings[1]).mean()),
        "width_error": float(np.abs(np.subtract(*widths)).mean()),
        "velocity_error": mean(np.linalg.norm(differences[0], axis=-1).ravel()),
        "acceleration_error": mean(np.linalg.norm(differences[1], axis=-1).ravel()),
        "opening_correlation": correlation(*openings),
    }


def read_recordings(path: Path) -> dict[str, list[np.ndarray]]:
    """The recordings (N,) of a NOISE.h5 that are kept from training, all where none is, by kind"""
    noises = [*read_noises(path).values()]
    recordings: dict[str, list[np.ndarray]] = {}
    for noise in [noise for noise in noises if not noise.seen] or noises:
        recordings.setdefault(noise.kind, []).append(noise.samples)
    return recordings


def noisy_versions(
    speech: np.ndarray, recordings: dict[str, list[np.ndarray]], ratios: Sequence[float], seed: int
) -> dict[tuple[str, float], np.ndarray]:
    """speech (N,), recordings by kind -> {(kind, ratio): (N,)}; first the speech alone, of ratio CLEAN

    Every ratio and every model gets the same stretch of the same recording, which `seed` chooses.
    """
    versions = {(SPEECH_ALONE, CLEAN): speech}
    for place, (kind, choice) in enumerate(recordings.items()):
        chosen = choice[np.random.default_rng((seed, place)).integers(len(choice))]
        for ratio in ratios:
            versions[kind, ratio] = mix(speech, chosen, ratio, np.random.default_rng((seed, place, 1)))
    return versions


@dataclass
class NoiseTable:
    """Figures of every clip under every condition.

    kinds {kind of noise: whether any of the models heard such in training, None where not all say what they heard}.
    """

    kinds: dict[str, bool | None]
    ratios: Sequence[float]
    scores: dict[Condition, list[dict[str, float]]] = field(default_factory=dict)

    def add(self, scores: Mapping[Condition, dict[str, float]]) -> None:
        """The figures of one clip more"""
        for condition, one in scores.items():
            self.scores.setdefault(condition, []).append(one)

    @classmethod
    def of_lines(cls, lines: Sequence[dict]) -> NoiseTable:
        """The table again out of its `lines`, one row standing for all clips"""
        kinds = {one["noise"]: one["heard_in_training"] for one in lines if one["noise"] != SPEECH_ALONE}
        table = cls({kind: None if heard == "" else heard for kind, heard in kinds.items()}, [])
        for one in lines:
            ratio = CLEAN if one["snr"] == "clean" else float(one["snr"])
            table.scores.setdefault((one["model"], one["noise"], ratio), []).append(one)
        table.ratios = sorted({ratio for _, _, ratio in table.scores} - {CLEAN})
        return table

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _, _ in self.scores))

    def value(self, model: str, kinds: Iterable[str], ratio: float, name: str = "lmd_mouth") -> float:
        """Mean over clips and kinds of noise; nan where nothing was measured"""
        chosen = [SPEECH_ALONE] if ratio == CLEAN or model == STATIC else list(kinds)
        key = CLEAN if model == STATIC else ratio
        rows = [row[name] for kind in chosen for row in self.scores.get((model, kind, key), [])]
        return mean(rows)

    def lines(self) -> list[dict]:
        """One row for each condition, means over clips"""
        rows = []
        for (model, kind, ratio), clips in self.scores.items():
            facts = dict(model=model, noise=kind, snr="clean" if ratio == CLEAN else f"{ratio:g}")
            heard = self.kinds.get(kind)
            facts["heard_in_training"] = "" if heard is None else heard
            rows.append(facts | {name: mean([clip[name] for clip in clips]) for name in MEASURED})
        return rows

    def sides(self) -> dict[str, list[str]]:
        """The kinds that training heard, and those that it did not, where there are any; all, where that is unknown"""
        if None in self.kinds.values():
            return {"noises": list(self.kinds)}
        sides = {
            "noise of kinds heard in training": [kind for kind, seen in self.kinds.items() if seen],
            "noise of unseen kinds": [kind for kind, seen in self.kinds.items() if not seen],
        }
        return {title: kinds for title, kinds in sides.items() if kinds}

    def markdown(self, name: str = "lmd_mouth") -> str:
        """A table for each of the sides: a row for each model, a column for each ratio"""
        columns = [CLEAN, *sorted(self.ratios, reverse=True)]
        heads = ["clean" if ratio == CLEAN else f"{ratio:g} dB" for ratio in columns]
        tables = []
        for title, kinds in self.sides().items():
            values = {model: [self.value(model, kinds, r, name) for r in columns] for model in self.models}
            rows = [[model, *(cell(x, FIGURES[name].decimals) for x in row)] for model, row in values.items()]
            tables.append(pipes([f"{title} ({', '.join(kinds)})", *heads], rows))
        return "\n\n".join(tables)

    def figure(self, name: str = "lmd_mouth", label: str = "mouth LMD, pixels") -> np.ndarray:
        """The same as curves, and one panel for each kind of noise"""
        ratios = sorted(self.ratios)
        step = max(np.diff(ratios), default=10)
        ticks = {ratio: f"{ratio:g}" for ratio in ratios} | {ratios[-1] + step: "clean"}
        groups = self.sides() | ({kind: [kind] for kind in self.kinds} if len(self.kinds) > 1 else {})
        panels = {
            title: {
                model: [self.value(model, kinds, ratio, name) for ratio in [*ratios, CLEAN]]
                for model in self.models
            }
            for title, kinds in groups.items()
        }
        return line_charts(panels, ticks, "speech to noise, dB", label, [STATIC])

    def write(self, folder: Path, note: str) -> list[Path]:
        """noise.csv, noise.md and noise.png; note: where the figures come from"""
        paths = [folder / f"noise.{suffix}" for suffix in ("csv", "md", "png")]
        lines, page, picture = self.lines(), self.page(note), self.figure()  # all made before any is written
        write_csv(paths[0], lines)
        write_text(paths[1], page)
        write_image(paths[2], picture)
        return paths

    def page(self, note: str) -> str:
        """noise.md"""
        legend = "\n".join(f"- {name}: {FIGURES[name].definition}" for name in MEASURED)
        return (
            f"{note}\n\nMouth LMD, pixels of a 128-pixel crop:\n\n{self.markdown()}\n\nCorrelation of the mouth's "
            f"opening:\n\n{self.markdown('opening_correlation')}\n\nAll figures are in noise.csv; "
            f"heard_in_training: by any of its models:\n\n{legend}\n"
        )
