"""Words heard through noise: by sound alone, and by mouth and sound."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.charts import line_charts
from evaluation.flags import heard
from evaluation.intervals import Interval, pooled, with_interval
from evaluation.noise import CLEAN, SPEECH_ALONE, noisy_versions
from evaluation.output import pipes

RATIOS = (20, 10, 5, 0, -5, -10)  # dB
WHITE = "white"
Noise = tuple[str, float]  # kind, ratio in dB
Condition = tuple[str, str, float]  # video, audio or both; kind; ratio


def noisy_sounds(
    audio: np.ndarray, id: str, recordings: dict[str, list[np.ndarray]]
) -> dict[Noise, np.ndarray]:
    """audio (N,), recordings at its rate by kind -> {noise: (N,)}, first the clip's own sound; the same in every run"""
    sounds = noisy_versions(audio, recordings, RATIOS, zlib.crc32(id.encode()))
    return sounds | {(WHITE, ratio): heard(audio, id, ratio) for ratio in RATIOS}


@dataclass
class WordsInNoise:
    """The right word's places of all clips, by condition"""

    places: dict[Condition, list[int]] = field(default_factory=dict)

    def add(self, places: Mapping[Condition, int]) -> None:
        """Those of one clip more"""
        for condition, place in places.items():
            self.places.setdefault(condition, []).append(place)

    def accuracy(self, by: str, kind: str, ratio: float) -> Interval | None:
        """None for what was not measured; without noise, and by the mouth alone, all kinds are one"""
        places = self.places.get((by, SPEECH_ALONE, CLEAN) if ratio == CLEAN else (by, kind, ratio))
        return places and pooled([(place == 1, 1) for place in places])

    @property
    def kinds(self) -> list[str]:
        """White noise first"""
        return sorted(
            {kind for _, kind, _ in self.places} - {SPEECH_ALONE}, key=lambda kind: (kind != WHITE, kind)
        )

    @property
    def inputs(self) -> list[str]:
        return list(dict.fromkeys(by for by, _, _ in self.places))

    def lines(self) -> list[dict]:
        """One for each condition: input, noise, snr, accuracy and its interval's ends"""
        lines = []
        for by, kind, ratio in self.places:
            accuracy, low, high = self.accuracy(by, kind, ratio)
            snr = "clean" if ratio == CLEAN else f"{ratio:g}"
            lines.append(dict(input=by, noise=kind, snr=snr, accuracy=accuracy, low=low, high=high))
        return lines

    def markdown(self) -> str:
        """A table for each kind of noise: a row for each input, a column for each ratio"""
        heads = ["clean", *(f"{ratio:g} dB" for ratio in RATIOS)]
        tables = []
        for kind in self.kinds:
            rows = [
                [by, *(with_interval(self.accuracy(by, kind, ratio), 3) for ratio in (CLEAN, *RATIOS))]
                for by in self.inputs
            ]
            tables.append(pipes([f"{kind} noise", *heads], rows))
        return "\n\n".join(tables)

    def picture(self) -> np.ndarray:
        """The same as curves; by the mouth alone, which hears no noise, as a dashed line -> (H, W, 3) uint8"""
        ratios = sorted(RATIOS)
        ticks = {ratio: f"{ratio:g}" for ratio in ratios} | {ratios[-1] + 10: "clean"}
        unheard = [
            by for by in self.inputs if all(kind == SPEECH_ALONE for one, kind, _ in self.places if one == by)
        ]
        panels = {f"{kind} noise": self._lines(kind, [*ratios, CLEAN], unheard) for kind in self.kinds}
        return line_charts(panels, ticks, "speech to noise, dB", "share of words read right", unheard)

    def _lines(self, kind: str, ratios: Sequence[float], unheard: Sequence[str]) -> dict[str, list[float]]:
        return {
            by: [self.accuracy(by, kind, CLEAN if by in unheard else ratio)[0] for ratio in ratios]
            for by in self.inputs
        }
