"""What is said in GRID: the words that each place of its sentences may hold (Cooke et al. 2006)."""

from __future__ import annotations

DIGITS = "zero one two three four five six seven eight nine".split()
GRID = [
    "bin lay place set".split(),
    "blue green red white".split(),
    "at by in with".split(),
    list("abcdefghijklmnopqrstuvxyz"),  # no w, the one letter of more syllables than one
    DIGITS,
    "again now please soon".split(),
]  # what each of a sentence's six words may be
GRID_WORDS = {word for choice in GRID for word in choice}  # 51
