"""How far long work has come: on a terminal, or wherever else somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tqdm import tqdm

# What is done, its frames, and about how many (None where nobody knows) -> the same frames. It may raise, to stop.
Watch = Callable[[str, Iterable, "int | None"], Iterable]


def bar(what: str, frames: Iterable, total: int | None, leave: bool = True) -> Iterable:
    """A progress bar on stderr. leave: it stays there when all is done"""
    return tqdm(frames, what, total, unit=" frames", leave=leave)


def unwatched(what: str, frames: Iterable, total: int | None) -> Iterable:
    return frames
