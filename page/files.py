"""The page's own folder: uploads, results and examples, seen by nobody else, gone in the end."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from utils.files.parts import OWNER, private_folder

BEGINNING = "talking-page-"  # of the folder's name
KEPT = 3600.0  # seconds for which a visitor's files stay
SWEPT = 60.0  # seconds between two looks for older ones


class PrivateFolder:
    """`with PrivateFolder() as folder:` makes one that only its owner can enter, and removes it with all that it holds.

    Inside, Gradio's uploads and every temporary file go there too: Gradio must be imported after that, for it asks
    where its files go when it makes its components.
    """

    def __init__(self, kept: float = KEPT) -> None:
        self.kept = kept
        self.path = Path()
        self._ended = threading.Event()

    def __enter__(self) -> PrivateFolder:
        self._stack = ExitStack()
        self.path = self._stack.enter_context(
            private_folder(Path(tempfile.gettempdir()).resolve(), BEGINNING)
        )
        self._before = tempfile.tempdir, {name: os.environ.get(name) for name in self._names()}
        for name, place in self._names().items():
            os.environ[name] = str(place)
        tempfile.tempdir = str(self.path)
        threading.Thread(target=self._sweep_on, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        tempfile.tempdir, before = self._before
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self._stack.close()

    @property
    def examples(self) -> Path:
        return self.path / "examples"

    @contextmanager
    def results(self) -> Iterator[Path]:
        """A new folder with a name that nobody guesses; removed where what is made in it fails."""
        folder = Path(tempfile.mkdtemp(prefix="result-", dir=self.path))
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def holds(self, path: str) -> bool:
        """Whether a path, with all its links followed, leads into this folder"""
        with suppress(OSError, ValueError):
            return Path(path).resolve().is_relative_to(self.path)
        return False

    def public(self, message: str) -> str:
        """A message with the names of this folder's files alone, without where they lie"""
        return re.sub(rf"{re.escape(str(self.path))}/(?:[^/\s]+/)*", "", message)

    def sweep(self, now: float | None = None) -> None:
        """Removes files that are older than `kept` seconds, and folders that hold nothing any more."""
        oldest = (time.time() if now is None else now) - self.kept
        for root, _, files in os.walk(self.path, topdown=False):
            for name in files:
                if name == OWNER:
                    continue
                with suppress(OSError):
                    if (file := Path(root) / name).stat().st_mtime < oldest:
                        file.unlink()
            with suppress(OSError):
                if Path(root) != self.path and Path(root).stat().st_mtime < oldest:
                    os.rmdir(root)

    def _names(self) -> dict[str, Path]:
        return {"GRADIO_TEMP_DIR": self.path, "GRADIO_EXAMPLES_CACHE": self.path / "cached"}

    def _sweep_on(self) -> None:
        while not self._ended.wait(min(SWEPT, self.kept)):
            self.sweep()
