"""Words of a store through the lip reader: what it takes each for, by what it sees, hears, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.lips.mouths import change_mouths
from data.lips.words import WordClip, labels, trimmed, word_classes, word_clip
from data.store import ClipStore
from evaluation.reading.noise import Condition, noisy_sounds
from models.reading.memory import Addresses
from models.reading.reader import LipReader
from utils.audio.log_mel import log_mel
from utils.errors import UserError

VIDEO, AUDIO, BOTH = INPUTS = ("video", "audio", "both")
TOP = 5


@dataclass(frozen=True)
class Outcome:
    """What became of one word. Numbers are of the network's classes

    word: the right one; top: the five most likely, best first; place: the right one's among all, from 1; sure: the
    best's probability; addresses (29, slots) or (29, heads, slots), of a network with a memory; places {condition: the
    right word's place}, in noise.
    """

    word: int
    top: tuple[int, ...]
    place: int
    sure: float
    addresses: Addresses | None = None
    places: dict[Condition, int] = field(default_factory=dict)


def names_of(network: LipReader, store: ClipStore, weights: Path) -> list[str]:
    """The network's classes; the store's words, sorted, for a network that knows its classes by their numbers alone

    Raises UserError where there are not as many of them.
    """
    classes, words = network.classes, word_classes(store)
    if classes != [str(number) for number in range(len(classes))]:
        return classes
    if len(words) != len(classes):
        raise UserError(
            f"{weights}: its {len(classes)} classes have no names, and {store.path} has {len(words)} words; name them "
            "with convert.py --words"
        )
    return words


class WordReader:
    """Reads words by one of `INPUTS`; mirrored: the logits of a clip and of its mirror image are added

    noisy: also by sound, and by both, in noise; recordings of it (N,) at 16 kHz by kind, beside white noise.
    """

    def __init__(
        self,
        network: LipReader,
        classes: Sequence[str],
        by: str = VIDEO,
        mirrored: bool = False,
        noisy: bool = False,
        recordings: dict[str, list[np.ndarray]] | None = None,
    ) -> None:
        self.network, self.classes, self.by, self.mirrored = network, list(classes), by, mirrored
        self.noisy, self.recordings = noisy, recordings or {}
        self.device = next(network.parameters()).device

    @torch.no_grad()
    def read(self, store: ClipStore, ids: Sequence[str]) -> list[Outcome]:
        """Raises UserError for words that are none of the classes."""
        numbers = labels(ids, self.classes, store.path)
        config = self.network.config
        clips = [word_clip(store[id], config["size"], config["view"]) for id in ids]
        words, batch = torch.tensor([numbers[id] for id in ids]), self.batch(clips)
        logits, addresses = self.logits(batch)
        places: list[dict[Condition, int]] = [{} for _ in ids]
        if self.noisy:
            places = self.in_noise(store, ids, clips, batch, words)
        return [
            outcome(one, int(word), own, noisy)
            for one, word, own, noisy in zip(logits.cpu(), words, addresses, places, strict=True)
        ]

    def batch(self, clips: Sequence[WordClip]) -> dict[str, Tensor]:
        samples = [trimmed(clip) for clip in clips]
        return {name: torch.stack([one[name] for one in samples]).to(self.device) for name in samples[0]}

    def boundary(self, batch: dict[str, Tensor]) -> Tensor | None:
        return batch["boundary"] if self.network.config["boundary"] else None

    def views(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """The mouths as the network sees them, and with `mirrored` their mirror images"""
        mouths = change_mouths(batch["mouths"], None)
        return [mouths, mouths.flip(-1)][: 1 + self.mirrored]

    def logits(self, batch: dict[str, Tensor]) -> tuple[Tensor, list[Addresses | None]]:
        """A batch of `trimmed` -> (B, classes), and each clip's own addresses (as seen unmirrored)"""
        boundary, mel = self.boundary(batch), batch["mel"] if self.network.memory else None
        readings = [self.network(mouths, mel, boundary) for mouths in self.views(batch)]
        addresses: list[Addresses | None] = [None] * len(batch["mouths"])
        if mel is not None:
            pairs = zip(*(one.cpu() for one in readings[0].addresses), strict=True)
            addresses = [Addresses(*pair) for pair in pairs]
        if self.by == AUDIO:
            return self.network.listen(mel, boundary), addresses
        name = "heard" if self.by == BOTH else "recalled"
        return sum(getattr(reading, name) for reading in readings), addresses

    def in_noise(
        self,
        store: ClipStore,
        ids: Sequence[str],
        clips: Sequence[WordClip],
        batch: dict[str, Tensor],
        words: Tensor,
    ) -> list[dict[Condition, int]]:
        """Of each clip: the right word's place by sound and by both under every noise, and without any by video"""
        network, boundary = self.network, self.boundary(batch)
        sounds = [noisy_sounds(store[id].audio, id, self.recordings) for id in ids]
        seen = [network.see(mouths) for mouths in self.views(batch)]
        clean, *_ = sounds[0]
        found = {(VIDEO, *clean): sum(network.recall(one, boundary)[0] for one in seen)}
        for noise in sounds[0]:
            noisy = [clip._replace(mel=log_mel(own[noise])) for clip, own in zip(clips, sounds, strict=True)]
            mel = torch.stack([trimmed(one)["mel"] for one in noisy]).to(self.device)
            sound = network.hearing(mel)
            found[(AUDIO, *noise)] = network.listen(mel, boundary)
            heard = [network.fusion.heard(one, sound) for one in seen]
            found[(BOTH, *noise)] = sum(network.classify(one, boundary) for one in heard)
        places = {condition: places_of(logits.cpu(), words).tolist() for condition, logits in found.items()}
        return [{condition: own[n] for condition, own in places.items()} for n in range(len(ids))]


def places_of(logits: Tensor, words: Tensor) -> Tensor:
    """logits (B, classes), words (B,) -> (B,) the words' places, 1 for the most likely; of equals the first is best"""
    order = logits.argsort(dim=1, descending=True, stable=True)
    return (order == words.unsqueeze(1)).int().argmax(1) + 1


def outcome(logits: Tensor, word: int, addresses: Addresses | None, places: dict[Condition, int]) -> Outcome:
    """logits (classes,) of one clip"""
    order = logits.argsort(descending=True, stable=True)
    place = order.tolist().index(word) + 1
    sure = float(logits.softmax(0).max())
    return Outcome(word, tuple(order[:TOP].tolist()), place, sure, addresses, places)
