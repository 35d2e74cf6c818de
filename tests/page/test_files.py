"""The private folder: nobody else's, swept, gone in the end."""

import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from page.files import PrivateFolder


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
        assert not list(folder.path.iterdir())
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
        assert list(folder.path.iterdir()) == [] and folder.path.exists()


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
