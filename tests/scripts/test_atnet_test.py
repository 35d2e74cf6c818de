"""atnet_test.py on a small store: figures that make sense, files, determinism, and mistakes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import atnet_test
from data.atnet import clip_motion
from data.store import ClipStore
from evaluation.landmark_metrics import mean, mouth_distance
from models import ATNet, ATNetSingle, VGNet, load_model, save_model
from tests.synthetic import make_basis, make_store
from utils.audio.mfcc import windows
from utils.errors import run
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import denormalise

ROOT = Path(__file__).parents[2]
TORCHRUN = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
WIDTHS = dict(channels=(2, 2, 4, 4, 4), audio_features=(8, 8))


def save_network(path: Path, network: torch.nn.Module) -> Path:
    basis = make_basis()
    network.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    save_model(path, network)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A store of clips of 24 and 30 frames, and small random networks"""
    folder = tmp_path_factory.mktemp("atnet")
    make_store(folder / "store.h5", clips=4, frames=26)
    (folder / "splits" / "test.txt").write_text("s1/clip0\ns2/clip1\ns1/clip2\n")
    (folder / "splits" / "train.txt").write_text("s2/clip3\n")
    (folder / "splits" / "val.txt").write_text("")
    torch.manual_seed(0)
    lstm = ATNet(**WIDTHS, example_features=(8, 8), hidden=8, layers=1)
    save_network(folder / "atnet.safetensors", lstm)
    save_network(folder / "single.safetensors", ATNetSingle(**WIDTHS))
    save_model(folder / "vgnet.safetensors", VGNet(width=4, blocks=1, size=32))
    return folder


def command(home: Path, out: Path, *more: str, model: str = "atnet.safetensors") -> list[str]:
    places = ["-model_name", home / model, "--dataset_dir", home / "store.h5", "--splits", home / "splits"]
    return [str(one) for one in [*places, "-sample_dir", out, "-cuda", "false", *more]]


def evaluate(arguments: list[str]) -> int:
    return run(atnet_test.main, lambda: atnet_test.parse_args(arguments))


@pytest.fixture(scope="module")
def results(home, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("results") / "atnet_test"
    assert evaluate(command(home, out, "-batch_size", "2", "--videos", "1", "-paper_metrics")) == 0
    return out


def test_rows_are_ordered_as_they_must_be(results):
    report = json.loads((results / "metrics.json").read_text())
    rows = report["rows"]
    assert report["clips"] == 3 and report["split"] == "test" and report["frames"] == 78
    assert report["detector"] == "as stored by preprocessing: drawn"
    assert "-batch_size 2" in report["command"] and report["versions"]["torch"]
    assert rows["ground truth"]["lmd_mouth"] == 0 and rows["ground truth"]["opening_correlation"] == 1
    assert 0 < rows["truth on the PCA basis"]["lmd_mouth"] < 0.2 * rows["static face"]["lmd_mouth"]
    assert rows["truth on the PCA basis"]["opening_correlation"] > 0.95
    assert rows["static face"]["lmd_mouth_ratio"] == 1 and rows["static face"]["opening_correlation"] is None
    assert rows["static face"]["paper_lmd_sum"] > 0
    assert set(rows["AT-net"]) <= set(report["definitions"])


def test_figures_are_those_of_the_network(home, results):
    network = load_model(home / "atnet.safetensors")
    basis, clip = LandmarkBasis.of(network), ClipStore(home / "store.h5")["s2/clip1"]
    motion, rest = clip_motion(clip, 128)
    audio = torch.from_numpy(windows(clip.audio, len(motion)))[None]
    with torch.inference_mode():
        made = network(audio, torch.from_numpy(basis.project(np.zeros((1, 136), np.float32))))[0]
    fake = denormalise(rest + basis.reconstruct(made.numpy()))
    with (results / "clips.csv").open() as file:
        line = next(
            line for line in csv.DictReader(file) if line["clip"] == "s2/clip1" and line["row"] == "AT-net"
        )
    assert float(line["lmd_mouth_unaligned"]) == pytest.approx(
        mean(mouth_distance(fake, clip.landmarks)), rel=1e-4
    )


def test_silence_is_heard_by_the_network_only(home, results):
    rows = json.loads((results / "metrics.json").read_text())["rows"]
    assert rows["AT-net"]["silence_opening"] > 0 and "silence_opening" not in rows["static face"]
    rest = clip_motion(ClipStore(home / "store.h5")["s2/clip1"], 128)[1]
    assert atnet_test.silence_opening(rest, np.zeros((5, 136), np.float32)) == pytest.approx(1)


def test_csv_has_a_line_for_every_clip_and_row(results):
    with (results / "clips.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * 4
    assert [line["clip"] for line in lines[::4]] == ["s1/clip0", "s1/clip2", "s2/clip1"]
    assert lines[1]["opening_correlation"] == ""


def test_videos_have_sound_and_all_frames(results):
    assert [path.name for path in sorted(results.glob("*.mp4"))] == ["s1_clip0.mp4"]
    with av.open(str(results / "s1_clip0.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 26
    with av.open(str(results / "s1_clip0.mp4")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 26 * 640


def test_twice_the_same_numbers(home, results, tmp_path):
    assert evaluate(command(home, tmp_path, "-batch_size", "2", "--videos", "0", "-paper_metrics")) == 0
    again, before = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, results))
    assert again["rows"] == before["rows"]
    assert (tmp_path / "clips.csv").read_bytes() == (results / "clips.csv").read_bytes()


def test_batches_do_not_change_a_clip(home, results, tmp_path):
    assert evaluate(command(home, tmp_path, "-batch_size", "1", "--videos", "0")) == 0
    one, two = (json.loads((folder / "metrics.json").read_text())["rows"] for folder in (tmp_path, results))
    for name, value in one["AT-net"].items():
        other = two["AT-net"][name]
        assert value is other is None or value == pytest.approx(other, rel=1e-3)


def test_two_processes_measure_as_one(home, tmp_path):
    """One clip a batch, so that either process has some, and neither the same number of them."""
    arguments = command(home, Path("out"), "-batch_size", "1", "--videos", "2", "-snr", "10")
    printed = []
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        (tmp_path / name).mkdir()
        line = [sys.executable, *launcher, ROOT / "atnet_test.py", *arguments]
        options = dict(cwd=tmp_path / name, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
        printed.append(subprocess.run(line, check=True, capture_output=True, text=True, **options).stdout)
    assert printed[0] == printed[1] and printed[0].count("ground truth") == 1
    files = [sorted((tmp_path / name / "out").iterdir()) for name in ("one", "two")]
    assert [path.name for path in files[0]] == ["clips.csv", "metrics.json", "s1_clip0.mp4", "s1_clip2.mp4"]
    for a, b in zip(*files, strict=True):
        assert a.name == b.name and (a.suffix == ".mp4" or a.read_bytes() == b.read_bytes())


def test_the_network_without_lstm_and_without_lists(home, tmp_path, capsys):
    arguments = command(
        home, tmp_path, "-lstm", "false", "--clips", "1", "--videos", "0", model="single.safetensors"
    )
    assert evaluate(arguments) == 0
    assert "ground truth" in capsys.readouterr().out


def misuse(home: Path, tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    """Commands that must fail, each with what its message must name"""
    (tmp_path / "damaged.safetensors").write_bytes((home / "atnet.safetensors").read_bytes()[:3000])
    (tmp_path / "text.h5").write_text("no store")
    (tmp_path / "file").write_text("in the way")
    original = ATNet(**WIDTHS, example_features=(8, 8), hidden=8, layers=1, space="original")
    save_model(tmp_path / "original.safetensors", original)
    out = tmp_path / "out"
    return {
        "no weights": (command(home, out, model="absent.safetensors"), "absent.safetensors"),
        "another network": (command(home, out, model="vgnet.safetensors"), "VGNet"),
        "damaged weights": (command(tmp_path, out, model="damaged.safetensors"), "damaged.safetensors"),
        "original space": (command(tmp_path, out, model="original.safetensors"), "demo.py"),
        "no store": (command(home, out, "--dataset_dir", str(tmp_path / "absent.h5")), "absent.h5"),
        "not a store": (command(home, out, "--dataset_dir", str(tmp_path / "text.h5")), "text.h5"),
        "no such list": (command(home, out, "--split", "unseen"), "unseen"),
        "no clips": (command(home, out, "--split", "val"), "val"),
        "not LSTM": (command(home, out, "-lstm", "true", model="single.safetensors"), "ATNetSingle"),
        "no batch": (command(home, out, "-batch_size", "0"), "-batch_size"),
        "unwritable": (command(home, tmp_path / "file" / "out"), "file"),
    }


def test_mistakes_are_one_line_and_leave_nothing(home, tmp_path, capsys):
    for name, (arguments, named) in misuse(home, tmp_path).items():
        assert evaluate(arguments) == 2, name
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and named in error, (name, error)
        assert not list((tmp_path / "out").glob("*")), name
