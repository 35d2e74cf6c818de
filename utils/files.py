"""Output files that are whole or absent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`: moved onto it when the block ends well, removed when it does not.

    An existing file thus stays until the new one is whole, on the disk too. Raises UserError where the folder cannot be
    written.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _sync(part)  # or a power cut could leave the new name with an empty file
        os.replace(part, path)
        with suppress(OSError):  # not every system opens folders
            _sync(path.parent)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


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
