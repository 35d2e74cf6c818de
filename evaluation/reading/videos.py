"""Words read from the face of a whole video: wherever one is found, or where an .align file says that one is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from data.lips.videos import cut_from, track_face
from evaluation.reading.sliding import SeenMouth, WordRead
from models.reading.reader import LipReader
from utils.align import Spoken, read_align
from utils.errors import UserError
from utils.progress import Watch, bar


def watch(network: LipReader, video: Path, mirrored: bool = False, progress: Watch = bar) -> SeenMouth:
    """The mouth of a video's face. Raises UserError where it shows none, or cannot be read.

    progress: gives back the frames of each stage, to count or to stop them.
    """
    size, view = network.config["size"], network.config["view"]
    track = track_face(video, size, view, progress)
    mouths, unseen = cut_from(video, track, size, progress), torch.from_numpy(track.silent)
    return SeenMouth(network, mouths, unseen, mirrored, str(video), progress)


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
