"""Jobs in several processes: everything is done once, and what kills a worker is found."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.making import workers
from preprocess.making.workers import Workers
from tests.data.test_loader import running
from utils.errors import UserError

ROOT = Path(__file__).parents[2]
DEADLY = {3, 11}


def square(number: int) -> int:
    if number in DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def fail(number: int) -> None:
    raise ValueError(number)


@pytest.mark.parametrize("number", [1, 2])
def test_every_item_is_done_once(number):
    with Workers(number) as pool:
        for items in ([1, 2, 4, 5, 6, 7], [], [8]):  # the same workers for each
            assert sorted(pool.map(square, items)) == [(item, item**2) for item in items]


def test_items_that_kill_their_worker_are_found_and_the_others_done():
    items = range(16)
    with Workers(2) as pool:
        results = list(pool.map(square, items))
        assert sorted(pool.map(square, [20, 21])) == [(20, 400), (21, 441)]
    assert sorted(item for item, _ in results) == list(items)
    assert dict(results) == {item: None if item in DEADLY else item**2 for item in items}


def test_what_a_job_raises_is_raised_here():
    with Workers(2) as pool, pytest.raises(ValueError, match="7"):
        list(pool.map(fail, [7]))


def die() -> None:
    os._exit(1)


def test_workers_that_cannot_start_are_no_items_fault(monkeypatch):
    monkeypatch.setattr(workers, "_prepare", die)
    with Workers(2) as pool, pytest.raises(UserError, match="die as they start"):
        list(pool.map(square, [1, 2]))


def test_by_default_a_worker_for_each_core_of_each_process(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert Workers(None).number == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert Workers(None).number == 2 and Workers(5).number == 5


MAIN = """
import time
from threading import Timer
from preprocess.making.workers import Workers

def say() -> None:
    print(*workers.pool._processes, flush=True)

with Workers(2) as workers:
    for item, _ in workers.map(time.sleep, [0, 0, 100, 100]):
        if len(workers.pool._processes) == 2:
            Timer(0.5, say).start()
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at Linux's list of processes")
def test_workers_do_not_outlive_a_killed_first_process():
    environment = os.environ | dict(PYTHONPATH=str(ROOT))
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", MAIN], env=environment, **pipes) as main:
        pids = [int(pid) for pid in main.stdout.readline().split()]
        assert len(pids) == 2 and all(map(running, pids))
        main.kill()
        main.communicate(timeout=20)  # the workers have the other ends of the pipes
    assert not any(map(running, pids))
