"""Training samples of the lip reader: 29 frames of a mouth about a word, with their sound; of LRW, or of GRID's words.

A store of words has LRW's layout, whichever corpus it is of: ids are WORD/SPLIT/NAME, clips 29 frames with the word in
the middle (preprocess.lrw, preprocess.words).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.lips.mouths import KeptClips, draw_changes
from data.loader import Sampling
from data.splits import clip_ids
from data.store import Clip, ClipStore, group_of
from utils.align import Spoken, find_align, from_text, read_align
from utils.audio import FPS
from utils.audio.log_mel import log_mel
from utils.errors import UserError
from utils.face.mouth import cut_mouths, mouth_window
from utils.grammar import GRID_WORDS

FRAMES, COLUMNS = 29, 4  # of a clip, and mel columns of each
MOST_BANDS, MOST_COLUMNS = 10, 20  # of a mel that are hidden in training, the original's


class WordClip(NamedTuple):
    """mouths (T, H, H) uint8, mel (80, 4 T) standardised, boundary (T,) 1 in the word's frames, else 0"""

    mouths: Tensor
    mel: Tensor
    boundary: Tensor


def word_classes(store: ClipStore) -> list[str]:
    """All words of a store, sorted. Raises UserError for a store of another layout."""
    strangers = [id for id in store.ids if id.count("/") != 2]
    if strangers:
        raise UserError(
            f"{store.path}: holds no words ({strangers[0]}); make a store of words with preprocess.lrw or "
            "preprocess.words"
        )
    return sorted({word_of(id) for id in store.ids})


def word_of(id: str) -> str:
    """ABOUT/train/ABOUT_00001 -> ABOUT"""
    return id.split("/")[0]


def word_ids(store: ClipStore, split: str, splits: Path | None = None, optional: bool = False) -> list[str]:
    """The words of one split, sorted. Raises UserError for other stores, and where there is none unless `optional`."""
    word_classes(store)
    return clip_ids(store, "lrw", split, splits, optional)


def labels(ids: Sequence[str], classes: Sequence[str], path: Path) -> dict[str, int]:
    """id -> number of its word. Raises UserError for a word that is none of the classes."""
    numbers = {word: number for number, word in enumerate(classes)}
    unknown = sorted({word_of(id) for id in ids} - numbers.keys())
    if unknown:
        known = f"{len(numbers)} words: {', '.join(list(classes)[:5])} ..."
        raise UserError(f"{path}: {unknown[0]} is none of the network's {known}; leave such words out")
    return {id: numbers[word_of(id)] for id in ids}


def word_clip(clip: Clip, size: int, view: float) -> WordClip:
    """The clip as the network sees and hears it; size and view of its mouths: see utils.face.mouth

    Where frames without a face were cut off its ends it is as long as the video, so that the word stays in its middle.
    """
    window, notes = mouth_window(clip.landmarks, size, view), clip.metadata
    boundary = boundary_of(notes, clip.length)
    made = WordClip(cut_mouths(clip.frames(), window, size), log_mel(clip.audio), boundary)
    return around(made, -int(notes.get("first_frame", 0)), int(notes.get("source_frames", clip.length)))


class UnknownWordError(UserError):
    """An .align file has a word that is none of GRID's: it is another corpus', or mistyped."""


class NoTimesError(UserError):
    """Nobody knows when a clip's words are said."""


def grid_words(clip: Clip, folder: Path | None = None) -> list[Spoken]:
    """The words of a clip of GRID with their times, out of a folder's .align files, or else its metadata.

    Raises UserError with the reason: `NoTimesError` where neither has them, `UnknownWordError` for a file with a word
    that is none of GRID's.
    """
    speaker, name = group_of(clip.id), Path(clip.id).name
    homes = [place / speaker for place in (folder, folder / "align", folder / "alignments")] if folder else []
    file = find_align(name, *homes)
    if file:
        words = read_align(file)
    elif "words" in clip.metadata:
        words = from_text(clip.metadata["words"], "times of its words")
    else:
        raise NoTimesError(f"no {folder / clip.id}.align" if folder else "no times of its words; see --align")
    unknown = [word.word for word in words if word.word not in GRID_WORDS]
    if unknown and file:
        reason = f"{file}: its word {unknown[0]!r} is none of GRID's 51"
        raise UnknownWordError(f"{reason}; mend it, or leave the file out to skip its clip")
    if unknown or not words:
        raise UserError(f"its word {unknown[0]!r} is none of GRID's 51" if unknown else "it has no words")
    return words


def word_window(start: float, end: float, offset: int = 0) -> tuple[int, int, int]:
    """A word's times in seconds -> the frame that becomes the window's first, perhaps before the video's, and the
    word's own first and last frame among the 29. offset: of the clip's first frame in the video that the times are of
    """
    begin, close = (round(time * FPS, 3) - offset for time in (start, end))  # 0.001 is a unit of GRID's
    first, last = floor(begin), max(ceil(close) - 1, floor(begin))
    origin = floor((begin + close) / 2) - FRAMES // 2
    first, last = (min(max(frame - origin, 0), FRAMES - 1) for frame in (first, last))
    return origin, first, last


def boundary_of(metadata: dict[str, str], frames: int) -> Tensor:
    """(T,): 1 in the frames of the word, by preprocess.words' word_first and word_last, or about the middle by LRW's
    Duration in seconds; all of them where nothing is known
    """
    inside = torch.ones(frames)
    if "word_first" in metadata:
        first, last = int(metadata["word_first"]), int(metadata["word_last"])
    elif "Duration" in metadata:
        half = float(metadata["Duration"].split()[0]) * FPS / 2
        middle = int(metadata.get("source_frames", frames)) / 2 - int(metadata.get("first_frame", 0))
        first, last = max(0, floor(middle - half)), ceil(middle + half) - 1
    else:
        return inside
    inside[:first], inside[last + 1 :] = 0, 0
    return inside


class WordSamples(Dataset):
    """Sample number n, of a word drawn by the seed

    mouths (29, H, H) uint8, mel (80, 116), label (), boundary (29,). augment: also changes (8,) for `change_mouths`,
    and a stretch of bands and one of columns of the mel are nothing, as in the original. cutout: share of samples of
    whose mouths a square is hidden, the original's 1; time_mask: frames, at most, in whose place stands the clip's mean
    frame (the paper: 0). Raises UserError for words that are none of the classes.
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        classes: Sequence[str],
        size: int,
        view: float,
        seed: int,
        augment: bool = True,
        power: float = 1.0,
        cutout: float = 0.5,
        time_mask: int = 0,
    ) -> None:
        self.store, self.labels = store, labels(ids, classes, store.path)
        self.augment, self.cutout, self.time_mask = augment, cutout, time_mask
        self.clips = KeptClips(partial(self._clip, size, view))
        self.sampling = Sampling(store, ids, 1, seed, power)

    def _clip(self, size: int, view: float, id: str) -> WordClip:
        return word_clip(self.store[id], size, view)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        sample = self.whole(id)
        if not self.augment:
            return sample
        sample["changes"] = draw_changes(random, self.cutout)
        sample["mel"] = hide(sample["mel"], random)
        if self.time_mask:
            sample["mouths"] = blur_time(sample["mouths"], random, self.time_mask)
        return sample

    def whole(self, id: str) -> dict[str, Tensor]:
        """A word as it is, as `trimmed` has it"""
        return trimmed(self.clips[id]) | dict(label=torch.tensor(self.labels[id]))


def trimmed(clip: WordClip) -> dict[str, Tensor]:
    """The sample that a clip is, without its label: mouths (29, H, H), mel (80, 116), boundary (29,)

    Of a longer clip the middle; what a shorter one lacks at its ends is as they are, but silent.
    """
    return around(clip, (len(clip.mouths) - FRAMES) // 2, FRAMES)._asdict()


def around(clip: WordClip, start: int, count: int) -> WordClip:
    """So many frames of a clip from `start` on, which may lie outside: the first or last is repeated, in silence"""
    frames = torch.arange(start, start + count)
    inside = (frames >= 0) & (frames < len(clip.mouths))
    frames = frames.clamp(0, len(clip.mouths) - 1)
    columns = (COLUMNS * frames.unsqueeze(1) + torch.arange(COLUMNS)).flatten()
    mel = clip.mel[:, columns] * inside.repeat_interleave(COLUMNS)
    return WordClip(clip.mouths[frames], mel, clip.boundary[frames] * inside)


class WholeWords(Dataset):
    """The words of these ids in order, as they are, for measuring"""

    def __init__(self, samples: WordSamples, ids: Sequence[str]) -> None:
        self.samples, self.ids = samples, list(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.samples.whole(self.ids[number])


def hide(mel: Tensor, random: np.random.Generator) -> Tensor:
    """A copy of mel (80, M), up to 10 bands and 20 columns of which are 0, the mean (SpecAugment, Park et al. 2019)"""
    hidden = mel.clone()
    for length, most, cut in ((len(mel), MOST_BANDS, hidden), (mel.shape[1], MOST_COLUMNS, hidden.T)):
        width = int(random.integers(most + 1))
        start = int(random.integers(length - width + 1))
        cut[start : start + width] = 0
    return hidden


def blur_time(mouths: Tensor, random: np.random.Generator, most: int) -> Tensor:
    """A copy of mouths (T, H, W) uint8, up to `most` frames of which, on end, are the clip's mean frame"""
    width = int(random.integers(min(most, len(mouths)) + 1))
    start = int(random.integers(len(mouths) - width + 1))
    blurred = mouths.clone()
    blurred[start : start + width] = mouths.float().mean(0).round().to(mouths.dtype)
    return blurred
