"""Which slots of the lip reader's memory are in use, and by which words, as mouths and as true sounds find them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.matrices import matrices
from models.reading.memory import Addresses, SlotUsage, Usage

TITLES = dict(seen="by the mouth", heard="by the true sound")


class WordSlots:
    """Collects the addresses of clips, by word"""

    def __init__(self) -> None:
        self.all = {name: SlotUsage() for name in TITLES}
        self.words: dict[tuple[str, str], SlotUsage] = {}

    def add(self, word: str, addresses: Addresses) -> None:
        """addresses: of one clip, (S, slots) or (S, heads, slots), logarithms"""
        for name in TITLES:
            own = getattr(addresses, name)
            self.all[name].add(own)
            self.words.setdefault((name, word), SlotUsage()).add(own)

    def usage(self) -> dict[str, Usage]:
        return {name: one.figures() for name, one in self.all.items()}

    def facts(self) -> dict[str, dict[str, float]]:
        """{seen, heard: perplexity, dead slots, slots}, for metrics.json"""
        return {
            name: dict(perplexity=one.perplexity, dead=one.dead, slots=len(one.mean))
            for name, one in self.usage().items()
        }

    def sentence(self) -> str:
        """The same, for people"""
        parts = [
            f"{TITLES[name]} {one['perplexity']:.1f} of {one['slots']} (perplexity), {one['dead']} dead"
            for name, one in self.facts().items()
        ]
        return f"Slots of the memory in use: {'; '.join(parts)}. Dead: no frame gives it more than an even share."

    def means(self, name: str, words: Sequence[str]) -> np.ndarray:
        """(words, slots): mean share of each slot in each word"""
        return np.stack([self.words[name, word].figures().mean.numpy() for word in words])

    def picture(self, words: Sequence[str]) -> np.ndarray:
        """Words from top to bottom as given, slots by the word whose mouths use them most -> (H, W, 3) uint8"""
        panels = {title: self.means(name, words) for name, title in TITLES.items()}
        order = panels[TITLES["seen"]].argmax(0).argsort(kind="stable")
        return matrices(
            {f"slots found {title}": one[:, order] for title, one in panels.items()},
            words,
            [str(slot) for slot in order],
        )
