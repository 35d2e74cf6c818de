"""atnet.py -features whisper on a small store, and its weights in the test scripts and the demo."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import atnet
import atnet_test
import convert
import vgnet_test
from data.splits import clip_ids
from data.store import ClipStore
from models import VGNet, WhisperATNet, WhisperEncoder, load_model, save_model
from tests.synthetic import make_store
from training import hearing
from utils.errors import run


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A store, its lists, and a small encoder"""
    folder = tmp_path_factory.mktemp("whisper")
    make_store(folder / "grid.h5", clips=6, frames=50, size=64)
    torch.manual_seed(0)
    encoder = WhisperEncoder(width=24, layers=1, heads=2)
    encoder.positions.normal_(0, 0.1)
    save_model(folder / "encoder.safetensors", encoder)
    save_model(folder / "vgnet.safetensors", VGNet(width=4, blocks=1, size=64))
    return folder


def train(home: Path, folder: Path, *options) -> int:
    flags = ["-dataset_dir", home / "grid.h5", "-splits", home / "splits", "-num_thread", 0, "-cuda", "false"]
    flags += ["-model_dir", folder, "-sample_dir", folder / "samples", "-features", "whisper", "-windows", 12]
    flags += ["-batch_size", 6, *options]
    return run(
        lambda args: atnet.launch(atnet.train, args), lambda: atnet.parse_args([str(one) for one in flags])
    )


@pytest.fixture(scope="module")
def trained(home) -> Path:
    encoder = home / "encoder.safetensors"
    assert (
        train(home, home / "model", "-encoder", encoder, "-steps", 60, "-lr", 3e-3, "-augment", "false") == 0
    )
    return home / "model/atnet.safetensors"


def error(home: Path, network: WhisperATNet) -> dict[str, float]:
    store, device = ClipStore(home / "grid.h5"), torch.device("cpu")
    ids = clip_ids(store, "grid", "train", home / "splits")
    return atnet.validate(network, store, ids, device, hearing.heard_clips(network, store, ids))


def test_it_learns_the_drawn_faces(home, trained):
    network = load_model(trained, expect=WhisperATNet)
    begin = WhisperATNet(**network.config)
    begin.set_basis(network.landmark_mean, network.landmark_components, network.landmark_eigenvalues)
    after, before = error(home, network), error(home, begin.eval())
    assert after["mse"] < 0.5 * before["mse"] and after["opening_correlation"] > 0.8
    encoder = load_model(home / "encoder.safetensors")
    assert torch.equal(network.encoder.conv1.weight, encoder.conv1.weight)  # stays as it was


def test_resume_equals_an_uninterrupted_run(home, tmp_path):
    options = ("-encoder", home / "encoder.safetensors", "-ema", 0.9, "-save_every", 2)
    for folder, steps in (("whole", 4), ("halves", 2), ("halves", 4)):
        assert train(home, tmp_path / folder, *options, "-steps", steps) == 0
    whole, halves = (load_model(tmp_path / name / "atnet_last.safetensors") for name in ("whole", "halves"))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, halves.state_dict()[name]), name


def test_windows_are_heard_once_and_again_where_something_changed(home, tmp_path, monkeypatch, capsys):
    heard, write = [], hearing.write

    def counted(path, model, windows, count, settings):
        heard.append(count)
        write(path, model, windows, count, settings)

    monkeypatch.setattr(hearing, "write", counted)
    options = ("-encoder", home / "encoder.safetensors", "-steps", 1)
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert train(home, tmp_path / folder, *options, "-seed", seed) == 0
    assert len(heard) == 2
    assert "grid_whisper.hdf5: was made with other flags" in capsys.readouterr().err


def test_training_goes_on_from_weights_without_the_encoder(home, trained, tmp_path):
    assert train(home, tmp_path, "-load_model", trained, "-lr", 0, "-steps", 1) == 0
    one, other = load_model(trained), load_model(tmp_path / "atnet.safetensors")
    torch.testing.assert_close(other.head.out.weight, one.head.out.weight)


@pytest.mark.parametrize("encoder", [None, "vgnet.safetensors", "missing.safetensors"])
def test_without_an_encoder_is_one_line(encoder, home, tmp_path, capsys):
    options = ("-encoder", home / encoder) if encoder else ()
    assert train(home, tmp_path, *options) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_training_state_becomes_weights(home, trained, tmp_path):
    out = tmp_path / "half.safetensors"
    state = trained.with_name("atnet_state.pt")
    arguments = [str(state), str(out), "--half"]
    assert run(convert.main, lambda: convert.parse_args(arguments)) == 0
    last, half = load_model(trained.with_name("atnet_last.safetensors")), load_model(out, expect=WhisperATNet)
    sound = torch.randn(1, 30, 640)
    torch.testing.assert_close(half(sound), last(sound), atol=0.02, rtol=0.05)
    assert out.stat().st_size < 0.6 * trained.stat().st_size


@pytest.mark.parametrize("script", [atnet_test, vgnet_test])
def test_the_test_scripts_take_its_weights(script, home, trained, tmp_path):
    models = ["-model_name", trained]
    if script is vgnet_test:
        models = ["-model_name", home / "vgnet.safetensors", "--at_model", trained]
    flags = ["--dataset_dir", home / "grid.h5", "--splits", home / "splits", "-videos", 0, "-cuda", "false"]
    flags = [str(one) for one in [*models, *flags, "-sample_dir", tmp_path]]
    assert run(script.main, lambda: script.parse_args(flags)) == 0
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    name = "AT-net" if script is atnet_test else "VG-net, AT-net's landmarks"
    assert np.isfinite(rows[name]["lmd_mouth" if script is atnet_test else "psnr"])
    if script is atnet_test:
        assert rows[name]["opening_correlation"] > 0.7
