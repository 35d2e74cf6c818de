"""Runs that are killed at any moment, ten times, and started again: nothing is lost, nothing is left."""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from data.store import ClipStore
from models import load_model
from tests.hostile.nursery import Nursery
from tests.preprocess.test_preprocess import assert_equal_stores
from tests.raw_corpus import make_video, save_landmarks
from tests.synthetic import make_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="makes runs by fork")
KILLS = 10
AT = "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1 -frames 8 -batch_size 4 -num_thread 2".split()


def killed_again_and_again(nursery: Nursery, words: Sequence[object], seconds: float, seed: int) -> None:
    """Kills KILLS runs, each within the seconds that a whole one takes, and lets the last one end."""
    moments = random.Random(seed)
    for _ in range(KILLS):
        nursery.start(words)
        time.sleep(moments.uniform(0, seconds))
        nursery.kill()
        assert nursery.status() in (-9, 0)
    nursery.start(words)
    assert nursery.status() == 0, nursery.log.read_text()


def whole_run(nursery: Nursery, words: Sequence[object]) -> float:
    """-> how long it took, in seconds"""
    start = time.monotonic()
    nursery.start(words)
    assert nursery.status() == 0, nursery.log.read_text()
    return time.monotonic() - start


def all_files(folder: Path) -> list[str]:
    """With hidden ones, but for TensorBoard's, of which each run has its own"""
    files = (file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir())
    return sorted(str(file) for file in files if file.parts[0] != "logs")


def test_preprocessing(tmp_path):
    raw, landmarks = tmp_path / "raw", tmp_path / "landmarks"
    for number in range(12):
        points = make_video(raw / f"s1/clip{number:02d}.mp4", frames=10, seed=number)
        save_landmarks(landmarks, f"s1/clip{number:02d}", points)
    options = ["--landmarks", landmarks, "--workers", "1"]
    with Nursery("preprocess.grid", tmp_path / "log") as nursery:
        seconds = whole_run(nursery, [raw, tmp_path / "whole" / "grid.h5", *options])
        killed_again_and_again(nursery, [raw, tmp_path / "killed" / "grid.h5", *options], seconds, seed=1)
    assert_equal_stores(*(ClipStore(tmp_path / name / "grid.h5") for name in ("whole", "killed")))
    assert all_files(tmp_path / "killed") == all_files(tmp_path / "whole") == ["grid.h5", "grid_contact.png"]
    assert not (tmp_path / "killed" / "grid.h5.parts").exists()


def test_training_with_workers(tmp_path):
    store = make_store(tmp_path / "grid.h5", size=64)
    flags = ["-dataset_dir", store, "-splits", tmp_path / "splits", "-cuda", "false", *AT]
    flags += ["-steps", 24, "-save_every", 8, "-save_minutes", 0, "-ema", 0.9]
    with Nursery("atnet", tmp_path / "log") as nursery:

        def words(name: str) -> list:
            return [*flags, "-model_dir", tmp_path / name, "-sample_dir", tmp_path / f"{name}_pictures"]

        seconds = whole_run(nursery, words("whole"))
        killed_again_and_again(nursery, words("killed"), seconds, seed=2)
    assert all_files(tmp_path / "killed") == all_files(tmp_path / "whole"), nursery.log.read_text()
    for name in ("atnet.safetensors", "atnet_last.safetensors"):
        whole, killed = (load_model(tmp_path / run / name) for run in ("whole", "killed"))
        assert whole.metadata["steps"] == killed.metadata["steps"]
        for one, other in zip(whole.state_dict().values(), killed.state_dict().values(), strict=True):
            assert torch.equal(one, other)
