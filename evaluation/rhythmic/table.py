"""The table of rhythmic_test.py: figures over clips, each with the interval that other people would leave it in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field

from data.store import group_of
from evaluation.definitions import FIGURES, definitions
from evaluation.intervals import COVERED, Interval, pooled, split_intervals, with_interval
from evaluation.output import cell, corpus, pipes, write_csv, write_json
from evaluation.rhythmic.rows import REPEATED, TRUTH
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
        for name, scores in rows.items():
            if "face_psnr" in scores and name not in (REPEATED, TRUTH):
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
        lines = [[row, *(_cell(name, values.get(name)) for name in shown)] for row, values in summary.items()]
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


def _cell(name: str, values: Interval | None) -> str:
    """With its interval, for the figures that decide"""
    decimals = FIGURES[name].decimals
    if name in ("face_psnr", "face_psnr_gain", "pose_error"):
        return with_interval(values, decimals)
    return cell(values and values[0], decimals)


def publish(args: Namespace, tables: Mapping[int, RhythmicTable], facts: dict) -> None:
    """Writes the tables into args.sample_dir and prints them. tables: by the number of references"""
    folder, several, results, pages, lines = args.sample_dir, len(tables) > 1, {}, [], []
    for count, table in tables.items():
        suffix = f", K = {count}" if several else ""
        summary = {f"{row}{suffix}": values for row, values in table.summary().items()}
        for part, found in split_intervals(summary).items():
            results.setdefault(part, {}).update(found)
        people = len({table.people.get(id, group_of(id)) for id in table.clips})
        said = f"{corpus(args)}, {args.split}: {len(table.clips)} clips of {people} speakers, K = {count}"
        pages.append(table.page(said))
        lines += [{"references": count, **line} for line in table.lines()]
    write_csv(folder / "clips.csv", lines)
    write_text(folder / "rhythmic.md", "\n".join(pages))
    write_json(folder / "metrics.json", {**facts, **results, "definitions": definitions(results["rows"])})
    print("\n" + "\n".join(pages) + f"\n{folder}: metrics.json, clips.csv, rhythmic.md")
