"""The private folder: nobody else's, swept, gone in the end."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from page.files import PrivateFolder

ROOT = Path(__file__).parents[2]


def test_it_is_private_and_goes_with_all_it_holds(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    before = tempfile.gettempdir()
    with PrivateFolder() as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder.path) == tempfile.gettempdir()
        (folder.path / "deep").mkdir()
        (folder.path / "deep/file").write_text("x")
    assert not folder.path.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ and tempfile.gettempdir() == before


def half_done(folder: PrivateFolder) -> None:
    with folder.results() as results:
        (results / "half.mp4").write_text("x")
        raise KeyError


def test_what_fails_leaves_no_results():
    with PrivateFolder() as folder:
        with pytest.raises(KeyError):
            half_done(folder)
        assert not list(folder.path.glob("[!.]*"))
        with folder.results() as made:
            (made / "whole.mp4").write_text("x")
        assert (made / "whole.mp4").exists()


def test_only_old_files_are_swept():
    with PrivateFolder(kept=100) as folder:
        with folder.results() as old, folder.results() as new:
            (old / "a.mp4").write_text("x")
            (new / "b.mp4").write_text("x")
        hour_ago = time.time() - 3600
        os.utime(old / "a.mp4", (hour_ago, hour_ago))
        folder.sweep()
        assert not (old / "a.mp4").exists() and (new / "b.mp4").exists()
        folder.sweep(time.time() + 3600)
        assert not list(folder.path.glob("[!.]*")) and folder.path.exists()


def test_what_it_holds(tmp_path):
    with PrivateFolder() as folder:
        (folder.path / "link").symlink_to("/etc/passwd")
        assert folder.holds(f"{folder.path}/a/b.png") and folder.holds(str(folder.path))
        for path in ("/etc/passwd", f"{folder.path}/../x", f"{folder.path}x", "link", f"{folder.path}/link"):
            assert not folder.holds(path)
        assert not folder.holds("https://example.com/a.png") and not folder.holds("a\0b")


def test_messages_say_base_names_alone():
    with PrivateFolder() as folder:
        place = folder.path / "0a1b" / "my photo.png"
        assert folder.public(f"{place}: no face; not {place}") == "my photo.png: no face; not my photo.png"
        assert folder.public("/elsewhere/a.png: b") == "/elsewhere/a.png: b"
        assert Path(folder.public(str(folder.path / "x.wav"))) == Path("x.wav")


def test_folders_of_killed_pages_go_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import sys, time; from page.files import PrivateFolder\n"
        "with PrivateFolder() as folder: print(folder.path, flush=True); time.sleep(600)"
    )
    pages = [
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    killed, living = (Path(page.stdout.readline().strip()) for page in pages)
    pages[0].kill()
    pages[0].wait()
    (tmp_path / "talking-page-other").mkdir()  # nobody's lock is in it
    for folder in (killed, living, tmp_path / "talking-page-other"):
        os.utime(folder, (0, 0))
    try:
        with PrivateFolder():
            assert not killed.exists() and living.exists() and (tmp_path / "talking-page-other").exists()
    finally:
        pages[1].kill()
        pages[1].wait()
