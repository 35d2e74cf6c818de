"""Transcripts as numbers, for a connectionist temporal classification: class 0 is its blank."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = " abcdefghijklmnopqrstuvwxyz"
CLASSES = len(LETTERS) + 1


def to_classes(text: str) -> list[int]:
    """ "Bin blue!" -> the classes of its letters and single spaces; what is neither separates words"""
    plain = "".join(letter if letter in LETTERS else " " for letter in text.lower().replace("'", ""))
    return [LETTERS.index(letter) + 1 for letter in " ".join(plain.split())]


def to_text(classes: Sequence[int]) -> str:
    """The likeliest class of each moment -> the text: repetitions and blanks fall away"""
    kept = [one for one, before in zip(classes, [0, *classes], strict=False) if one != before and one]
    return " ".join("".join(LETTERS[one - 1] for one in kept).split())
