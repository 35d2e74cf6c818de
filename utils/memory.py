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
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(M_TOP_PAD, 1 << 28)
