"""nrnet_test.py: the table in noise, and mistakes."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import nrnet_test
from evaluation.noise import MEASURED, STATIC, NoiseTable
from models import ATNetSingle, NRNet, save_model
from tests.synthetic import make_store, save_nrnet
from utils.errors import run


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Networks, a store and its noises"""
    home = tmp_path_factory.mktemp("nrnet_test")
    save_nrnet(home / "base.safetensors")
    save_nrnet(home / "nr_tc.safetensors", 1, temporal=True)
    bare = NRNet(filters=2)
    bare.landmark_components.zero_()  # as convert.py leaves it without --pca
    save_model(home / "bare.safetensors", bare)
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    make_store(home / "store.h5", clips=4, frames=24, size=32)
    for split, ids in dict(train="s2/clip3", val="", test="s1/clip0\ns2/clip1\ns1/clip2").items():
        (home / "splits" / f"{split}.txt").write_text(ids)
    with h5py.File(home / "noise.h5", "w") as file:
        for number, (kind, side) in enumerate([("pink", "train"), ("pink", "test"), ("chords", "test")]):
            file[f"{side}_{kind}"] = np.random.default_rng(number).normal(size=9000)
            file[f"{side}_{kind}"].attrs.update(kind=kind, side=side)
    return home


def call(*arguments) -> int:
    flags = [*(str(one) for one in arguments), "-cuda", "false"]
    return run(nrnet_test.main, lambda: nrnet_test.parse_args(flags))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-snr", "x"], "-snr x"),
        (["-snr", "0,inf"], "finite"),
        (["-snr", "0,5,0"], "each once"),
        (["-clips", "0"], "at least 1"),
        (["--dataset_dir", "nowhere.h5"], "nowhere.h5: no such clip store"),
        (["-n", "nowhere.h5"], "nowhere.h5: no such file"),
        (["-m", "atnet.safetensors"], "holds the network ATNetSingle, but NRNet is needed"),
        (["-m", "base.safetensors", "bare.safetensors"], "bare.safetensors: holds no landmark basis"),
        (["-i", "speech", "-tcboost", "2"], "nrnet_generate.py -i"),
        (["--in-folder=speech"], "nrnet_generate.py -i"),
        (["--evaluate", "store.h5"], "nrnet_test.py --dataset_dir"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(home)
    places = ["-m", "base.safetensors", "-n", "noise.h5", "--dataset_dir", "store.h5", "-o", tmp_path / "out"]
    assert call(*places, *options) == 2
    assert not (tmp_path / "out").exists()
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]


def test_the_table_has_every_condition(home, tmp_path, capsys):
    models = [home / "base.safetensors", home / "nr_tc.safetensors", home / "base.safetensors"]
    options = ["-n", home / "noise.h5", "--splits", home / "splits", "-snr=-10,10"]
    assert call("--dataset_dir", home / "store.h5", "-m", *models, *options, "-o", tmp_path) == 0
    rows = list(csv.DictReader((tmp_path / "noise.csv").open()))
    names = {row["model"] for row in rows}
    assert len(rows) == 3 * (1 + 2 * 2) + 1 and {"base", "NR+TC", STATIC} < names and len(names) == 4
    assert {(row["noise"], row["heard_in_training"]) for row in rows} == {
        ("none", ""), ("pink", "True"), ("chords", "False")}  # fmt: skip
    same = [row for row in rows if row["model"].startswith("base")]
    assert [list(row.values())[1:] for row in same[:5]] == [list(row.values())[1:] for row in same[5:]]
    for name in ("noise.md", "noise.png"):
        assert (tmp_path / name).stat().st_size > 500
    assert "noise of unseen kinds (chords)" in capsys.readouterr().out
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert facts["command"].startswith("python nrnet_test.py --dataset_dir") and facts["clips"] == 3
    assert [row["model"] for row in facts["rows"]] == [row["model"] for row in rows]
    assert facts["rows"][0]["rmse"] == pytest.approx(float(rows[0]["rmse"]))
    assert set(facts["definitions"]) == set(MEASURED) and facts["frames"] == 72 and facts["machine"]["cores"]


def test_it_takes_the_originals_flags_and_measures_the_shipped_networks():
    args = nrnet_test.parse_args(["--model", "a", "b", "--in-noise", "n.h5", "--out-fold", "there"])
    assert [args.model_name, args.in_noise, args.sample_dir] == [
        [Path("a"), Path("b")],
        Path("n.h5"),
        Path("there"),
    ]
    assert nrnet_test.parse_args(["-model_name", "a"]).model_name == [Path("a")]
    assert all(path.is_file() for path in nrnet_test.parse_args([]).model_name)


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([dict(noise_kinds=["a"]), dict(noise_kinds=["b"])], {"a": True, "b": True, "c": False}),
        ([dict(noise_kinds=[]), dict(noise=False)], {"a": False, "b": False, "c": False}),
        ([dict(noise_kinds=["a"]), dict(noise=True)], {"a": None, "b": None, "c": None}),
        ([{}], {"a": None, "b": None, "c": None}),
    ],
)
def test_weights_say_what_they_heard(notes, expected):
    networks = {str(number): SimpleNamespace(metadata=one) for number, one in enumerate(notes)}
    sides = nrnet_test.sides(networks, "abc")
    assert sides == expected
    assert ("noises" in NoiseTable(sides, [0.0]).sides()) == (None in expected.values())
