"""app.py in a process of its own, on small networks, for tests that call it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_FLAGS = [
    "--disable-dev-shm-usage",  # small in containers
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",  # a camera and a microphone
    "--use-fake-ui-for-media-stream",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]


class Server:
    """url: of the page; files(): the names of what lies in its private folder; said(): on its stderr"""

    def __init__(self, process: subprocess.Popen, url: str, folder: Path, log: Path) -> None:
        self.process, self.url, self.folder, self.log = process, url, folder, log

    @property
    def private(self) -> Path:
        (folder,) = self.folder.glob("talking-page-*")
        return folder

    def results(self) -> set[Path]:
        return set(self.private.glob("result-*"))

    def said(self) -> str:
        return self.log.read_text()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def serving(folder: Path, *flags: object, env: dict[str, str]) -> Iterator[Server]:
    """folder: where its private folder is made, and its words on stderr are kept"""
    command = [sys.executable, "app.py", "--port", str(free_port()), "--cuda", "false", *map(str, flags)]
    log = folder / "stderr.txt"
    with open(log, "w") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=env | {"TMPDIR": str(folder)},
        )  # fmt: skip
        try:
            url = process.stdout.readline().strip()  # printed once it serves, or nothing at its end
            assert url.startswith("http://127.0.0.1:"), log.read_text()
            yield Server(process, url, folder, log)
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()
