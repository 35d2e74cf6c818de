"""Unfinished files: out of others' reach while they are written, and out of the way when their writer was killed.

Each lies in a folder .NAME.partRANDOM beside its target, with a file that its writer holds a lock on. The system lets
go of the lock when the process ends, however it ends, so that a folder whose lock can be had is nobody's any more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.files.locks import LOCKED, NO_LINK, try_lock

LONGEST = 50  # characters of the target's name, so that the folder's is none too long
NEW = "~"  # ends the name of a folder whose lock is not taken yet
PATIENCE = 3600  # seconds after which such a folder is nobody's
OWNER = ".owner"
_own: set[tuple[int, int]] = set()  # device and inode of folders of this process, whose locks it must not try


@contextmanager
def private_part(path: Path) -> Iterator[Path]:
    """Gives a path in a new folder beside `path`, which only this user may enter; both are gone when the block ends.

    Raises OSError where there can be none.
    """
    with private_folder(path.parent, _beginning(path)) as folder:
        yield folder / f".part{path.suffix}"  # hidden, so that nobody who lists *.h5 takes it for one


@contextmanager
def private_folder(parent: Path, beginning: str) -> Iterator[Path]:
    """Gives a new folder in `parent` that only this user may enter, and that is gone when the block ends.

    beginning: of its name; folders of such names that killed processes of this user left there are removed first.
    Raises OSError where there can be none.
    """
    _remove_abandoned(parent, beginning)
    folder, owner, place = _make(parent, beginning)
    try:
        yield folder
    finally:
        with suppress(OSError):
            os.close(owner)
        shutil.rmtree(folder, ignore_errors=True)
        _own.discard(place)


def _beginning(path: Path) -> str:
    return f".{path.name[:LONGEST]}.part"


def _make(parent: Path, beginning: str) -> tuple[Path, int, tuple[int, int]]:
    """The folder, the handle of its lock, and where it is for the system"""
    new = tempfile.mkdtemp(suffix=NEW, prefix=beginning, dir=parent)
    folder = new.removesuffix(NEW)
    owner = os.open(os.path.join(new, OWNER), os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
    try_lock(owner)
    seen = os.stat(new)
    _own.add((seen.st_dev, seen.st_ino))
    os.rename(new, folder)
    return Path(folder), owner, (seen.st_dev, seen.st_ino)


def _remove_abandoned(parent: Path, beginning: str) -> None:
    """Removes the folders whose names begin so that killed processes of this user left."""
    entries: list[os.DirEntry] = []
    with suppress(OSError), os.scandir(parent) as found:
        entries = [entry for entry in found if entry.name.startswith(beginning)]
    for entry in entries:
        with suppress(OSError):  # of one that is no such folder, or is just going: the others are looked at
            info = entry.stat(follow_symlinks=False)
            ours = not hasattr(os, "geteuid") or info.st_uid == os.geteuid()
            there = entry.is_dir(follow_symlinks=False) and (info.st_dev, info.st_ino) not in _own
            if ours and there and _abandoned(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether nobody writes in a folder any more; False where that cannot be known"""
    if folder.name.endswith(NEW):
        return time.time() - folder.stat().st_mtime > PATIENCE
    owner = os.open(folder / OWNER, os.O_RDWR | NO_LINK)
    try:
        return try_lock(owner) is LOCKED
    finally:
        os.close(owner)
