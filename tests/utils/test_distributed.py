"""Work shared by two processes of torchrun: in order, and a mistake of one ends both."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.distributed import share_out

ROOT = Path(__file__).parents[2]
TORCHRUN = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
SCRIPT = """
import sys
from argparse import Namespace
from utils.distributed import is_main, launch, rank, share_out
from utils.errors import UserError, run

def work(job):
    if job == BAD:
        raise UserError(f"job {job}: is bad")
    return job, rank()

def main(args, device):
    answers = list(share_out(range(5), work))
    if is_main():
        print(answers)

args = Namespace(cuda=False, device_ids="0")
sys.exit(run(lambda args: launch(main, args), lambda: args))
"""


def in_two_processes(bad: int | None, folder: Path) -> subprocess.CompletedProcess:
    script = folder / "script.py"
    script.write_text(f"BAD = {bad}\n{SCRIPT}")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *TORCHRUN, script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_one_process_does_all():
    assert list(share_out("abc", str.upper)) == ["A", "B", "C"]


def test_two_processes_take_turns_and_both_get_all_in_order(tmp_path):
    assert in_two_processes(None, tmp_path).stdout == "[(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]\n"


@pytest.mark.parametrize("bad", [0, 1])
def test_a_mistake_in_either_process_ends_both_and_is_said_once(bad, tmp_path):
    ended = in_two_processes(bad, tmp_path)
    assert ended.returncode and not ended.stdout
    assert ended.stderr.count(f"error: job {bad}: is bad\n") == 1 and "UserError" not in ended.stderr


SPAWNED = """
import signal, sys, time
import torch
from utils.distributed import _attend
from utils.errors import run


def child(number):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    print("ready", flush=True)
    while not stopped:
        time.sleep(0.05)
    print("saved", flush=True)
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(run(lambda _: _attend(torch.multiprocessing.spawn(child, nprocs=2, join=False)), lambda: None))
"""


def test_spawned_processes_are_told_to_stop(tmp_path):
    """A SIGTERM to the process that -device_ids 0,1 started reaches those that train."""
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    command, paths = [sys.executable, str(script)], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert printed == "saved\n" * 2 and process.returncode == 143
