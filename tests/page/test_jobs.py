"""Work that is counted and that stops."""

import asyncio
import threading
import time

import pytest

from page.jobs import Job, Jobs, StoppedError

QUIET = lambda *_: None  # noqa: E731


def test_frames_are_counted():
    told = []
    job = Job(lambda *line: told.append(line))
    assert list(job.watch("frames", iter("abc"), 3)) == ["a", "b", "c"]
    assert told == [("frames", 1, 3), ("frames", 2, 3), ("frames", 3, 3)]


def test_a_stopped_job_closes_what_it_draws_on():
    closed = []

    def frames():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    job = Job(QUIET)
    watched = job.watch("frames", frames(), 9)
    next(watched)
    job.ended.set()
    with pytest.raises(StoppedError):
        next(watched)
    assert closed == [True]


def endless(watch, ended: threading.Event):
    try:
        for _ in watch("frames", iter(int, 1), None):
            time.sleep(0.005)
    finally:
        ended.set()


def test_cancelling_waits_for_the_end_of_the_work():
    async def scene():
        jobs, ended = Jobs(), threading.Event()
        task = asyncio.create_task(jobs.run("a", QUIET, lambda watch: endless(watch, ended)))
        await asyncio.sleep(0.05)
        assert set(jobs.running) == {"a"} and not ended.is_set()
        task.cancel()
        with pytest.raises(StoppedError):
            await task
        assert ended.is_set() and not jobs.running

    asyncio.run(scene())


def test_who_leaves_stops_their_own_work_alone():
    async def scene():
        jobs, ended = Jobs(), (threading.Event(), threading.Event())
        tasks = [
            asyncio.create_task(jobs.run(name, QUIET, lambda watch, one=one: endless(watch, one)))
            for name, one in zip("ab", ended, strict=True)
        ]
        await asyncio.sleep(0.05)
        jobs.stop("a")
        with pytest.raises(StoppedError):
            await tasks[0]
        assert not ended[1].is_set()
        await asyncio.to_thread(jobs.stop_all)
        assert ended[1].is_set()
        with pytest.raises(StoppedError):
            await tasks[1]

    asyncio.run(scene())


def test_results_come_back():
    assert asyncio.run(Jobs().run("a", QUIET, lambda watch: sum(watch("frames", [1, 2], 2)))) == 3
