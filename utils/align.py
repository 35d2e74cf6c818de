"""GRID's .align files: which word is said when, a line each, "start end word"."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from pathlib import Path
from typing import NamedTuple

from utils.errors import UserError

SILENCE = {"sil", "sp"}
ALIGN_RATE, MILLISECONDS = 25000, 1000  # units in a second: the corpus' own, and some copies'
SHORTEST = (
    0.5  # seconds to the end of a clip's last word; GRID's are three long, so that the unit can be told
)


class Spoken(NamedTuple):
    """A word of a sentence; its start and end in seconds of the video."""

    word: str
    start: float
    end: float


def find_align(name: str, *homes: Path) -> Path | None:
    """The first file align/NAME.align or NAME.align in these folders, None where there is none"""
    files = (folder / f"{name}.align" for home in homes for folder in (home / "align", home))
    return next((file for file in files if file.is_file()), None)


def read_transcript(file: Path) -> str:
    """The words of an .align file ("start end word" lines)"""
    return " ".join(line[2] for line in _fields(file) if len(line) == 3 and line[2] not in SILENCE)


def read_times(file: Path) -> dict[str, str]:
    """The metadata `words` of an .align file: nothing where it has none, or no times; its transcript serves without"""
    with suppress(UserError):
        if words := read_align(file):
            return {"words": to_text(words)}
    return {}


def read_align(file: Path) -> list[Spoken]:
    """The words of an .align file with their times. Raises UserError where a line has none that make sense."""
    lines = _fields(file)
    words = _timed(lines, ALIGN_RATE, str(file))
    short = max((word.end for word in words), default=SHORTEST) < SHORTEST
    return _timed(lines, MILLISECONDS, str(file)) if short else words


def _fields(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text(errors="replace").splitlines() if line.strip()]


def _timed(lines: list[list[str]], rate: int, place: str) -> list[Spoken]:
    """Lines (start, end, word), with so many units a second; silence is none of the words"""
    words = []
    for line in lines:
        shown = repr(" ".join(line)[:60])
        try:
            start, end, word = float(line[0]) / rate, float(line[1]) / rate, line[2]
        except (IndexError, ValueError):
            raise UserError(f"{place}: {shown} is not a start, an end and a word; mend it") from None
        if not 0 <= start <= end < inf:
            raise UserError(f"{place}: {shown} does not end after it starts; mend it")
        words += [Spoken(word, start, end)] * (word not in SILENCE)
    return words


def to_text(words: list[Spoken]) -> str:
    """Words and times as a clip's metadata hold them: "0.95 1.18 bin; 1.18 1.36 blue", in seconds"""
    return "; ".join(f"{start:g} {end:g} {word}" for word, start, end in words)


def from_text(text: str, place: str) -> list[Spoken]:
    """What `to_text` wrote. Raises UserError, which begins with the place, for anything else."""
    return _timed([line.split() for line in text.split(";")], 1, place)
