"""Loader workers: how many, what signals do to them, and that they never outlive the process that they work for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data import loader

ROOT = Path(__file__).parents[2]
MAIN = """
import signal, sys, time
import torch
from data.loader import step_loader
from torch.utils.data import Dataset

class Numbers(Dataset):
    def __getitem__(self, number):
        return torch.tensor(number)

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
batches = iter(step_loader(Numbers(), 0, 10**6, 2, 2))
next(batches), next(batches)
print(*(worker.pid for worker in batches._workers), flush=True)
while not heard:
    next(batches)
for _ in range(20):
    next(batches)
print("went on", flush=True)
if sys.argv[1] == "error":
    raise ValueError("in the loop")
time.sleep(100 if sys.argv[1] == "killed" else 0)
"""


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at Linux's list of processes")
@pytest.mark.parametrize(("end", "status"), [("normal", 0), ("error", 1), ("killed", -signal.SIGKILL)])
def test_a_signal_to_the_group_leaves_workers_to_the_main_process(end, status):
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    with subprocess.Popen([sys.executable, "-c", MAIN, end], env=environment, **pipes) as main:
        workers = [int(pid) for pid in main.stdout.readline().split()]
        assert len(workers) == 2 and all(map(running, workers))
        os.killpg(main.pid, signal.SIGTERM)
        assert main.stdout.readline() == "went on\n"
        if end == "killed":
            main.kill()
        try:
            _, errors = main.communicate(timeout=20)
        finally:
            main.kill()
    assert main.returncode == status
    assert ("ValueError: in the loop" in errors) == (end == "error") and "DataLoader worker" not in errors
    patience = time.time() + 15  # a worker looks for its main process every five seconds
    while any(map(running, workers)) and time.time() < patience:
        time.sleep(0.1)
    assert not any(map(running, workers))


def test_the_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, processes, workers in [(1, 1, 1), (4, 1, 3), (64, 1, 8), (64, 8, 7), (128, 8, 8), (8, 8, 1)]:
        monkeypatch.setattr(loader.os, "sched_getaffinity", lambda _, n=cores: range(n), raising=False)
        monkeypatch.setattr(
            loader, "world_size", lambda n=processes: n
        )  # -device_ids: all are on this machine
        assert loader.default_workers() == workers
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # torchrun, on two machines
    assert loader.default_workers() == 1
