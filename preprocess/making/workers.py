"""Worker processes that outlive a file which kills one of them."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

from utils.errors import UserError, leave_signals_to_the_main, signals_wait

Item, Result = TypeVar("Item"), TypeVar("Result")


class Workers:
    """Does a job on many items in several processes. A context manager.

    >>> with Workers(4) as workers:
    ...     for item, result in workers.map(job, items):

    number: of processes; 1 works in this one, where a file that kills its process ends the run; by default as many as
    this machine has cores for each process that torchrun started on it.
    """

    def __init__(self, number: int | None) -> None:
        self.number = number or max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def map(
        self, job: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | None]]:
        """(item, its result) as they are done; the result is None for an item that killed its worker.

        Raises UserError where workers die without any item, and what the job raises.
        """
        if self.number == 1:
            yield from ((item, job(item)) for item in items)
            return
        waiting = deque(items)
        while waiting:
            suspects = yield from self._until_a_death(job, waiting)
            yield from self._one_by_one(job, suspects)

    def _until_a_death(
        self, job: Callable, waiting: deque
    ) -> Generator[tuple[Item, Result], None, list[Item]]:
        """Takes items off `waiting` until all are done or a worker dies; -> those that were in work then"""
        self.pool = self.pool or _start(self.number)
        running: dict[Future, Item] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.number:  # few, so that few come under suspicion
                    future = _submit(self.pool, job, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            self._close()
        return list(running.values())

    def _one_by_one(self, job: Callable, suspects: list) -> Iterator[tuple[Item, Result | None]]:
        """Each alone in a worker, a fresh one after each death"""
        pool = None
        try:
            for item in suspects:
                pool = pool or _start(1, checked=True)
                try:
                    result = _submit(pool, job, item).result()
                except BrokenProcessPool:
                    pool, result = pool.shutdown(), None
                yield item, result
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)

    def _close(self) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        self.pool = None


def _start(number: int, checked: bool = False) -> ProcessPoolExecutor:
    """checked: raises UserError where the worker dies of nothing at all."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers: there is one to a core
    with signals_wait():  # here Python starts a process, too, that must outlive the pool
        pool = ProcessPoolExecutor(number, get_context("spawn"), initializer=_prepare)
    if checked:
        try:
            _submit(pool, os.getpid).result()
        except BrokenProcessPool as error:
            raise UserError("worker processes die as they start; --workers 1 does without them") from error
    return pool


def _submit(pool: ProcessPoolExecutor, job: Callable, *items: object) -> Future:
    """Hands a job to a pool, which may start a worker for it; no signal shall find that one half begun."""
    with signals_wait():
        return pool.submit(job, *items)


def _prepare() -> None:
    """Ctrl-C is for the first process, which lets its workers finish the items in work; a pool ends them by SIGTERM."""
    import cv2

    threading.Thread(target=_end_with_the_main, daemon=True).start()
    leave_signals_to_the_main(signal.SIGTERM)
    cv2.setNumThreads(1)


def _end_with_the_main() -> None:
    """A pool's workers would wait for ever for the next item of a first process that was killed."""
    wait_for([parent_process().sentinel])
    os._exit(1)
