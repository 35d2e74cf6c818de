"""Times of stages that draw on each other."""

import time

import pytest

from utils.stopwatch import Stopwatch, process_seconds, report


def slow(items, seconds):
    for item in items:
        time.sleep(seconds)
        yield item


def test_each_stage_is_charged_with_its_own_time_alone():
    clock = Stopwatch()
    inner = clock.through("decode", slow(range(5), 0.02))
    outer = clock.through("draw", slow(inner, 0.01))
    with clock.stage("whole"):
        assert list(outer) == [0, 1, 2, 3, 4]
        time.sleep(0.03)
    assert clock.seconds["decode"] == pytest.approx(0.1, abs=0.05)
    assert clock.seconds["draw"] == pytest.approx(0.05, abs=0.04)
    assert clock.seconds["whole"] == pytest.approx(0.03, abs=0.03)


def test_an_error_ends_its_stages():
    clock = Stopwatch()

    def fails():
        yield 1
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"), clock.stage("outer"):
        list(clock.through("inner", fails()))
    with clock.stage("after"):
        time.sleep(0.02)
    assert clock.seconds["after"] > 0.01 and clock.seconds["inner"] < 0.01


def test_the_first_mark_counts_from_the_start_of_the_process():
    clock = Stopwatch()
    before = process_seconds()
    clock.mark()
    first = clock.first
    clock.mark()
    assert before <= first == clock.first <= process_seconds()
    clock.seconds["load"], clock.seconds["draw"] = 1.0, 0.5
    lines = report(clock, 100).splitlines()
    assert lines[2].split() == ["load", "1.00"] and lines[3].split() == ["draw", "0.50", "5.00"]
