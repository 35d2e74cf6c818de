"""Reading HDF5 files of others: nothing but what lies in the file itself, and never more than it can hold.

HDF5 lets a file say that its numbers lie elsewhere (links, external storage, virtual data sets), so that a store could
show its reader any file of the machine; and that a data set has more numbers than any memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import numpy as np

from data.stores.heaps import check_list
from utils.errors import UserError, reason

# What h5py and NumPy raise for files that are not what they say; a missing memory is that of a shape that lies.
FAULTS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
PLAIN = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS)


@contextmanager
def blaming(what: str, advice: str) -> Iterator[None]:
    """What goes wrong while a file is read is a UserError: what it is of, the reason, what to do."""
    try:
        yield
    except FAULTS as error:
        raise UserError(f"{what}: damaged ({reason(error, 160)}); {advice}") from error


def own(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
    """What a group holds under a path. Raises KeyError where there is nothing, ValueError where a link leads away."""
    item = group
    for name in path.split("/"):
        if not isinstance(item, h5py.Group):
            raise KeyError(f"{path} is missing")
        key = name.encode()
        if not item.id.links.exists(key):
            raise KeyError(f"{path} is missing")
        if item.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:  # before it is followed, be it to a pipe
            raise ValueError(f"{path} is a link to elsewhere")
        item = item[name]
    return item


def refuse_foreign(group: h5py.Group) -> None:
    """Raises ValueError where anything that a file holds lies elsewhere. Data sets may be stored in any other way."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link to elsewhere")
        item = group[name]
        if isinstance(item, h5py.Group):
            refuse_foreign(item)
        elif isinstance(item, h5py.Dataset):
            made = item.id.get_create_plist()
            if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
                raise ValueError(f"{name} lies in another file")


def own_dataset(group: h5py.Group, name: str, size: int) -> h5py.Dataset:
    """A data set whose numbers lie in the file of `size` bytes, back to back. Raises ValueError or KeyError."""
    data = own(group, name)
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{name} is no data set")
    made = data.id.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name} lies in another file")
    if made.get_layout() not in PLAIN:
        raise ValueError(f"{name} lies in pieces, as no store has it")
    if data.shape is None or math.prod(data.shape) * data.dtype.itemsize > size:
        raise ValueError(f"{name} claims the shape {data.shape}, more than the file can hold")
    return data


def own_array(
    group: h5py.Group, name: str, size: int, kind: str, shape: tuple[int | None, ...]
) -> h5py.Dataset:
    """As `own_dataset`, of the type `kind` and of this shape, in which None stands for any number"""
    data = own_dataset(group, name, size)
    fits = len(data.shape) == len(shape) and all(
        wanted in (None, found) for found, wanted in zip(data.shape, shape, strict=True)
    )
    if not fits or data.dtype != np.dtype(kind):
        wanted = ", ".join("any" if one is None else str(one) for one in shape)
        raise ValueError(f"{name} is {data.dtype} {data.shape}, not {np.dtype(kind)} ({wanted})")
    return data


def texts(group: h5py.Group, name: str, size: int) -> list[str]:
    """A list of texts. Raises ValueError or KeyError."""
    data = own_dataset(group, name, size)
    if data.ndim != 1 or h5py.check_string_dtype(data.dtype) is None:
        raise ValueError(f"{name} is no list of texts")
    check_list(group.file.filename, data)
    return data.asstr()[()].tolist()


def text(holder: h5py.Group, name: str) -> str:
    """An attribute that is a text. Raises ValueError or KeyError."""
    value = holder.attrs[name]
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value


def table(holder: h5py.Group, name: str) -> dict:
    """An attribute that is a dictionary in JSON. Raises ValueError or KeyError, RecursionError for a deep one."""
    value = json.loads(text(holder, name))
    if not isinstance(value, dict):
        raise ValueError(f"its {name} is no dictionary")
    return value
