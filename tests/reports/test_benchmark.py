"""benchmark.py: runs through its own main and prints every ratio."""

import re

from reports import benchmark
from utils.errors import run


def start(*options: str) -> int:
    return run(benchmark.main, lambda: benchmark.parse_args(list(options)))


def test_prints_every_ratio(capsys):
    small = "--width 4 --blocks 1 --slim 2 1 --frames 2 --batch 1 --steps 1 -cuda false".split()
    assert start(*small) == 0
    printed = capsys.readouterr().out
    for row in ("training", "inference"):
        assert re.search(
            rf"^{row}( +[\d.]+ fr/s){{2}} +[\d.]+x +[\d.]+ fr/s +[\d.]+x$", printed, re.MULTILINE
        )


def test_refuses_impossible_numbers(capsys):
    assert start("--frames", "0") == 2
    assert "--frames 0" in capsys.readouterr().err
    assert start("--slim", "8", "0") == 2
