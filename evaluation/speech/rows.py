"""One clip in all rows of lip2speech_test.py's table: its figures, and what recognisers hear.

A "row" is one way to make the clips' sound: the network, what its vocoder makes of true mels, the recording itself, and
the average mel, which knows the speaker, and nothing of what was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.store import ClipStore, group_of
from evaluation.speech.metrics import speech_figures
from evaluation.speech.recognisers import Recogniser
from evaluation.speech.words import is_grid, word_errors, words_of
from utils.audio.mel import COLUMNS, MELS, SILENCE, from_mel, mel_of
from utils.audio.vocoder import to_sound

OURS, TRUE_MEL, RECORDING, AVERAGE = (
    "lip-to-speech",
    "true mel, Griffin-Lim",
    "recording",
    "average mel, Griffin-Lim",
)


class Measured(NamedTuple):
    """One clip in one row. counts {recogniser: (wrong words, words said)}; heard {recogniser: text}

    Recognisers have the names of their figures in evaluation/definitions.py: wer, wer_whisper, wer_letters.
    """

    figures: dict[str, float]
    counts: dict[str, tuple[int, int]]
    heard: dict[str, str]


Rows = dict[str, Measured]  # one clip, by name of row


def measure(
    made: np.ndarray,
    true: np.ndarray,
    transcript: str,
    recognisers: Mapping[str, Recogniser],
    read: str | None = None,
) -> Measured:
    """made, true (N,), cut to the shorter; read: what the network itself read from lips"""
    length = min(len(made), len(true))
    heard = {name: one.hear(made) for name, one in recognisers.items()}
    if read is not None:
        heard["wer_letters"] = read
    figures = speech_figures(made[:length], true[:length])
    return Measured(figures, {name: count(name, text, transcript) for name, text in heard.items()}, heard)


def count(recogniser: str, heard: str, transcript: str) -> tuple[int, int]:
    """(wrong words, words said), 0 of 0 where nobody wrote down what was said, or outside of the one grammar known"""
    said = words_of(transcript)
    if recogniser == "wer" and not is_grid(said):
        return 0, 0
    return (word_errors(words_of(heard), said), len(said)) if said else (0, 0)


def voiced(magnitudes: Tensor, seed: int, steady: int = 0) -> np.ndarray:
    """magnitudes (321, M) -> sound (160 M,) in [-1, 1]; seed: of the phases; steady: see utils.audio.steady"""
    return to_sound(magnitudes, seed, steady).cpu().numpy()


class AverageMels:
    """What a speaker's clips have in common: the mean of the others' mels, column by column from their beginnings"""

    def __init__(self, store: ClipStore, ids: Sequence[str]) -> None:
        self.sums: dict[str, Tensor] = {}
        longest = COLUMNS * max(store.lengths[id] for id in ids)
        for id in ids:
            # The last row counts the clips that are so long.
            sums = self.sums.setdefault(group_of(id), torch.zeros(MELS + 1, longest))
            mel = mel_of(store[id].audio)
            sums[:-1, : mel.shape[1]] += mel
            sums[-1, : mel.shape[1]] += 1

    def without(self, id: str, mel: Tensor) -> Tensor:
        """mel (80, M) of a clip among them -> (80, M); of a speaker's only clip its own mean over time"""
        known = self.sums[group_of(id)][:, : mel.shape[1]]
        sums, counts = known[:-1] - mel, known[-1] - 1
        if not counts.any():
            return mel.mean(1, keepdim=True).expand_as(mel)
        return torch.where(counts > 0, sums / counts.clamp(min=1), SILENCE)


def references(mel: Tensor, average: Tensor, recording: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Normalised mels (80, M), recording (N,) -> the sounds of the rows that need no network"""
    return {
        TRUE_MEL: voiced(from_mel(mel), seed),
        RECORDING: recording,
        AVERAGE: voiced(from_mel(average), seed),
    }
