"""Libraries that write on stderr by themselves, beside the one line that says what is wrong."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ONE = threading.Lock()  # thread at a time, or one would keep what the other put in the place of stderr


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """What C code writes on stderr within the block is lost. Other threads are muted, too: keep the block short."""
    if sys.stderr:
        sys.stderr.flush()
    with ONE:
        try:
            kept = os.dup(2)
        except OSError:  # there is no stderr
            yield
            return
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)
