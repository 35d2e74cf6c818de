"""One process at a time, and none for ever."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files.locks import Lock, lock_file

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from utils.errors import run
from utils.files.locks import Lock

def main(path):
    with Lock(path, "is being made"):
        print("taken", flush=True)
        sys.stdin.read()

sys.exit(run(main, lambda: sys.argv[1]))
"""


def holder(path: Path) -> subprocess.Popen:
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], env=os.environ | dict(PYTHONPATH=ROOT), **pipes
    )


@pytest.mark.parametrize("name", ["grid.h5", "a" * 255, ""])
def test_the_second_is_told_who_is_the_first(name, tmp_path):
    with holder(tmp_path / name) as first:
        assert first.stdout.readline() == "taken\n"
        with holder(tmp_path / name) as second:
            out, said = second.communicate(timeout=60)
        assert second.returncode == 2 and out == "" and said.count("\n") == 1
        assert said.startswith(f"error: {tmp_path / name}: is being made by process {first.pid} on ")
        first.stdin.close()
    assert first.returncode == 0 and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_lock_ends_with_its_process(number, tmp_path):
    with holder(tmp_path / "a") as first:
        assert first.stdout.readline() == "taken\n"
        first.send_signal(number)
    with Lock(tmp_path / "a", "is being made"):
        assert lock_file(tmp_path / "a").read_text().startswith(f"process {os.getpid()} on ")
    assert not [*tmp_path.iterdir()]


def test_a_forked_process_neither_holds_nor_ends_it(tmp_path):
    with Lock(tmp_path / "a", "is being made") as lock:
        if (child := os.fork()) == 0:
            lock.close()
            os._exit(0 if lock_file(tmp_path / "a").exists() else 1)
        assert os.waitpid(child, 0)[1] == 0
        with holder(tmp_path / "a") as second:
            assert second.wait(60) == 2


def test_the_same_process_may_take_it_again(tmp_path):
    """As tests do, and a loop after an error"""
    first = Lock(tmp_path / "a", "is being made")
    first.take()
    with Lock(tmp_path / "a", "is being made"):
        del first
        with holder(tmp_path / "a") as other:
            assert other.wait(60) == 2
    assert not [*tmp_path.iterdir()]


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", fails)
    with Lock(tmp_path / "a", "is being made"):
        assert capsys.readouterr().err == (
            f"note: {tmp_path / 'a'}: the file system has no locks; see that no other run writes it\n"
        )


def test_no_planted_link_is_locked(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".a.lock").symlink_to("precious")
    with pytest.raises(UserError, match=r"a\.lock: cannot be written"):
        Lock(tmp_path / "a", "is being made").take()
    assert (tmp_path / "precious").read_text() == "precious"
