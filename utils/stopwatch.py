"""How long each stage of a stream takes, also where one draws on the other and where threads share the work."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
ONCE = ("load",)  # stages that do not grow with the number of frames
IMPORTED = time.perf_counter()


class Stopwatch:
    """Seconds by stage. A stage that starts within another one stops that one's time until it ends; each thread has its
    own.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.began = time.perf_counter()
        self.first: float | None = None  # seconds from the start of the process to the first `mark`
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
            self.first = process_seconds()

    def _charge(self, running: list[str]) -> None:
        now = time.perf_counter()
        if running:
            self.seconds[running[-1]] += now - self._threads.since
        self._threads.since = now


def process_seconds() -> float:
    """How long this process has been running, its start-up and imports too"""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):  # not Linux: since this module was imported
        return time.perf_counter() - IMPORTED


def report(clock: Stopwatch, frames: int) -> str:
    """A table: stages, their seconds, and milliseconds a frame"""
    whole = time.perf_counter() - clock.began
    first = (
        ""
        if clock.first is None
        else f"; the first was written {clock.first:.2f} s after the start of the process"
    )
    lines = [f"{frames} frames in {whole:.2f} s{first}", f"{'stage':<10} {'seconds':>8} {'ms a frame':>11}"]
    for name, seconds in clock.seconds.items():
        each = "" if name in ONCE else f"{1000 * seconds / max(frames, 1):.2f}"
        lines.append(f"{name:<10} {seconds:>8.2f} {each:>11}".rstrip())
    return "\n".join(lines)
