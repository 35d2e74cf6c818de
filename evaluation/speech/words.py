"""Words that were said and heard, in one spelling; sentences of GRID; how many words are wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from utils.grammar import DIGITS, GRID


def words_of(text: str) -> list[str]:
    """ "Bin blue at F2, now." -> bin blue at f two now: small letters, digits as words, no punctuation"""
    found = re.findall(r"[a-z]+|\d", text.lower().replace("'", ""))
    return [DIGITS[int(word)] if word.isdigit() else word for word in found]


def is_grid(words: Sequence[str]) -> bool:
    """Whether they are a sentence of GRID"""
    return len(words) == len(GRID) and all(word in choice for word, choice in zip(words, GRID, strict=True))


def word_errors(heard: Sequence[str], said: Sequence[str]) -> int:
    """The least number of words to replace, add and take away (Levenshtein 1966)"""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        corner, row[0] = row[0], count
        for place, other in enumerate(heard, 1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (word != other))
    return row[-1]
