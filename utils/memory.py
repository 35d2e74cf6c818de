"""How the C library keeps memory."""

from __future__ import annotations

import ctypes
from functools import lru_cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Lets the process reuse large blocks that it frees, where glibc would hand them back to the kernel each time.

    A training step on a CPU frees and takes the same gigabytes over and over; the kernel's zeroing of their pages is a
    sixth of its time. Memory in use does not fall below its peak then. Without effect on systems without glibc.
    """
    _mallopt(threshold=1 << 30, trim=(1 << 31) - 1, pad=1 << 28)


def return_freed_memory() -> None:
    """glibc's own ways again, for a process forked from one that keeps its memory

    A loader's worker keeps small arrays for long between large ones that it frees, which would leave holes for ever.
    """
    _mallopt(threshold=1 << 17, trim=1 << 17, pad=1 << 17)


def _mallopt(threshold: int, trim: int, pad: int) -> None:
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, threshold)
    mallopt(M_TRIM_THRESHOLD, trim)
    mallopt(M_TOP_PAD, pad)
