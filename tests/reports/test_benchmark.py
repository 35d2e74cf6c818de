"""The benchmark runs through its own main."""

import re

import pytest

from reports import benchmark
from tests.synthetic import make_store
from utils.errors import run

SMALL = "--width 4 --blocks 1 --slim 2 1 --frames 2 --batch 1 --steps 1 -cuda false".split()


def start(*options: object) -> int:
    return run(benchmark.main, lambda: benchmark.parse_args([*SMALL, *map(str, options)]))


@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_prints_every_speed(precision, tmp_path, capsys):
    store = make_store(tmp_path / "grid.h5", clips=2, frames=4)
    assert start("--precision", precision, "--dataset_dir", store) == 0
    printed = capsys.readouterr().out
    for row in ("training", "inference"):
        assert re.search(
            rf"^{row}( +[\d.]+ fr/s){{2}} +[\d.]+x +[\d.]+ fr/s +[\d.]+x$", printed, re.MULTILINE
        )
    assert re.search(r"^loader +[\d.]+ samples/s", printed, re.MULTILINE)


@pytest.mark.parametrize("options", [("--frames", 0), ("--slim", 8, 0)])
def test_refuses_impossible_numbers(options, capsys):
    assert start(*options) == 2
    assert options[0].lstrip("-") in capsys.readouterr().err
