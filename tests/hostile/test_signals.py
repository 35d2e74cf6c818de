"""Signals while worker processes start: the end is quiet, in good order, and leaves nobody behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.data.test_loader import running
from tests.hostile.test_kills import AT
from tests.raw_corpus import make_video, save_landmarks
from tests.synthetic import make_store

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at Linux's list of processes")
ROOT = Path(__file__).parents[2]
ENDINGS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hung up"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    make_store(folder / "grid.h5", size=64)
    for number in range(4):
        points = make_video(folder / f"raw/s1/clip{number}.mp4", frames=8, seed=number)
        save_landmarks(folder / "landmarks", f"s1/clip{number}", points)
    return folder


def command(script: str, home: Path, out: Path) -> list[object]:
    if script == "grid":
        places = [home / "raw", out / "made.h5", "--landmarks", home / "landmarks"]
        return ["-m", "preprocess.grid", *places, "--workers", 2]
    flags = [
        "-dataset_dir",
        home / "grid.h5",
        "-splits",
        home / "splits",
        "-cuda",
        "false",
        "-steps",
        10**5,
        *AT,
    ]
    return ["atnet.py", *flags, "-model_dir", out, "-sample_dir", out]


def descendants(process: int) -> set[int]:
    """Those that run, of Python"""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if b"python" in words:
            parents[int(stat.parent.name)] = int(fields[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def begun(words: Sequence[object], workers: int) -> subprocess.Popen:
    """A script whose first workers have just appeared"""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, env=environment, **pipes)
    patience = time.monotonic() + 60
    while len(descendants(process.pid)) < workers and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("ending", ENDINGS, ids=["INT", "TERM", "HUP"])
@pytest.mark.parametrize(("script", "workers"), [("grid", 2), ("atnet", 2)])
def test_a_signal_while_workers_start(script, workers, ending, home, tmp_path):
    number, status, word = ending
    group = number != signal.SIGTERM  # to all, as from a terminal, or to the first process alone
    with begun(command(script, home, tmp_path), workers) as process:
        time.sleep(0.1 * group)  # at two moments
        others = descendants(process.pid)
        (os.killpg if group else os.kill)(process.pid, number)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == status, errors
    assert "Traceback" not in errors and errors.splitlines()[-1].startswith(word), errors
    patience = time.monotonic() + 10
    while any(map(running, others)) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not any(map(running, others)) and not [*tmp_path.rglob(".*")]
