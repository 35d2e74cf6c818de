"""Words read in a mouth's windows of 29 frames: wherever one is found, or where it is known that one is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor

from data.lips.words import FRAMES, word_window
from models.reading.reader import LipReader
from utils.align import Spoken
from utils.audio import FPS
from utils.errors import UserError
from utils.face.mouth import to_mouth_network
from utils.progress import Watch, unwatched

BATCH = 16  # windows at a time
SURE = (
    0.4  # probability from which a word is taken for one; like the next two chosen on GRID's validation clips
)
SHORTEST = 2  # frames on end in whose middle the same word must be found
NOTHING = -1  # in place of a word's number
INSIDE = 0.5  # of a word's highest probability, below which frames at its ends are no longer its own
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


class SeenMouth:
    """A mouth in T frames as the network sees it, (k, H, W) uint8 piece by piece

    unseen (T,): where nothing can be read; mirrored: its mirror image is read too; name: of the video, for messages;
    watch: gives back the windows that are read, to count or to stop them.
    """

    def __init__(
        self,
        network: LipReader,
        pieces: Iterable[Tensor],
        unseen: Tensor,
        mirrored: bool = False,
        name: str = "",
        watch: Watch = unwatched,
    ) -> None:
        self.network, self.unseen, self.mirrored, self.name = network.eval(), unseen, mirrored, name
        self.watch = watch
        self.mouths = torch.cat(list(pieces))

    def words(self, sure: float = SURE) -> list[WordRead]:
        """Words in a window that slides over the video, frame by frame. sure: the least probability of a word"""
        seen = (~self.unseen).nonzero().flatten().tolist()
        shares = torch.zeros(len(self.unseen), len(self.network.classes))
        if seen:
            shares[seen] = self.shares(seen)
        return found_words(shares, self.network.classes, sure)

    def words_at(self, spoken: Sequence[Spoken], offset: int = 0) -> list[WordRead]:
        """The word that is read in each window where one is said, but for those whose middle shows no face

        offset: of the first frame in the times' video. Raises UserError where the pictures end before a word's middle.
        """
        frames, windows = len(self.unseen), [word_window(word.start, word.end, offset) for word in spoken]
        for (start, *_), word in zip(windows, spoken, strict=True):
            if start + FRAMES // 2 >= frames:
                end = f"{word.word!r} is said at {word.start:.2f} s, and the video ends at"
                raise UserError(f"{self.name}: {end} {(frames + offset) / FPS:.2f} s")
        middles = [start + FRAMES // 2 for start, *_ in windows]
        seen = [number for number, middle in enumerate(middles) if not self.unseen[max(0, middle)]]
        windows, middles, spoken = ([row[number] for number in seen] for row in (windows, middles, spoken))
        if not seen:
            return []
        insides = torch.zeros(len(windows), FRAMES)
        for inside, (_, first, last) in zip(insides, windows, strict=True):
            inside[first : last + 1] = 1
        shares = self.shares(middles, insides)
        sure, best = shares.max(1)
        return [
            WordRead(self.network.classes[number], word.start, word.end, float(chance), word.word)
            for number, chance, word in zip(best.tolist(), sure, spoken, strict=True)
        ]

    @torch.inference_mode()
    def shares(self, middles: Sequence[int], insides: Tensor | None = None) -> Tensor:
        """Probabilities (N, classes) of the words in windows about these frames; insides (N, 29): the words' frames

        Before the video its first frame is repeated, behind it the last, as in stores of words; the network sees each
        window by itself, as in training, whose front-end sees nothing beyond it.
        """
        found, device = [], next(self.network.parameters()).device
        waiting = iter(self.watch("words", list(middles), len(middles)))
        for start in range(0, len(middles), BATCH):
            part = torch.tensor(list(islice(waiting, BATCH)))
            frames = part.unsqueeze(1) + torch.arange(FRAMES) - FRAMES // 2
            mouths = self.mouths[frames.clamp(0, len(self.mouths) - 1)].to(device)  # (N, 29, H, W)
            windows = [to_mouth_network(one) for one in (mouths, mouths.flip(-1))[: 1 + self.mirrored]]
            boundary = None
            if self.network.config["boundary"]:
                boundary = (
                    torch.ones(len(part), FRAMES) if insides is None else insides[start : start + BATCH]
                )
                boundary = boundary.to(device)
            readings = [self.network(one, boundary=boundary) for one in windows]
            logits = torch.stack([reading.recalled for reading in readings]).mean(0)
            found.append(logits.softmax(1).cpu())
        return torch.cat(found)


def found_words(shares: Tensor, classes: Sequence[str], sure: float) -> list[WordRead]:
    """Probabilities (T, classes) of the word in the middle of each frame's window -> the words, in order

    Frames on end whose best word is the same are one word, if there are enough of them, and one is sure enough; before
    and after a sentence they go on, less and less sure, so that its ends are where the probability is half. Where all
    probabilities are 0 nothing is seen, and nothing read.
    """
    smooth = torch.stack([shares[max(0, n - REACH) : n + REACH + 1].mean(0) for n in range(len(shares))])
    chances, best = smooth.max(1)
    best[shares.sum(1) == 0] = NOTHING
    words, start = [], 0
    for number, run in groupby(best.tolist()):
        end = start + len(list(run))
        chance = float(chances[start:end].max())
        if number != NOTHING and chance >= sure and end - start >= SHORTEST:
            own = (chances[start:end] >= INSIDE * chance).nonzero().flatten().tolist()
            words.append(
                WordRead(classes[number], (start + own[0]) / FPS, (start + own[-1] + 1) / FPS, chance)
            )
        start = end
    return words
