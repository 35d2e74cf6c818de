"""One process at a time: advisory locks that vanish with the process that holds them, however it ends.

They are POSIX record locks, which NFS has too, and which a forked process does not inherit. Where a file system has no
locks at all, everybody gets on without.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from weakref import finalize

from utils.errors import UserError, note, reason

try:
    import fcntl
except ImportError:  # not every system has it
    fcntl = None

LOCKED, HELD, NO_LOCKS = "locked", "held by another process", "no locks here"
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
TRIES = 20  # each fails only where another process ended just then
_held: dict[Path, finalize] = {}  # what lets go of the locks of this process


def try_lock(handle: int) -> str:
    """Locks an open file for this process, if no other has: -> LOCKED, HELD or NO_LOCKS"""
    if fcntl is None:
        return NO_LOCKS
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return HELD if error.errno in (errno.EACCES, errno.EAGAIN) else NO_LOCKS
    return LOCKED


class Lock:
    """`with Lock(path, "is being made"):` keeps other processes from doing the same to `path`, a file or a folder.

    A small hidden file beside `path`, or in that folder, is locked; it goes when the block ends, and what a killed
    process left of it hinders nobody. Raises UserError, which says who is at it, where another process is.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = Path(path), what
        self._end: finalize | None = None

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> None:
        if fcntl is None:
            return
        try:
            self.file = lock_file(self.path)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(TRIES):
                if self._try():
                    return
        except OSError as error:
            what = "can be given to one process at a time"
            raise UserError(
                f"{self.file}: cannot be written ({reason(error, 100)}), so that nothing {what}; choose another "
                "folder, or remove that file where it is nobody's"
            ) from error
        raise UserError(f"{self.path}: {self.what} by others again and again; try later")

    def _try(self) -> bool:
        """-> False where the file was removed meanwhile. Raises UserError where another process has the lock."""
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        got = try_lock(handle)
        if got is HELD:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise UserError(
                f"{self.path}: {self.what} by {holder}; wait until it ends, or choose another name"
            )
        if not _same(handle, self.file):
            os.close(handle)
            return False
        if got is NO_LOCKS:
            note(f"{self.path}: the file system has no locks; see that no other run writes it")
        earlier = _held.get(self.file)
        if earlier:  # of this process, which would let go of both
            earlier.detach()
        self._end = _held[self.file] = finalize(self, _let_go, handle, self.file, os.getpid())
        with suppress(OSError):  # a full disk: the lock is there, its holder's name is not
            os.ftruncate(handle, 0)
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}, since {now}\n".encode(), 0)
        return True

    def close(self) -> None:
        if self._end:
            self._end()


def _let_go(handle: int, file: Path, process: int) -> None:
    """At the end of the block, of the lock's object, or of the process"""
    if process != os.getpid():  # a forked one has no part in it
        return
    _held.pop(file, None)
    with suppress(OSError):
        file.unlink()  # while it is held, or another could take it in between
    with suppress(OSError):
        os.close(handle)


def lock_file(path: Path) -> Path:
    """grid.h5 -> .grid.h5.lock; a folder -> .lock inside"""
    if path.is_dir():
        return path / ".lock"
    name = path.name
    if len(os.fsencode(name)) > 200:
        name = f"{name[:40]}.{sha256(os.fsencode(name)).hexdigest()[:16]}"
    return path.with_name(f".{name}.lock")


def _same(handle: int, file: Path) -> bool:
    """Whether an open file is still what its name says"""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
