"""A step of training and an evaluation on LRW: a folder of WORD.h5 files whose own splits are used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atnet
import atnet_test
import vgnet
import vgnet_test
from tests.synthetic import make_lrw_store
from utils.errors import run
from utils.face.detector import FaceDetector

ROOT = Path(__file__).parents[2]
LAST = "-batch_size 2 -frames 4 -steps 1 -num_thread 2 -cuda false".split()
WIDTHS = {
    "atnet": "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1".split(),
    "vgnet": "-width 4 -blocks 1 -warp landmark".split(),
}
SCRIPTS = {"atnet": (atnet, atnet_test), "vgnet": (vgnet, vgnet_test)}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_lrw_store(tmp_path_factory.mktemp("lrw") / "store")


def training(name: str, store: Path, folder: Path) -> list[str]:
    places = ["--dataset", "lrw", "--dataset_dir", store, "-model_dir", folder, "-sample_dir", folder]
    return [*(str(place) for place in places), *WIDTHS[name], *LAST]


def test_training_by_workers_and_evaluation(store, tmp_path, monkeypatch):
    unseen = np.full((68, 2), np.nan, np.float32)  # as dlib says of drawn faces, after a long look
    monkeypatch.setattr(FaceDetector, "track", lambda self, frames: np.stack([unseen for _ in frames]))
    for name, (train, test) in SCRIPTS.items():
        flags = training(name, store, tmp_path)
        assert (
            run(
                lambda args, train=train: train.launch(train.train, args),
                lambda f=flags, train=train: train.parse_args(f),
            )
            == 0
        )
        flags = ["-model_name", tmp_path / f"{name}.safetensors", "--dataset", "lrw", "--dataset_dir", store]
        flags += [
            "--split",
            "test",
            "--clips",
            "2",
            "--videos",
            "1",
            "-cuda",
            "false",
            "-sample_dir",
            tmp_path / name,
        ]
        assert run(test.main, lambda f=flags, test=test: test.parse_args([str(flag) for flag in f])) == 0
        report = json.loads((tmp_path / name / "metrics.json").read_text())
        assert (report["dataset"], report["clips"], report["frames"]) == ("lrw", 2, 2 * 29)
        assert [video.name for video in (tmp_path / name).glob("*.mp4")] == ["ABOUT_test_ABOUT_00003.mp4"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_training_as_two_processes(name, store, tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        f"{name}.py",
    ]
    environment = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    result = subprocess.run(
        [*command, *training(name, store, tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / f"{name}.safetensors").is_file()
    assert "Traceback" not in result.stderr
