"""Work that is counted, and that stops when somebody no longer wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from utils.errors import UserError
from utils.progress import Watch

Result = TypeVar("Result")
Tell = Callable[[str, int, "int | None"], None]  # what is done, how many frames of it, and of about how many
STOPPED = "Stopped. Nothing was kept."


class StoppedError(UserError):
    """Its visitor has cancelled the work, or has left."""


class Job:
    """One visitor's work in a thread of its own."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.ended = tell, threading.Event()

    def watch(self, what: str, frames: Iterable, total: int | None) -> Iterator:
        """The same frames, told one by one. Raises StoppedError once nobody wants more of them."""
        done = 0
        try:
            self.check()
            for frame in frames:
                self.check()
                yield frame
                done += 1
                self.tell(what, done, total)
        finally:
            if hasattr(frames, "close"):
                frames.close()

    def check(self) -> None:
        if self.ended.is_set():
            raise StoppedError(STOPPED)


class Jobs:
    """Runs work for visitors, each of whom can stop theirs."""

    def __init__(self) -> None:
        self.running: dict[str, set[Job]] = {}

    async def run(self, visitor: str, tell: Tell, work: Callable[[Watch], Result]) -> Result:
        """What `work` gives back, which runs in a thread and calls the watch that it is given.

        When this task is cancelled, the work is told to stop and waited for, so that none runs beside the next one.
        Raises StoppedError then, as when the visitor is gone: Gradio would leave its page waiting for an answer.
        """
        job = Job(tell)
        self.running.setdefault(visitor, set()).add(job)
        thread = asyncio.ensure_future(asyncio.to_thread(work, job.watch))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            job.ended.set()
            with suppress(Exception):
                await thread
            raise StoppedError(STOPPED) from None
        finally:
            self.running[visitor].discard(job)
            if not self.running[visitor]:
                del self.running[visitor]

    def stop(self, visitor: str) -> None:
        """Of somebody who has left"""
        for job in tuple(self.running.get(visitor, ())):
            job.ended.set()

    def stop_all(self, patience: float = 10.0) -> None:
        """Stops everybody's work, and waits for its end, so many seconds at most"""
        end = time.monotonic() + patience
        while self.running and time.monotonic() < end:
            for visitor in tuple(self.running):
                self.stop(visitor)
            time.sleep(0.05)
