"""The blocks in which HDF5 keeps texts, looked at before HDF5 does: on a zeroed one its library never ends.

The HDF5 File Format Specification describes global heaps (III.E) and object headers (IV.A.1.a). Headers of the second
version, which no store of ours has, are left to HDF5.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

HEAP, HEADER = 16, 16  # bytes before a heap's first object, and before an object header's first message
ATTRIBUTE, CONTINUATION = 0x0C, 0x10  # kinds of messages
MESSAGES = 1 << 16  # of a header, at most


def check_texts(path: Path | str, item: h5py.Group) -> None:
    """Raises ValueError where a text of the group's attributes lies in a damaged block."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found: set[int] = set()
        for message in _attributes(file.fileno(), h5py.h5o.get_info(item.id).addr):
            found |= {int.from_bytes(message[i : i + 8], "little") for i in range(len(message) - 7)}
        _check_heaps(file.fileno(), (one for one in found if 0 < one <= size - HEAP), size, sure=False)


def check_list(path: Path | str, data: h5py.Dataset) -> None:
    """Raises ValueError where a text of the data set lies in a damaged block; its texts may be of any length."""
    place = data.id.get_offset()
    if data.dtype.kind != "O" or place is None:
        return
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        held = os.pread(file.fileno(), 16 * len(data), place)
        texts = np.frombuffer(
            held[: len(held) // 16 * 16], [("length", "<u4"), ("heap", "<u8"), ("n", "<u4")]
        )
        _check_heaps(file.fileno(), np.unique(texts["heap"][texts["length"] > 0]).tolist(), size, sure=True)


def _attributes(file: int, place: int) -> Iterator[bytes]:
    """The messages that are attributes, of the object header there"""
    start = os.pread(file, HEADER, place)
    if start[:1] != b"\x01":
        return
    blocks, count = [(place + HEADER, int.from_bytes(start[8:12], "little"))], 0
    while blocks and count < MESSAGES:
        place, length = blocks.pop(0)
        held, here = os.pread(file, min(length, 1 << 20), place), 0
        while here + 8 <= len(held):
            kind, size = (int.from_bytes(held[here + i : here + i + 2], "little") for i in (0, 2))
            message = held[here + 8 : here + 8 + size]
            here, count = here + 8 + size, count + 1
            if kind == ATTRIBUTE:
                yield message
            elif kind == CONTINUATION and len(message) >= 16 and len(blocks) < 1000:
                blocks.append(tuple(int.from_bytes(message[i : i + 8], "little") for i in (0, 8)))
                if max(blocks[-1]) >= 2**62:
                    raise ValueError("its header leads out of the file")


def _check_heaps(file: int, places: Iterable[int], size: int, sure: bool) -> None:
    """sure: all places are heaps; otherwise those that begin like one"""
    for place in places:
        if place > size - HEAP:
            raise ValueError("its texts lie beyond the file")
        start = os.pread(file, HEAP, place)
        if start[:4] == b"GCOL":
            length = int.from_bytes(start[8:16], "little")
            _check_heap(os.pread(file, min(length, size), place), length)
        elif sure:
            raise ValueError("its texts are damaged")


def _check_heap(held: bytes, length: int) -> None:
    if len(held) < length:
        raise ValueError("its texts go on beyond the file")
    here = HEAP
    while here + 16 <= length:
        number = int.from_bytes(held[here : here + 2], "little")
        size = int.from_bytes(held[here + 8 : here + 16], "little")
        needed = (
            size if number == 0 else 16 + -(-size // 8) * 8
        )  # number 0: what is free, with its own header
        if needed < 16 or here + needed > length:
            raise ValueError("its texts are damaged")
        here += needed
