"""What a training run must not lose: its states, its best weights, its way back from numbers that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

import atnet
import vgnet
from data.atnet import SpeechSamples
from models import load_model
from tests.scripts.test_train_scripts import same, train, weights
from tests.synthetic import make_store
from training.precision import autocast, grad_scaler
from training.state import TrainingState, read_state

SINGLE = ("-lstm", "false", "-augment", "false")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "grid.h5", clips=6, size=64)


def step_of(path: Path) -> int:
    return read_state(path)["step"]


def finite(state: dict) -> bool:
    tensors = [x for x in state["state"]["model"].values() if x.is_floating_point()]
    return all(bool(x.isfinite().all()) for x in tensors)


def test_a_diverging_run_ends_in_one_line_and_keeps_its_good_state(store, tmp_path, capsys):
    assert train(atnet, store, tmp_path, "-steps", 2) == 0
    before = read_state(tmp_path / "atnet_state.pt")
    capsys.readouterr()
    wild = ("-steps", 90, "-lr", 1e30, "-clip", 0, "-save_minutes", 0)
    assert train(atnet, store, tmp_path, *wild) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and "diverged" in line and "the state of step 2 is kept" in line
    after = read_state(tmp_path / "atnet_state.pt")
    assert after["step"] == 2 and finite(after)
    same(before["state"]["model"], after["state"]["model"], rtol=0, atol=0)
    assert train(atnet, store, tmp_path, "-steps", 4) == 0
    assert finite(read_state(tmp_path / "atnet_state.pt"))


def test_one_batch_of_no_numbers_is_skipped(store, tmp_path, monkeypatch):
    """Weights and running statistics are those of a run without that step's update."""
    drawn = SpeechSamples.__getitem__

    def spoilt(self, number):
        sample = drawn(self, number)
        if number // 4 == 1:  # the second step's
            sample["audio"][:] = float("nan")
        return sample

    monkeypatch.setattr(SpeechSamples, "__getitem__", spoilt)
    assert train(atnet, store, tmp_path, "-steps", 3, "-ema", 0.5) == 0
    state = read_state(tmp_path / "atnet_state.pt")
    assert state["step"] == 3 and finite(state)
    assert all(x.isfinite().all() for x in weights(tmp_path).values())
    steps = {int(entry["step"]) for entry in state["state"]["optimiser"]["state"].values()}
    assert steps == {2}


def test_a_run_on_other_clips_is_not_resumed(store, tmp_path, capsys):
    assert train(atnet, store, tmp_path / "out", "-steps", 1) == 0
    lists, other = store.parent / "splits", tmp_path / "lists"
    other.mkdir()
    for name in ("val", "test"):
        (other / f"{name}.txt").write_text((lists / f"{name}.txt").read_text())
    (other / "train.txt").write_text("\n".join((lists / "train.txt").read_text().split()[1:]) + "\n")
    assert train(atnet, store, tmp_path / "out", "-steps", 2, "-splits", other) == 2
    assert "atnet_state.pt: belongs to a run with other settings (train_clips " in capsys.readouterr().err


def test_other_flags_are_said_in_one_line(store, tmp_path, capsys):
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    capsys.readouterr()
    assert train(atnet, store, tmp_path, "-steps", 2, "-lr", 0.5, "-num_thread", 1) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(lines) == 1 and "steps 1 -> 2, lr 0.0002 -> 0.5" in lines[0] and "num_thread" not in lines[0]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_the_state_before_stands_in_for_a_lost_one(damage, store, tmp_path, capsys):
    options = (*SINGLE, "-save_minutes", 0, "-clip", 0)
    assert train(atnet, store, tmp_path / "whole", *options, "-steps", 4) == 0
    assert train(atnet, store, tmp_path / "lost", *options, "-steps", 3) == 0
    path = tmp_path / "lost" / "atnet_state.pt"
    assert (step_of(path), step_of(path.with_name("atnet_state_previous.pt"))) == (3, 2)
    path.write_bytes(path.read_bytes()[:1000]) if damage == "cut" else path.unlink()
    assert train(atnet, store, tmp_path / "lost", *options, "-steps", 4) == 0
    assert "going on from atnet_state_previous.pt, step 2" in capsys.readouterr().err
    same(weights(tmp_path / "whole"), weights(tmp_path / "lost"), rtol=0, atol=0)


def test_the_best_and_the_last_are_kept(store, tmp_path, monkeypatch):
    errors = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(atnet, "validate", lambda *_: {"mse": next(errors)})
    assert train(atnet, store, tmp_path, "-steps", 3, "-validate_every", 1) == 0
    steps = {
        name: load_model(tmp_path / f"{name}.safetensors").metadata["steps"]
        for name in ("atnet", "atnet_last")
    }
    assert steps == {"atnet": 2, "atnet_last": 3}
    assert step_of(tmp_path / "atnet_state_best.pt") == 2 and step_of(tmp_path / "atnet_state.pt") == 3


@pytest.mark.parametrize("script", [atnet, vgnet])
def test_weights_say_how_they_were_made(script, store, tmp_path):
    assert train(script, store, tmp_path, "-steps", 1, "-lr", 0.00125) == 0
    (path,) = tmp_path.glob("*_last.safetensors")
    notes = load_model(path).metadata
    assert notes["steps"] == 1 and notes["data"] == "grid.h5"
    assert notes["flags"]["lr"] == 0.00125 and notes["flags"]["splits"] == str(store.parent / "splits")
    assert notes["versions"]["torch"] == torch.__version__.split("+")[0] or notes["versions"]["torch"]
    assert set(notes["flags"]) == set(vars(script.parse_args([])))
    count, digits = notes["train_clips"].split(", ")
    assert (
        int(count) == len((store.parent / "splits" / "train.txt").read_text().split()) and len(digits) == 16
    )
    assert json.dumps(notes)


def test_accumulated_batches_are_one_large_one(store, tmp_path):
    """Of a network without batch normalisation"""
    options = (*SINGLE, "-clip", 0, "-precision", "fp32", "-steps", 3)
    assert train(atnet, store, tmp_path / "one", *options, "-batch_size", 4) == 0
    assert train(atnet, store, tmp_path / "two", *options, "-batch_size", 2, "-accumulate", 2) == 0
    same(weights(tmp_path / "one"), weights(tmp_path / "two"), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("script", [atnet, vgnet])
def test_half_precision_trains(script, store, tmp_path):
    for precision in ("fp16", "bf16"):
        assert train(script, store, tmp_path / precision, "-precision", precision, "-steps", 2) == 0
        (state,) = (tmp_path / precision).glob("*_state.pt")
        assert finite(read_state(state))
    assert read_state(tmp_path / "fp16" / state.name)["state"]["scaler"]["scale"] > 1


def test_float16_scales_the_loss_and_others_do_not():
    device = torch.device("cpu")
    assert grad_scaler("fp16", device).get_scale() > 1
    assert {grad_scaler(name, device).get_scale() for name in ("bf16", "fp32")} == {1.0}
    for name, kind in {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}.items():
        with autocast(name, device):
            assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == kind


def test_a_step_waits_for_the_device_once(store, tmp_path, monkeypatch):
    """Every read of a tensor's value in a step, but for the log's every tenth"""
    reads = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        own = getattr(torch.Tensor, name)

        def read(self, *args, own=own, name=name):
            if self.numel() and self.is_floating_point():
                reads.append(name)
            return own(self, *args)

        monkeypatch.setattr(torch.Tensor, name, read)
    counts = []
    for steps in (3, 5):
        reads.clear()
        options = ("-warp", "flow", "-mouth_adversarial_weight", 0.1, "-mouth_matching_weight", 1)
        assert train(vgnet, store, tmp_path / str(steps), "-steps", steps, *options) == 0
        counts.append(len(reads))
    assert counts[1] - counts[0] <= 2 * 1


def test_unknown_flags_are_one_line(capsys, store, tmp_path):
    assert train(atnet, store, tmp_path, "-stpes", 3) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "-stpes" in lines[0]


def spoil(monkeypatch, first: int, last: int = 10**9) -> None:
    """The batches of steps `first` to `last` - 1 become no numbers (four samples a step)."""
    drawn = SpeechSamples.__getitem__

    def spoilt(self, number):
        sample = drawn(self, number)
        if first <= number // 4 < last:
            sample["audio"][:] = float("nan")
        return sample

    monkeypatch.setattr(SpeechSamples, "__getitem__", spoilt)


def test_divergence_of_a_fresh_run_deletes_no_state(store, tmp_path, monkeypatch, capsys):
    spoil(monkeypatch, 3)
    assert train(atnet, store, tmp_path, "-steps", 90, "-validate_every", 3) == 2
    assert "the state of step 3 is kept" in capsys.readouterr().err
    state = read_state(tmp_path / "atnet_state.pt")
    assert state["step"] == 3 and finite(state)


def test_one_bad_last_step_ends_well(store, tmp_path, monkeypatch):
    spoil(monkeypatch, 5)
    assert train(atnet, store, tmp_path, "-steps", 6, "-validate_every", 4) == 0
    state = read_state(tmp_path / "atnet_state.pt")
    assert state["step"] == 6 and finite(state)


def test_steps_that_were_no_numbers_are_not_saved(store, tmp_path, capsys):
    """Not even where nothing validates, so that every saving would be the best"""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text((store.parent / "splits" / "train.txt").read_text())
    wild = ("-steps", 60, "-lr", 1e30, "-clip", 0, "-validate_every", 10, "-splits", lists)
    assert train(atnet, store, tmp_path / "out", *wild) == 2
    assert "diverged" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.safetensors")) and not list(
        (tmp_path / "out").glob("*_state.pt")
    )


def test_gradients_of_an_endless_norm_change_nothing(store, tmp_path, monkeypatch):
    own, calls = atnet.coefficient_loss, []

    def huge(*args):
        calls.append(1)
        return own(*args) * (1e30 if len(calls) == 2 else 1.0)

    monkeypatch.setattr(atnet, "coefficient_loss", huge)
    assert train(atnet, store, tmp_path, "-steps", 4, "-clip", 0, "-precision", "fp32") == 0
    state = read_state(tmp_path / "atnet_state.pt")
    assert finite(state) and {int(one["step"]) for one in state["state"]["optimiser"]["state"].values()} == {
        3
    }


def test_states_survive_a_stop_while_one_is_written(store, tmp_path, monkeypatch):
    """After a damaged last state the previous one stays until the next is whole."""
    options = (*SINGLE, "-save_minutes", 0)
    assert train(atnet, store, tmp_path, *options, "-steps", 3) == 0
    path = tmp_path / "atnet_state.pt"
    path.write_bytes(b"damaged")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        assert train(atnet, store, tmp_path, *options, "-steps", 5) == 130
    assert step_of(path.with_name("atnet_state_previous.pt")) == 2
    assert train(atnet, store, tmp_path, *options, "-steps", 5) == 0


def test_a_run_that_is_over_says_so(store, tmp_path, capsys):
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    capsys.readouterr()
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    assert "this run is over, at step 1" in capsys.readouterr().err


def test_new_betas_count(store, tmp_path):
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    assert train(atnet, store, tmp_path, "-steps", 2, "-beta1", 0.8) == 0
    (group,) = read_state(tmp_path / "atnet_state.pt")["state"]["optimiser"]["param_groups"]
    assert group["betas"][0] == 0.8


def test_a_run_that_goes_on_in_float16_scales_its_loss(store, tmp_path):
    assert train(atnet, store, tmp_path, "-steps", 1, "-precision", "fp32") == 0
    assert train(atnet, store, tmp_path, "-steps", 2, "-precision", "fp16") == 0
    assert read_state(tmp_path / "atnet_state.pt")["state"]["scaler"]["scale"] > 1


def test_the_best_state_is_kept_before_the_last_one_appears(tmp_path, monkeypatch):
    """A run that is killed in between repeats the step, and keeps it again."""
    moved, replace = [], os.replace
    monkeypatch.setattr(
        os, "replace", lambda part, path: (moved.append(Path(path).name), replace(part, path))
    )
    TrainingState(tmp_path / "a_state.pt", dict(model=torch.nn.Linear(2, 2)), dict(config={})).save(
        1, best=True
    )
    assert moved == ["a_state_best.pt", "a_state.pt"]
    both = [read_state(tmp_path / name)["step"] for name in moved]
    assert both == [1, 1]
