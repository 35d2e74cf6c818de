"""Words read from the face of a whole video: wherever one is found, or where an .align file says that one is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from data.lips.videos import cut_from, track_face
from data.lips.words import FRAMES, word_window
from models.lips.windows import features
from models.reading.reader import LipReader
from utils.align import Spoken, read_align
from utils.audio import FPS
from utils.errors import UserError

BATCH = 64  # windows at a time
SURE = 0.5  # probability from which a word is taken for one
SHORTEST = 4  # frames on end in whose middle the same word must be found
REACH = 1  # frames either side, over which a frame's probabilities are averaged


class WordRead(NamedTuple):
    """A word that was read, from and to which second of the video, its probability, and the word that was said there,
    None where nobody knows
    """

    word: str
    start: float
    end: float
    sure: float
    said: str | None = None


class ReadVideo:
    """A video's face, followed, its mouth seen once by the network. mirrored: its mirror image is read too

    Raises UserError where the video shows no face, or cannot be read.
    """

    def __init__(self, network: LipReader, video: Path, mirrored: bool = False) -> None:
        self.network, self.video = network.eval(), video
        size, view = network.config["size"], network.config["view"]
        track = track_face(video, size, view)
        self.unseen = torch.from_numpy(track.silent)  # (T,): no face for so long that nothing can be read
        self.seen = features(network.frontend, cut_from(video, track, size), mirrored)

    def words(self, sure: float = SURE) -> list[WordRead]:
        """Words in a window that slides over the video, frame by frame. sure: the least probability of a word"""
        shares = self.shares(range(len(self.unseen))).masked_fill(self.unseen.unsqueeze(1), 0)
        return found_words(shares, self.network.classes, sure)

    def words_at(self, spoken: Sequence[Spoken]) -> list[WordRead]:
        """The word that is read in each window where one is said. Raises UserError where the video is too short."""
        frames, windows = len(self.unseen), [word_window(word.start, word.end) for word in spoken]
        for (start, *_), word in zip(windows, spoken, strict=True):
            if start + FRAMES // 2 >= frames:
                end = f"the video ends at {frames / FPS:.2f} s"
                raise UserError(f"{self.video}: {word.word!r} is said at {word.start:.2f} s, and {end}")
        insides = torch.zeros(len(windows), FRAMES)
        for inside, (_, first, last) in zip(insides, windows, strict=True):
            inside[first : last + 1] = 1
        shares = self.shares([start + FRAMES // 2 for start, *_ in windows], insides)
        sure, best = shares.max(1)
        return [
            WordRead(self.network.classes[number], word.start, word.end, float(chance), word.word)
            for number, chance, word in zip(best.tolist(), sure, spoken, strict=True)
        ]

    @torch.inference_mode()
    def shares(self, middles: Sequence[int], insides: Tensor | None = None) -> Tensor:
        """Probabilities (N, classes) of the words in windows about these frames; insides (N, 29): the words' frames

        Before the video its first frame is repeated, behind it the last, as in stores of words.
        """
        found = []
        for start in range(0, len(middles), BATCH):
            part = torch.tensor(list(middles[start : start + BATCH]))
            frames = part.unsqueeze(1) + torch.arange(FRAMES) - FRAMES // 2
            windows = self.seen[:, frames.clamp(0, len(self.unseen) - 1)]  # (1 or 2, N, 29, F)
            boundary = None
            if self.network.config["boundary"]:
                boundary = (
                    torch.ones(len(part), FRAMES) if insides is None else insides[start : start + BATCH]
                )
                boundary = boundary.to(windows)
            logits = torch.stack([self.network.recall(one, boundary)[0] for one in windows]).mean(0)
            found.append(logits.softmax(1).cpu())
        return torch.cat(found)


def found_words(shares: Tensor, classes: Sequence[str], sure: float) -> list[WordRead]:
    """Probabilities (T, classes) of the word in the middle of each frame's window -> the words, in order

    Frames on end whose best word is the same are one word, if there are enough of them, and one is sure enough.
    """
    smooth = torch.stack([shares[max(0, n - REACH) : n + REACH + 1].mean(0) for n in range(len(shares))])
    chances, best = smooth.max(1)
    words, start = [], 0
    for number, run in groupby(best.tolist()):
        end = start + len(list(run))
        chance = float(chances[start:end].max())
        if chance >= sure and end - start >= SHORTEST:
            words.append(WordRead(classes[number], start / FPS, end / FPS, chance))
        start = end
    return words


def known_words(path: Path, classes: Sequence[str]) -> list[Spoken]:
    """The words of an .align file. Raises UserError for none, and for one that the network does not know."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give an .align file")
    words = read_align(path)
    if not words:
        raise UserError(f"{path}: no words with their times; give an .align file")
    for word in words:
        if word.word not in classes:
            known = ", ".join(list(classes)[:5])
            raise UserError(
                f"{path}: {word.word!r} is none of the network's {len(classes)} words: {known} ..."
            )
    return words


def subtitles(words: Sequence[WordRead]) -> Iterator[str]:
    """Blocks of an .srt file, one a word"""
    for number, word in enumerate(words, start=1):
        yield f"{number}\n{_clock(word.start)} --> {_clock(word.end)}\n{word.word}\n\n"


def _clock(seconds: float) -> str:
    """61.5 -> 00:01:01,500"""
    minutes, milliseconds = divmod(round(1000 * seconds), 60000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"


def lines(words: Sequence[WordRead]) -> Iterator[str]:
    """What is printed of each word"""
    for word in words:
        said = "" if word.said is None else f"  said: {word.said}" * (word.said != word.word) or "  right"
        yield f"{word.start:7.2f} to {word.end:6.2f} s  {word.word:<16} {100 * word.sure:3.0f} %{said}"
