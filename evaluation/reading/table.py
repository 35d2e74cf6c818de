"""The results of lipread_test.py: accuracy over all words and of each, and which are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.definitions import FIGURES, GROUPS
from evaluation.intervals import COVERED, Interval, pooled, with_interval
from evaluation.matrices import matrices
from evaluation.output import pipes, write_csv
from evaluation.reading.noise import WordsInNoise
from evaluation.reading.read import TOP, Outcome
from evaluation.reading.slots import WordSlots
from utils.files import write_text
from utils.media.images import write_image

CHANCE = "always the most frequent word"


@dataclass
class ReadingTable:
    """Outcomes of clips by their ids. classes: the words by number; by: what the network goes by"""

    classes: Sequence[str]
    by: str
    clips: dict[str, Outcome] = field(default_factory=dict)
    slots: WordSlots = field(default_factory=WordSlots)
    noise: WordsInNoise = field(default_factory=WordsInNoise)

    def add(self, id: str, outcome: Outcome) -> None:
        """Addresses are counted, and not kept."""
        if outcome.addresses is not None:
            self.slots.add(self.classes[outcome.word], outcome.addresses)
        self.noise.add(outcome.places)
        self.clips[id] = Outcome(outcome.word, outcome.top, outcome.place, outcome.sure)

    @property
    def ours(self) -> str:
        return f"lip reader, {self.by}"

    @property
    def has_memory(self) -> bool:
        return bool(self.slots.words)

    def summary(self) -> dict[str, dict[str, Interval]]:
        """{row: {figure: value and the interval's ends}}; who always names the most frequent word knows their counts"""
        said = [one.word for one in self.clips.values()]
        frequent = [word for word, _ in Counter(sorted(said)).most_common(TOP)]
        places = {self.ours: [one.place for one in self.clips.values()]}
        places[CHANCE] = [frequent.index(word) + 1 if word in frequent else TOP + 1 for word in said]
        return {
            name: dict(
                accuracy=pooled([(place == 1, 1) for place in row]),
                top5=pooled([(place <= TOP, 1) for place in row]),
            )
            for name, row in places.items()
        }

    def lines(self) -> list[dict]:
        """One for each clip: the word, what was read, whether it is right, and so on"""
        return [
            {
                "clip": id,
                "word": self.classes[one.word],
                "read": self.classes[one.top[0]],
                "right": int(one.place == 1),
                "place": one.place,
                "probability": round(one.sure, 6),
                "top": " ".join(self.classes[number] for number in one.top),
            }
            for id, one in self.clips.items()
        ]

    def confusion(self) -> tuple[list[str], np.ndarray]:
        """The words that were said or read (W), as by number, and counts (W, W): [n, m], n was said and m was read"""
        pairs = [(one.word, one.top[0]) for one in self.clips.values()]
        present = sorted({number for pair in pairs for number in pair})
        place = {number: n for n, number in enumerate(present)}
        counts = np.zeros((len(present), len(present)), int)
        for said, read in pairs:
            counts[place[said], place[read]] += 1
        return [self.classes[number] for number in present], counts

    def words(self) -> list[dict]:
        """One for each word that was said: how often, how often it was read right, and its most frequent mistake"""
        names, counts = self.confusion()
        lines = []
        for n, row in enumerate(counts):
            wrong = np.where(np.arange(len(row)) == n, 0, row)
            mistake = int(wrong.argmax())
            if row.any():
                fact = dict(mistake=names[mistake], times=int(wrong[mistake])) if wrong.any() else {}
                count, right = int(row.sum()), int(row[n])
                lines.append(dict(word=names[n], count=count, right=right, accuracy=right / count, **fact))
        return lines

    def markdown(self) -> str:
        """A row for each row, a column for each figure, intervals in brackets"""
        shown = GROUPS["words"]
        rows = [
            [name, *(with_interval(values[figure], FIGURES[figure].decimals) for figure in shown)]
            for name, values in self.summary().items()
        ]
        return pipes(["", *(FIGURES[name].heading for name in shown)], rows)

    def page(self, note: str) -> str:
        """reading.md"""
        parts = [note, self.markdown()]
        if self.noise.places:
            parts += ["Words read right, of sound in noise:", self.noise.markdown()]
        if self.has_memory:
            parts.append(self.slots.sentence())
        parts.append(f"In brackets {COVERED:g} % intervals, by bootstrap over clips.")
        legend = [f"- {figure.heading}: {figure.definition}" for figure in GROUPS["words"].values()]
        return "\n\n".join([*parts, "\n".join(legend)]) + "\n"

    def write(self, folder: Path, note: str) -> list[Path]:
        """clips.csv, classes.csv, reading.md, confusion.png; with a memory slots.png; of noise noise.csv and noise.png

        note: where the figures come from. All are made before any is written.
        """
        names, counts = self.confusion()
        order = neighbours(counts)
        said = [names[n] for n in order if counts[n].any()]
        pictures = dict(confusion=confusion_picture([names[n] for n in order], counts[np.ix_(order, order)]))
        if self.has_memory:
            pictures["slots"] = self.slots.picture(said)
        if self.noise.places:
            pictures["noise"] = self.noise.picture()
        lines, words, page = self.lines(), self.words(), self.page(note)
        paths = [folder / name for name in ("clips.csv", "classes.csv", "reading.md")]
        write_csv(paths[0], lines)
        write_csv(paths[1], words)
        if self.noise.places:
            paths.append(folder / "noise.csv")
            write_csv(paths[-1], self.noise.lines())
        write_text(paths[2], page)
        for name, picture in pictures.items():
            paths.append(folder / f"{name}.png")
            write_image(paths[-1], picture)
        return paths


def shares(counts: np.ndarray) -> np.ndarray:
    """counts (W, W) -> of each word that was said, the share that was taken for each; 0 of none"""
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def neighbours(counts: np.ndarray) -> list[int]:
    """counts (W, W) of words said and read -> an order in which words that are taken for each other lie side by side

    Average linkage of how often a pair is confused, in either direction, the leaves turned to their likes.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(counts) < 3:
        return list(range(len(counts)))
    confused = shares(counts)
    distances = 1 - (confused + confused.T) / 2
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree).tolist()


def confusion_picture(words: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """counts (W, W) in the words' order -> (H, W, 3) uint8"""
    return matrices({"rows: said, columns: read, share of what was said": shares(counts)}, words, words)
