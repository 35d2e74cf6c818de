"""Output files that are whole or absent."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files import replacing, replacing_together

ROOT = Path(__file__).parents[2]


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


def makes(folder: Path, names: str, fails_at: str = "", error: type[BaseException] = ValueError) -> None:
    """Writes "new" by each name of a set, and has an accident at one of them."""
    with replacing_together(folder / names[0]):
        for name in names:
            with replacing(folder / name) as part:
                part.write_text("new")
                if name == fails_at:
                    raise error
                assert not (folder / name).exists() or (folder / name).read_text() == "old"


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_set_appears_whole(tmp_path):
    (tmp_path / "a").write_text("old")
    makes(tmp_path, "abc")
    assert contents(tmp_path) == dict.fromkeys("abc", "new")


@pytest.mark.parametrize("name", "abc")
@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError, ValueError, OSError])
def test_an_accident_in_a_set_changes_nothing(name, error, tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UserError if error is OSError else error):
        makes(tmp_path, "abc", name, error)
    assert contents(tmp_path) == dict(a="old")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_move_that_fails_takes_back_those_before(number, error, late, tmp_path, monkeypatch):
    """Just before the move of a file, or just after it"""
    (tmp_path / "a").write_text("old")
    (tmp_path / "c").symlink_to("a")
    moved, replace = [], os.replace

    def fails(part: Path, path: Path) -> None:
        if len(moved) == number and not late:
            moved.append(path)
            raise error
        replace(part, path)
        moved.append(path)
        if len(moved) == number + 1 and late:
            raise error

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else UserError):
        makes(tmp_path, "abc")
    assert contents(tmp_path) == dict(a="old", c="old") and (tmp_path / "c").is_symlink()


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_in_the_place_of_one_file_spares_the_others(links, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", lambda *_, **__: os.stat("/nowhere"))
    with pytest.raises(UserError, match="b: cannot be written"):
        makes(tmp_path, "acb")
    (tmp_path / "b").rmdir()
    assert contents(tmp_path) == dict(a="old")
    makes(tmp_path, "acb")
    assert contents(tmp_path) == dict.fromkeys("acb", "new")


@pytest.mark.parametrize("sizes", [(100_000, 10), (10, 100_000), (40_000, 40_000)])
def test_a_full_disk_keeps_the_old_set(small_disk, sizes):
    disk = small_disk(64)
    for name in "ab":
        (disk / name).write_text("old")
    with pytest.raises(UserError, match="No space left"), replacing_together(disk / "a"):  # noqa: PT012
        for name, size in zip("ab", sizes, strict=True):
            with replacing(disk / name) as part:
                part.write_bytes(bytes(size))
    assert contents(disk) == dict(a="old", b="old")


def test_parts_are_private_and_their_files_as_others(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("new")
            assert part.parent.stat().st_mode & 0o777 == 0o700 and part.suffix == ".txt"
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_no_planted_link_is_followed(tmp_path, monkeypatch):
    """Neither one of the final name nor one of a name that somebody guessed"""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.txt").symlink_to("precious")
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: iter(["guessed", "not_guessed"]))
    (tmp_path / ".a.txt.partguessed~").symlink_to(tmp_path)
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "a.txt").is_symlink()


def test_long_names_have_parts_too(tmp_path):
    for name in ("a" * 255, "\N{GRINNING FACE}" * 63):
        with replacing(tmp_path / name) as part:
            part.write_text("new")
        assert (tmp_path / name).read_text() == "new"


WRITER = """
import signal, sys, time
from pathlib import Path
from utils.files import replacing
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def writer(path: Path) -> subprocess.Popen:
    """A process that has half written a file, and goes on when its standard input is closed"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], env=os.environ | dict(PYTHONPATH=ROOT), **pipes
    )
    assert process.stdout.readline() == "begun\n"
    return process


def write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_what_a_killed_process_left_goes_with_the_next(number, tmp_path):
    with writer(tmp_path / "a.txt") as killed:
        killed.send_signal(number)
    (tmp_path / ".b.txt.partabcdefgh").mkdir()  # somebody else's
    assert len([*tmp_path.glob(".a.txt.part*")]) == 1
    write(tmp_path / "a.txt", "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".b.txt.partabcdefgh", "a.txt"]


def test_what_a_living_process_writes_stays(tmp_path):
    with writer(tmp_path / "a.txt") as other:
        write(tmp_path / "a.txt", "new")
        assert len([*tmp_path.glob(".a.txt.part*")]) == 1
        with replacing(tmp_path / "a.txt") as part:  # neither does one's own get in the way
            part.write_text("newer")
            write(tmp_path / "a.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "newer"
        other.stdin.close()
    assert other.returncode == 0 and contents(tmp_path) == {"a.txt": "half"}


@pytest.mark.parametrize("absolute", [False, True])
def test_files_whose_long_names_begin_alike_spare_each_other(tmp_path, monkeypatch, absolute):
    """Also in a relative folder: from Python 3.12 on mkdtemp gives absolute names there"""
    monkeypatch.chdir(tmp_path)
    make = tempfile.mkdtemp
    if absolute:
        monkeypatch.setattr(tempfile, "mkdtemp", lambda **named: os.path.abspath(make(**named)))
    names = [Path("results") / f"{'n' * 60}{ending}.txt" for ending in ("", "_panel", "_full")]
    with replacing_together(Path("results/n")), ExitStack() as stack:
        for name in names:
            stack.enter_context(replacing(name)).write_text(name.name)
    assert [name.read_text() for name in names] == [name.name for name in names]


def test_what_is_no_folder_of_ours_does_not_keep_others_from_being_removed(tmp_path):
    for number in range(
        4
    ):  # in whatever order they are found: two without a lock, two that a killed process left
        folder = tmp_path / f".a.txt.part{number}"
        folder.mkdir()
        if number % 2:
            (folder / ".owner").touch()
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.txt.part0", ".a.txt.part2", "a.txt"]


def test_git_ignores_what_is_unfinished():
    names = [".grid.h5.part0a1b2c3d/.part.h5", ".demo.part~/.owner", ".grid.h5.lock"]
    told = subprocess.run(
        ["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if told.returncode == 128:
        pytest.skip("not a git repository")
    assert told.stdout.split() == names
