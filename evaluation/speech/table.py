"""The table of lip2speech_test.py: figures over clips, each with the interval that other clips would leave it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.definitions import FIGURES, GROUPS
from evaluation.intervals import COVERED, Interval, pooled, with_interval
from evaluation.output import pipes, write_csv
from evaluation.speech.rows import Measured, Rows
from utils.files import write_text


@dataclass
class SpeechTable:
    """The rows of every clip, by its id"""

    clips: dict[str, Rows] = field(default_factory=dict)

    def add(self, id: str, rows: Rows) -> None:
        self.clips[id] = rows

    def summary(self) -> dict[str, dict[str, Interval]]:
        """{row: {figure: value and the interval's ends}}: means over clips; word errors over all words, in per cent"""
        names = next(iter(self.clips.values()))
        return {name: summarise([rows[name] for rows in self.clips.values()]) for name in names}

    def lines(self) -> list[dict]:
        """One for each clip and row: its figures, wrong words and words, and what was heard"""
        lines = []
        for id, rows in self.clips.items():
            for name, one in rows.items():
                counts = {
                    key: value
                    for recogniser, (wrong, said) in one.counts.items()
                    for key, value in ((f"{recogniser}_errors", wrong), (f"{recogniser}_words", said))
                }
                heard = {f"{recogniser}_heard": text for recogniser, text in one.heard.items()}
                lines.append({"clip": id, "row": name, **one.figures, **counts, **heard})
        return lines

    def markdown(self) -> str:
        """A row for each row, a column for each figure that was asked for, intervals in brackets"""
        summary = self.summary()
        shown = [name for name in GROUPS["speech"] if any(name in row for row in summary.values())]
        rows = [
            [name, *(with_interval(values.get(figure), FIGURES[figure].decimals) for figure in shown)]
            for name, values in summary.items()
        ]
        return pipes(["", *(FIGURES[name].heading for name in shown)], rows)

    def page(self, note: str) -> str:
        """speech.md"""
        summary = self.summary()
        legend = "\n".join(
            f"- {figure.heading}: {figure.definition}"
            for name, figure in GROUPS["speech"].items()
            if any(name in row for row in summary.values())
        )
        share = f"In brackets {COVERED:g} % intervals, by bootstrap over clips."
        return f"{note}\n\n{self.markdown()}\n\n{share}\n\n{legend}\n"

    def write(self, folder: Path, note: str) -> list[Path]:
        """clips.csv and speech.md; note: where the figures come from"""
        paths = [folder / "clips.csv", folder / "speech.md"]
        lines, page = self.lines(), self.page(note)
        write_csv(paths[0], lines)
        write_text(paths[1], page)
        return paths


def summarise(clips: Sequence[Measured]) -> dict[str, Interval]:
    """The clips of one row -> {figure: value, and its interval's ends}"""
    parts = {name: [(clip.figures[name], 1) for clip in clips] for name in clips[0].figures}
    parts |= {
        name: [(100 * wrong, said) for wrong, said in (clip.counts[name] for clip in clips)]
        for name in clips[0].counts
    }
    return {name: pooled(pairs) for name, pairs in parts.items()}
