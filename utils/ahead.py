"""Makes what is next while the last is still at work: a generator in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
WAIT = 0.1  # seconds after which a waiting maker looks whether anybody still wants what it made


def ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items, of which up to `depth` are made in another thread before they are asked for

    An exception of the maker is raised here, in its place. Where this generator ends early the maker is closed, in its
    own thread, before the end is reported.
    """
    made: queue.Queue = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, stop), daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()


def _make(items: Iterable, made: queue.Queue, stop: threading.Event) -> None:
    """Puts each item with None, and in the end None with the exception that ended it, until it is told to stop."""
    source = iter(items)
    try:
        for item in source:
            if not _put(made, (item, None), stop):
                break
        else:
            _put(made, (None, StopIteration()), stop)
    except BaseException as error:  # it is raised again where it is waited for
        _put(made, (None, error), stop)
    finally:
        if hasattr(source, "close"):
            source.close()


def _put(made: queue.Queue, item: tuple, stop: threading.Event) -> bool:
    """-> whether anybody wanted it"""
    while not stop.is_set():
        try:
            made.put(item, timeout=WAIT)
        except queue.Full:
            continue
        return True
    return False
