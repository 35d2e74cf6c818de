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

    def put(item: tuple) -> bool:
        while not stop.is_set():
            try:
                made.put(item, timeout=WAIT)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put((item, None)):
                    break
            else:
                put((None, StopIteration()))
        except BaseException as error:  # it is raised again where it is waited for
            put((None, error))
        finally:
            if hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=work, daemon=True)
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
