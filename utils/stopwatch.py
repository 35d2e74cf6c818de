"""How long each stage of a stream takes, also where one draws on the other and where threads share the work."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Seconds by stage. A stage that starts within another one stops that one's time until it ends; each thread has its
    own.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.began = time.perf_counter()
        self.first: float | None = None  # seconds from the beginning to the first `mark`
        self._threads = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        running = self._threads.__dict__.setdefault("running", [])
        self._charge(running)
        running.append(name)
        try:
            yield
        finally:
            self._charge(running)
            running.pop()

    def through(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; what it takes to make each is the stage's time"""
        made = iter(items)
        try:
            while True:
                with self.stage(name):
                    try:
                        item = next(made)
                    except StopIteration:
                        return
                yield item
        finally:
            if hasattr(made, "close"):
                made.close()

    def mark(self) -> None:
        """Notes the first time that something is there to be seen"""
        if self.first is None:
            self.first = time.perf_counter() - self.began

    def _charge(self, running: list[str]) -> None:
        now = time.perf_counter()
        if running:
            self.seconds[running[-1]] += now - self._threads.since
        self._threads.since = now
