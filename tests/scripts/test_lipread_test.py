"""lipread_test.py: its files, the original's command, the same by two processes, and mistakes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import lipread
import lipread_test
from data.lips.words import word_ids
from data.store import ClipStore
from models import ATNetSingle, save_model
from models.reading.reader import LipReader
from tests.synthetic import make_lrw_store, make_store
from utils.errors import run

ROOT = Path(__file__).parents[2]
WORDS = ["ABOUT", "BEING", "CASES"]
SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)


def make_network(classes: list[str] = WORDS, **options) -> LipReader:
    torch.manual_seed(0)
    model = LipReader(classes, **SMALL | options).eval()
    with torch.no_grad():
        model.backend.out.weight.mul_(30)
    return model


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Networks and a store of three words, four clips of each, one of which is test and one val"""
    home = tmp_path_factory.mktemp("lipread_test")
    make_lrw_store(home / "words")
    make_store(home / "grid.h5", clips=2, size=32)
    save_model(home / "reader.safetensors", make_network())
    save_model(home / "blank.safetensors", make_network(["0", "1", "2"]))
    save_model(home / "many.safetensors", make_network(["0", "1", "2", "3"]))
    save_model(home / "few.safetensors", make_network(WORDS[:2]))
    save_model(home / "deaf.safetensors", make_network(memory=False))
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    (home / "file").write_text("")
    with h5py.File(home / "noise.h5", "w") as file:
        for number, (kind, side) in enumerate([("pink", "train"), ("chords", "test")]):
            file[kind] = np.random.default_rng(number).normal(size=9000)
            file[kind].attrs.update(kind=kind, side=side)
    return home


def command(home: Path, *arguments, weights: str = "reader.safetensors") -> list[str]:
    places = ["--lrw", home / "words", "--checkpoint", home / weights]
    return [*(str(one) for one in (*places, *arguments)), "-cuda", "false"]


def call(home: Path, *arguments, weights: str = "reader.safetensors") -> int:
    flags = command(home, *arguments, weights=weights)
    return run(lipread_test.main, lambda: lipread_test.parse_args(flags))


def facts_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    """All files but metrics.json, which has the command"""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "metrics.json"}


def test_table_and_files(home, tmp_path, capsys):
    for name in ("one", "two"):
        assert call(home, "--split", "all", "-sample_dir", tmp_path / name) == 0
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert set(one) == {"clips.csv", "classes.csv", "reading.md", "confusion.png", "slots.png"}
    facts = facts_of(tmp_path / "one")
    rows = list(csv.DictReader((tmp_path / "one/clips.csv").open()))
    assert [row["clip"] for row in rows] == list(ClipStore(home / "words").ids)
    right = sum(row["word"] == row["read"] for row in rows)
    assert right == sum(int(row["right"]) for row in rows)
    assert facts["accuracy"] == facts["rows"]["lip reader, video"]["accuracy"] == right / 12
    assert facts["top5"] == 1 and facts["rows"]["always the most frequent word"]["accuracy"] == 1 / 3
    assert set(facts["definitions"]) == {"accuracy", "top5"} and facts["clips"] == 12
    assert facts["dataset"] == "words" and facts["memory"]["seen"]["slots"] == 8
    words = list(csv.DictReader((tmp_path / "one/classes.csv").open()))
    assert [row["word"] for row in words] == WORDS and sum(int(row["right"]) for row in words) == right
    assert "lip reader, video" in capsys.readouterr().out


def test_it_reads_as_training_validates(home, tmp_path):
    model, store = make_network(), ClipStore(home / "words")
    for aug in (False, True):
        errors = lipread.validate(model, store, word_ids(store, "test"), torch.device("cpu"), aug)
        for by, name in (("video", "recalled"), ("both", "heard")):
            assert call(home, "--input", by, "--test_aug", aug, "-o", tmp_path) == 0
            assert facts_of(tmp_path)["accuracy"] == pytest.approx(1 - errors[f"{name}_error"])


@pytest.mark.parametrize(("backend", "slots"), [("GRU", 88), ("MSTCN", 168)])
def test_the_originals_commands_are_ours(backend, slots):
    given = (
        f"--lrw DATA --checkpoint W --batch_size 80 --backend {backend} --mode test --radius 16 --n_slot {slots} "
        "--test_aug True --distributed False --dataparallel False --gpu 0,1"
    )
    args = lipread_test.parse_args(given.split())
    assert (args.dataset_dir, args.model_name, args.batch_size) == (Path("DATA"), Path("W"), 80)
    assert (args.backend, args.radius, args.slots, args.test_aug) == (backend, 16, slots, True)
    assert (args.split, args.device_ids, args.input) == ("test", "0", "video")
    args = lipread_test.parse_args("--mode val --gpu 0,1".split())
    assert (args.split, args.device_ids, args.test_aug) == ("val", "0,1", False)
    assert args.model_name.parts[-2:] == ("weights", "lipread.safetensors")
    assert lipread_test.parse_args("--mode val --split all".split()).split == "all"


def test_the_weights_own_options_may_be_named(home, tmp_path):
    own = "--backend GRU --n_slot 8 --radius 16 --batch_size 2 --mode val".split()
    assert call(home, *own, "-o", tmp_path) == 0
    assert facts_of(tmp_path)["split"] == "val" and facts_of(tmp_path)["clips"] == 3


def test_noise(home, tmp_path):
    assert call(home, "--noise_table", "--noise", home / "noise.h5", "--input", "both", "-o", tmp_path) == 0
    assert {"noise.csv", "noise.png"} <= {path.name for path in tmp_path.iterdir()}
    lines = facts_of(tmp_path)["noise"]
    assert {line["noise"] for line in lines} == {"none", "white", "chords"}  # pink is of training
    clean = {line["input"]: line["accuracy"] for line in lines if line["snr"] == "clean"}
    assert set(clean) == {"video", "audio", "both"} and clean["both"] == facts_of(tmp_path)["accuracy"]
    assert len(lines) == 3 + 2 * 2 * 6


def test_weights_without_names_and_without_memory(home, tmp_path):
    for weights in ("reader.safetensors", "blank.safetensors", "deaf.safetensors"):
        assert call(home, "-o", tmp_path / weights, weights=weights) == 0
    named, blank, deaf = (contents(tmp_path / f"{name}.safetensors") for name in ("reader", "blank", "deaf"))
    assert named["clips.csv"] == blank["clips.csv"]
    assert "slots.png" in named and "slots.png" not in deaf


def test_two_processes_read_as_one(home, tmp_path):
    assert call(home, "--split", "all", "--batch_size", 5, "-o", tmp_path / "one") == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    flags = command(home, "--split", "all", "--batch_size", 5, "-o", tmp_path / "two")
    done = subprocess.run([*torchrun, "lipread_test.py", *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lrw", "nowhere"], "nowhere: no such clip store"),
        (["--lrw", "grid.h5"], "grid.h5: holds no words"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--checkpoint", "atnet.safetensors"], "holds the network ATNetSingle, but LipReader is needed"),
        (["--checkpoint", "few.safetensors"], "words: CASES is none of the network's 2 words"),
        (["--checkpoint", "many.safetensors"], "its 4 classes have no names, and words has 3 words"),
        (["--checkpoint", "deaf.safetensors", "--input", "audio"], "hears nothing; leave --input audio out"),
        (["--checkpoint", "deaf.safetensors", "--noise_table"], "hears nothing; leave --noise_table out"),
        (["--backend", "MSTCN"], "reader.safetensors: has --backend GRU, not MSTCN"),
        (["--n_slot", "88"], "has --n_slot 8, not 88"),
        (["--radius", "8"], "has --radius 16.0, not 8.0"),
        (["--mode", "train"], "invalid choice: 'train'"),
        (["--split", "unseen"], "is in the split 'unseen'"),
        (["--input", "sound"], "invalid choice: 'sound'"),
        (["--input", "audio", "--test_aug"], "--test_aug: mirrors mouths"),
        (["--noise", "noise.h5"], "--noise noise.h5: is for --noise_table"),
        (["--noise_table", "--noise", "grid.h5"], "grid.h5: no recording"),
        (["--batch_size", "0"], "at least 1"),
        (["-o", "file"], "file: cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    flags = ["--lrw", "words", "--checkpoint", "reader.safetensors", "-o", "out", *options, "-cuda", "false"]
    assert run(lipread_test.main, lambda: lipread_test.parse_args(flags)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert sorted(home.rglob("*")) == before
