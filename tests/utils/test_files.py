"""Output files that are whole or absent."""

import os
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files import replacing


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    """Names and inodes in the order in which they are made safe."""
    done, target = [], tmp_path / "new" / "a.txt"
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(("sync", os.fstat(handle).st_ino))
        fsync(handle)

    def replaced(part: Path, path: Path) -> None:
        assert Path(part).read_text() == "whole"
        done.append(("replace", path))
        replace(part, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with replacing(target) as part:
        part.write_text("whole")
        assert not target.exists()
    inodes = target.stat().st_ino, target.parent.stat().st_ino
    assert done == [("sync", inodes[0]), ("replace", target), ("sync", inodes[1])]


def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    """Full disks and networks may say so only when the file is synced."""
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"a\.txt: cannot be written \(No space"), replacing(target) as part:
        part.write_text("new")
    assert target.read_text() == "old" and [*tmp_path.iterdir()] == [target]


def test_a_folder_that_cannot_be_synced_is_no_mistake(tmp_path, monkeypatch):
    opened = os.open

    def files_alone(path: Path, *more) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return opened(path, *more)

    monkeypatch.setattr(os, "open", files_alone)
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError, ValueError])
def test_a_block_that_fails_leaves_nothing(tmp_path, error):
    def write() -> None:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert not [*tmp_path.iterdir()]
