"""What a command made is kept until the command or its inputs change; what was stopped goes on."""

import os
import time
from argparse import Namespace
from pathlib import Path

import pytest

from reports import runs
from utils.errors import UserError

SCRIPT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "steps").open("a") as steps:
    steps.write(sys.argv[1])
if "stop" in sys.argv or not pathlib.Path(sys.argv[2]).exists():
    sys.exit(130)
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A root with one script, which adds its first argument to a file `steps` and wants its second one to exist"""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "weights").touch()
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    return tmp_path


def ask(place: Path, step: str = "a", resumes: bool = False) -> str:
    """Runs the script in a new `Runs` -> all steps that its folder has seen"""
    made = runs.Runs(Namespace(o=place / "out", dataset_dir=place, splits=None))
    folder = made("one", "script.py", step, place / "weights", place / "out/one", resumes=resumes)
    return (folder / "steps").read_text()


def test_what_was_made_is_kept_until_command_or_input_change(place):
    assert ask(place) == ask(place) == "a"
    assert ask(place, "b") == "b"  # in an emptied folder
    later = time.time() + 60
    os.utime(place / "weights", (later, later))
    (place / "out/one/steps").write_text("old")
    assert ask(place, "b") == ask(place, "b") == "b"
    (place / "weights").unlink()
    with pytest.raises(UserError, match=r"script.py ended with status 130"):
        ask(place, "b")


def test_what_was_stopped_goes_on_and_another_command_does_not_take_its_folder(place):
    for _ in range(2):
        (place / "weights").unlink(missing_ok=True)
        with pytest.raises(UserError, match="status 130"):
            ask(place, resumes=True)
    (place / "weights").touch()
    assert ask(place, resumes=True) == "aaa"
    assert ask(place, resumes=True) == "aaa"
    with pytest.raises(UserError, match="delete it"):
        ask(place, "b", resumes=True)
    assert (place / "out/one/steps").read_text() == "aaa"
