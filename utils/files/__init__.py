"""Output files that are whole or absent, alone or as a set."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from utils.errors import UserError
from utils.files.locks import Lock
from utils.files.parts import private_part


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, whole or not at all; of names in it that are no text the odd bytes are escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


class Group:
    """Files whose names are replaced together: what is written (part, its name), and what removes the parts"""

    def __init__(self, parts: ExitStack) -> None:
        self.parts, self.ready = parts, []


_group: ContextVar[Group | None] = ContextVar("group", default=None)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`: moved onto it when the block ends well, removed when it does not.

    An existing file thus stays until the new one is whole, on the disk too. The temporary file is in a folder that
    nobody else may open; what a killed process left for the same `path` is removed first. Within `replacing_together`
    it is moved when that block ends. Raises UserError where the folder cannot be written.
    """
    path, group = Path(path), _group.get()
    with ExitStack() as own, _saying(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = (group.parts if group else own).enter_context(private_part(path))
        yield part
        _sync(part)  # or a power cut could leave the new name with an empty file
        if group:
            group.ready.append((part, path))
        else:
            _replace([(part, path)])


@contextmanager
def replacing_together(place: Path) -> Iterator[None]:
    """Every file that `replacing` makes in the block is moved to its place at the end, all of them or none.

    place: what the files are called by; no other process may write by that name meanwhile. Before the first is moved
    all are on the disk. Where one cannot be moved, those before it are taken back, so that after an error, Ctrl-C or
    SIGTERM all is as it was; only a process that is killed just between two moves leaves some new and some old ones.
    Raises UserError as `replacing` does, and where another process is at it.
    """
    with Lock(place, "is being written"), ExitStack() as parts:
        group = Group(parts)
        token = _group.set(group)
        try:
            yield
        finally:
            _group.reset(token)
        _replace(group.ready)


def _replace(made: list[tuple[Path, Path]]) -> None:
    """Moves each (part, path) to its path, all or none. Raises UserError."""
    several, done = len(made) > 1, []
    kept = [_keep(part, path) if several else None for part, path in made]
    try:
        for (part, path), old in zip(made, kept, strict=True):
            done.append((path, old))
            with _saying(path):
                os.replace(part, path)
    except BaseException:
        for path, old in reversed(done if several else []):
            with suppress(OSError):
                os.replace(old, path) if old else path.unlink()
        raise
    for folder in {path.parent for _, path in made}:
        with suppress(OSError):  # not every system opens folders
            _sync(folder)


def _keep(part: Path, path: Path) -> Path | None:
    """What `path` is before it is replaced, by a second name beside `part`; None where it is nothing"""
    old = part.with_name(".old")
    with _saying(path):
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError("a folder has this name")
        if not os.path.lexists(path):
            return None
        try:
            os.link(path, old, follow_symlinks=False)
        except (OSError, NotImplementedError):
            shutil.copy2(path, old, follow_symlinks=False)
    return old


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """An OSError becomes a UserError that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); choose another folder"
        ) from error


def _sync(path: Path) -> None:
    """Returns when what was written to the file, or the names in the folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def writable_folder(folder: Path) -> Path:
    """Creates `folder` where it is missing. Raises UserError where files cannot be made in it."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return folder
