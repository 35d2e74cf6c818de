"""rendering.py: a tiny renderer, measured once, and its page."""

from pathlib import Path

import numpy as np
import pytest

import rhythmic_test
from evaluation.rhythmic import scores
from models import RhythmicNet, save_model
from reports import rendering
from tests.heads import make_static_store
from utils.errors import UserError, run

SMALL = dict(
    widths=(4, 4, 8, 8), flow_widths=(4, 8), flow_blocks=1, size=64, norm="group", spade_combine=False
)


def test_what_is_measured_stands_on_the_page_and_nothing_is_done_twice(tmp_path, monkeypatch):
    names = []

    def finish(command: list[str]) -> int:
        names.append(Path(command[1]).name)
        return run(rhythmic_test.main, lambda: rhythmic_test.parse_args(command[2:]))

    monkeypatch.setattr("reports.runs.finish", finish)
    nothing = np.float32(np.nan)
    monkeypatch.setattr(scores, "detect_landmarks", lambda _, frames: np.full((len(frames), 68, 2), nothing))
    store = make_static_store(tmp_path / "heads.h5", clips=3, frames=16)
    for name, clips in dict(train="s2/clip1", val="", test="", unseen="s1/clip2").items():
        (store.parent / f"splits/{name}.txt").write_text(f"{clips}\n")
    save_model(tmp_path / "net.safetensors", RhythmicNet(**SMALL, add_raw_loss=False))
    flags = [
        "--dataset_dir",
        store,
        "-known",
        store,
        "--splits",
        store.parent / "splits",
        "-frames",
        2,
        "-tuned",
        0,
    ]
    flags += ["-model", tmp_path / "net.safetensors", "-o", tmp_path / "out", "-docs", tmp_path / "docs"]
    for _ in range(2):
        assert run(rendering.main, lambda: rendering.parse_args([str(one) for one in flags])) == 0
    assert names == ["rhythmic_test.py"] * 2
    page = (tmp_path / "docs/rendering.md").read_text()
    assert page.count("| full |") == 4 and page.count("K = 8") >= 2 and "## Definitions" in page
    assert (tmp_path / "assets/rendering.png").stat().st_size > 500


def test_mistakes(tmp_path, capsys):
    nowhere = ["--dataset_dir", str(tmp_path / "nowhere.h5"), "-o", str(tmp_path / "out")]
    assert run(rendering.main, lambda: rendering.parse_args(nowhere)) == 2
    assert "nowhere.h5: does not exist" in capsys.readouterr().err
    with pytest.raises((UserError, SystemExit)):  # as rhythmic_test.py would say, after the first minutes
        rendering.parse_args(["-frames", "1"])
