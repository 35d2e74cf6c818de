"""The table of rhythmic_test.py: figures over clips, each with the interval that other people would leave it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.store import group_of
from evaluation.definitions import FIGURES
from evaluation.intervals import COVERED, Interval, pooled, with_interval
from evaluation.output import pipes, write_csv
from evaluation.rhythmic.rows import REPEATED
from evaluation.rhythmic.scores import Scores
from utils.files import write_text

SHOWN = ("face_psnr", "face_psnr_gain", "psnr", "ssim", "lmd_mouth", "lmd_all", "cpbd", "identity")
SHOWN += ("pose_error", "jitter", "undetected")
SUMS = ("undetected",)


@dataclass
class RhythmicTable:
    """The rows of every clip, by its id. people {clip: who it is}: intervals are over these; by default, speakers"""

    people: Mapping[str, str] = field(default_factory=dict)
    clips: dict[str, dict[str, Scores]] = field(default_factory=dict)

    def add(self, id: str, rows: dict[str, Scores]) -> None:
        for scores in rows.values():
            if "face_psnr" in scores and scores is not rows[REPEATED]:
                scores["face_psnr_gain"] = scores["face_psnr"] - rows[REPEATED]["face_psnr"]
        self.clips[id] = rows

    @property
    def rows(self) -> list[str]:
        return list(dict.fromkeys(row for rows in self.clips.values() for row in rows))

    def mean(self, row: str, figure: str) -> Interval:
        """Over clips; a total for figures that are sums"""
        sums: dict[str, list[float]] = {}
        for id, rows in self.clips.items():
            if figure in rows.get(row, {}) and rows[row][figure] == rows[row][figure]:
                sums.setdefault(self.people.get(id, group_of(id)), []).append(rows[row][figure])
        if figure in SUMS:
            total = float(sum(map(sum, sums.values())))
            return total, total, total
        return pooled([(sum(values), len(values)) for values in sums.values()])

    def summary(self) -> dict[str, dict[str, Interval]]:
        """{row: {figure: value and the interval's ends}}"""
        known = {
            row: {name for rows in self.clips.values() for name in rows.get(row, {})} for row in self.rows
        }
        return {
            row: {name: self.mean(row, name) for name in SHOWN if name in known[row]} for row in self.rows
        }

    def markdown(self) -> str:
        summary = self.summary()
        shown = [name for name in SHOWN if any(name in row for row in summary.values())]
        brief = {"face_psnr_gain", "face_psnr", "pose_error"}  # of which the interval is shown
        lines = []
        for row, values in summary.items():
            cells = []
            for name in shown:
                value, decimals = values.get(name), FIGURES[name].decimals
                if value is not None and name not in brief:
                    cells.append("-" if value[0] != value[0] else f"{value[0]:.{decimals}f}")
                else:
                    cells.append(with_interval(value, decimals))
            lines.append([row, *cells])
        return pipes(["", *(FIGURES[name].heading for name in shown)], lines)

    def page(self, note: str) -> str:
        """rhythmic.md"""
        shown = [name for name in SHOWN if any(name in row for row in self.summary().values())]
        legend = "\n".join(f"- {FIGURES[name].heading}: {FIGURES[name].definition}" for name in shown)
        share = f"In brackets {COVERED:g} % intervals, by bootstrap over people; the last column is a total."
        return f"{note}\n\n{self.markdown()}\n\n{share}\n\n{legend}\n"

    def lines(self) -> list[dict]:
        """One for each clip and row"""
        return [
            {"clip": id, "row": name, **one} for id, rows in self.clips.items() for name, one in rows.items()
        ]

    def write(self, folder: Path, note: str) -> list[Path]:
        """clips.csv and rhythmic.md; note: where the figures come from"""
        paths = [folder / "clips.csv", folder / "rhythmic.md"]
        write_csv(paths[0], self.lines())
        write_text(paths[1], self.page(note))
        return paths
