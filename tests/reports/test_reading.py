"""reading.py and memory.py: the tables say what the test scripts measured, and nothing runs twice."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import lipread
import lipread_test
from models import save_model
from models.reading.reader import LipReader
from reports import memory, reading, runs
from tests.synthetic import make_lrw_store, make_store
from utils.errors import run

SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)
FLAGS = "-size 32 -view 0.7 -front 4 -hearing 4 -width 16 -slots 8 --batch_size 2 --workers 0 -cuda false"
SCRIPTS = {"lipread.py": lipread, "lipread_test.py": lipread_test}


class Scripts:
    """In the place of the scripts' processes: runs them here, but for vgnet_test.py, whose results it makes up"""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str]) -> int:
        name, *options = [Path(command[1]).name, *command[2:]]
        self.calls.append([name, *options])
        if name == "vgnet_test.py":
            return self.judge(options)
        script = SCRIPTS[name]
        return run(script.main, lambda: script.parse_args(options))

    def judge(self, options: list[str]) -> int:
        given = dict(pairwise(options))
        row = dict(words_read=0.75, words_judged=12, mouth_psnr=30.0, mouth_psnr_gain=4.0)
        facts = dict(command="python vgnet_test.py", dataset="grid", split=given["--split"], clips=2)
        facts |= dict(machine=dict(gpu=None, cores=2, processor="x86_64"), versions=dict(torch="2"))
        facts |= dict(rows={"VG-net, true landmarks": row, "static face": row | dict(words_read=0.0)})
        (Path(given["-sample_dir"]) / "metrics.json").write_text(json.dumps(facts))
        return 0


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("reading")
    make_lrw_store(home / "words")
    torch.manual_seed(0)
    save_model(home / "reader.safetensors", LipReader(["ABOUT", "BEING", "CASES"], **SMALL))
    make_store(home / "grid.h5", clips=4, frames=8, size=32)
    (home / "splits/val.txt").unlink()
    for split, id in dict(train="s1/clip0", test="s1/clip2", unseen="s2/clip1").items():
        (home / f"splits/{split}.txt").write_text(f"{id}\n")
    return home


@pytest.fixture
def scripts(monkeypatch) -> Scripts:
    scripts = Scripts()
    monkeypatch.setattr(runs, "finish", scripts)
    return scripts


def test_the_page_says_what_was_measured(home, tmp_path, scripts):
    places = ["--dataset_dir", home / "words", "-o", tmp_path / "out", "-docs", tmp_path / "docs"]
    flags = [*places, "-model", home / "reader.safetensors", "--sentences", home / "grid.h5", "--clips", 2]
    flags += ["--splits", home / "splits"]
    for _ in range(2):
        assert run(reading.main, lambda: reading.parse_args([str(flag) for flag in flags])) == 0
    assert [name for name, *_ in scripts.calls] == ["lipread_test.py"] * 4 + ["vgnet_test.py"] * 2
    page = (tmp_path / "docs/words.md").read_text()
    for input in ("video", "audio", "both"):
        metrics = json.loads((tmp_path / f"out/test_{input}/metrics.json").read_text())
        assert f"| held out (3 words) | {input} | {metrics['accuracy']:.4f} | {metrics['top5']:.4f} |" in page
    assert "| held out (3 words) | always the most frequent word | 0.3333 |" in page
    noise = json.loads((tmp_path / "out/test_video/metrics.json").read_text())["noise"]
    loudest = {one["input"]: one["accuracy"] for one in noise if one["snr"] == "-10"}
    (line,) = [line for line in page.splitlines() if line.startswith("| white | both |")]
    assert line.endswith(f"| {loudest['both']:.3f} |")
    assert "| held out (2 clips) | VG-net, true landmarks | 0.750 | 12 |" in page
    assert "| unseen people (2 clips) | static face | 0.000 | 12 |" in page
    assert "MS-TCN (Kim et al. 2021), LRW, as reported" in page and "Not comparable" in page
    assert all((tmp_path / f"assets/words_{name}.png").is_file() for name in reading.PICTURES)


def test_the_memory_is_compared_at_equal_steps_with_each_seed(home, tmp_path, scripts, capsys):
    places = ["--dataset_dir", home / "words", "-o", tmp_path / "out", "-docs", tmp_path / "docs"]
    flags = [*places, "--steps", 2, "--seeds", 2, f"--flags={FLAGS}"]
    for _ in range(2):
        assert run(memory.main, lambda: memory.parse_args([str(flag) for flag in flags])) == 0
    trained = [dict(pairwise(options)) for name, *options in scripts.calls if name == "lipread.py"]
    assert [one["-seed"] for one in trained] == ["0", "1"] * 3 and {one["-steps"] for one in trained} == {"2"}
    assert [(one.get("-memory"), one.get("-heads")) for one in trained[::2]] == [
        ("false", None),
        (None, None),
        (None, "8"),
    ]
    assert len(scripts.calls) == 12
    page = (tmp_path / "docs/memory.md").read_text()
    shares = [
        json.loads((tmp_path / f"out/memory_{n}_test/metrics.json").read_text())["accuracy"] for n in (0, 1)
    ]
    (line,) = [line for line in page.splitlines() if line.startswith("| visual-audio memory")]
    assert f"| {sum(shares) / 2:.4f} |" in line and f"{shares[0]:.3f}, {shares[1]:.3f}" in line


@pytest.mark.parametrize(
    ("module", "flags", "words"),
    [
        (reading, ["--dataset_dir", "nowhere.h5"], "nowhere.h5: does not exist"),
        (reading, ["--splits", "lists"], "give --sentences STORE.h5"),
        (memory, ["--dataset_dir", "nowhere.h5"], "nowhere.h5: does not exist"),
        (memory, ["--seeds", "0"], "-seeds 0: give a whole number"),
    ],
)
def test_mistakes_are_one_line(module, flags, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(module.main, lambda: module.parse_args(flags)) == 2
    assert words in capsys.readouterr().err and not [*tmp_path.iterdir()]
