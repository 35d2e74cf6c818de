"""States that are damaged, of another run, or made to hurt: one line, before any of it is loaded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import ATNetSingle
from tests.scripts.test_train_scripts import train
from tests.synthetic import make_store
from training.export import MovingAverage
from training.precision import grad_scaler
from training.state import TrainingState, Validation, read_state
from utils.errors import UserError

CPU = torch.device("cpu")
KINDS = {
    "adam": lambda weights: torch.optim.Adam(weights, fused=True, amsgrad=True),
    "sgd": lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9),
}


def run(path: Path, kind: str = "adam", trained: bool = False) -> TrainingState:
    torch.manual_seed(1)
    model = ATNetSingle(channels=(2, 2, 2, 2, 2), audio_features=(4, 4))
    optimiser = KINDS[kind](model.parameters())
    if trained:
        model(torch.ones(1, 1, 28, 12)).sum().backward()
        optimiser.step()
    parts = dict(model=model, optimiser=optimiser, scaler=grad_scaler("fp32", CPU), validation=Validation())
    return TrainingState(path, parts, dict(config=model.config), dict(lr=1), MovingAverage(model, 0.9))


def refused(saved: object, path: Path, kind: str = "adam") -> str:
    torch.save(saved, path)
    later = run(path, kind)
    before = copy.deepcopy([later.parts["model"].state_dict(), later.average.weights])
    with pytest.raises(UserError, match=r"a_state\.pt: ") as said:
        later.load(CPU)
    assert "\n" not in str(said.value)
    after = [later.parts["model"].state_dict(), later.average.weights]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)  # nothing of it was loaded
    return str(said.value)


def tensors(saved: object) -> list[tuple[dict, object]]:
    """Where in a state its tensors are"""
    if not isinstance(saved, dict):
        return []
    here = [(saved, key) for key, value in saved.items() if isinstance(value, Tensor)]
    return here + [place for value in saved.values() for place in tensors(value)]


def entries(saved: object) -> list[tuple[dict, object]]:
    """Where in a state is anything at all"""
    if isinstance(saved, list):
        return [place for value in saved for place in entries(value)]
    if not isinstance(saved, dict):
        return []
    return [(saved, key) for key in saved] + [place for value in saved.values() for place in entries(value)]


@pytest.fixture(scope="module", params=KINDS)
def state(request, tmp_path_factory) -> tuple[str, dict]:
    path = tmp_path_factory.mktemp("state") / "a_state.pt"
    run(path, request.param, trained=True).save(7)
    return request.param, read_state(path)


def test_a_whole_state_is_loaded(state, tmp_path):
    kind, saved = state
    torch.save(saved, tmp_path / "a_state.pt")
    later = run(tmp_path / "a_state.pt", kind)
    assert later.load(CPU) == 7
    torch.testing.assert_close(dict(later.parts["model"].state_dict()), dict(saved["state"]["model"]))


SHAPES: dict[str, Callable[[Tensor], object]] = {
    "shorter": lambda x: x.flatten()[:-1].clone(),
    "longer": lambda x: torch.zeros((*x.shape, 2)),
    "one number, said often": lambda x: torch.zeros(1).expand(x.shape) if x.numel() > 1 else torch.zeros(3),
    "complex": lambda x: x.to(torch.complex64),
    "whole numbers": lambda x: x.long(),
    "sparse": lambda x: x.to_sparse() if x.ndim else None,
    "nan": lambda x: torch.full_like(x, float("nan")),
    "text": lambda x: "x",
    "list": lambda x: [1.0],
    "nothing": lambda x: None,
}


@pytest.mark.parametrize("change", SHAPES)
def test_tensors_that_are_none_of_the_parts(state, change, tmp_path):
    kind, saved = state
    count = len(tensors(saved))
    assert count > 30
    for number in range(0, count, 7):
        odd = copy.deepcopy(saved)
        holder, key = tensors(odd)[number]
        holder[key] = SHAPES[change](holder[key])
        if not (change == "nothing" and key == "momentum_buffer"):
            refused(odd, tmp_path / "a_state.pt", kind)


def test_entries_that_are_missing_or_of_another_kind(state, tmp_path):
    kind, saved = state
    optional = {"flags", "halvings", "momentum_buffer", "scaler", "validation"}  # older states lack them
    optional |= {"amsgrad", "foreach", "fused", "nesterov", "maximize", "capturable", "differentiable"}
    optional |= {"decoupled_weight_decay"}
    for number, (_, key) in enumerate(entries(saved)):
        for odd in ("missing", "x", -3.5, [], {}) if number % 8 == 0 else ("missing",):
            changed = copy.deepcopy(saved)
            holder, _ = entries(changed)[number]
            if odd == "missing":
                del holder[key]
                if key in optional or isinstance(key, int):
                    continue
            else:
                holder[key] = odd
                if (key == "best" and odd == -3.5) or (
                    odd == {} and (key == "state" or isinstance(key, int))
                ):
                    continue  # an error may be anything; a parameter that has had no gradient has no moments
            refused(changed, tmp_path / "a_state.pt", kind)


def test_switches_that_forbid_a_step(state, tmp_path):
    kind, saved = state
    for switch in ("maximize", "capturable", "differentiable"):
        odd = copy.deepcopy(saved)
        odd["state"]["optimiser"]["param_groups"][0][switch] = True
        if switch in saved["state"]["optimiser"]["param_groups"][0]:
            assert switch in refused(odd, tmp_path / "a_state.pt", kind)


@pytest.mark.parametrize("settings", ["", "{", "[]", "3", "[" * 100_000, "{}", '{"config": 3}', 3, None])
def test_settings_that_are_none(state, settings, tmp_path):
    kind, saved = state
    refused(saved | dict(settings=settings), tmp_path / "a_state.pt", kind)


@pytest.mark.parametrize("step", [-1, True, 2.5, "3", None, 2**70, torch.ones(3)])
def test_steps_that_are_none(state, step, tmp_path):
    kind, saved = state
    refused(saved | dict(step=step), tmp_path / "a_state.pt", kind)


def test_another_optimiser_s_state(state, tmp_path):
    kind, saved = state
    if kind == "sgd":
        assert "optimiser" in refused(saved, tmp_path / "a_state.pt", "adam")
    else:
        assert "optimiser" in refused(saved, tmp_path / "a_state.pt", "sgd")


def test_files_that_are_none(state, tmp_path):
    path = tmp_path / "a_state.pt"
    torch.save(state[1], path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(state[1]["state"]["model"]["head.weight"].numpy().tobytes())] ^= 1
    for held in (b"", b"text", whole[: len(whole) // 2], bytes(len(whole)), bytes(flipped)):
        path.write_bytes(held)
        with pytest.raises(UserError, match=r"a_state\.pt: not a whole training state"):
            run(path, state[0]).load(CPU)
    for odd in ([], 3, torch.ones(3), {"format": torch.ones(3)}):
        refused(odd, path, state[0])


def test_a_moment_of_another_shape_ends_a_script_in_one_line(tmp_path, capsys):
    """A fused Adam read beyond such a tensor, and the process ended with a signal."""
    store = make_store(tmp_path / "grid.h5", clips=6, size=64)
    assert train_once(store, tmp_path, 1) == 0
    path = tmp_path / "out" / "atnet_state.pt"
    saved = torch.load(path, weights_only=True)
    saved["state"]["optimiser"]["state"][0]["exp_avg"] = torch.zeros(1)
    torch.save(saved, path)
    capsys.readouterr()
    assert train_once(store, tmp_path, 2) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(
        f"error: {path}: damaged, or of another run (optimiser.0.exp_avg has the shape (1,)"
    )


def train_once(store: Path, folder: Path, steps: int) -> int:
    import atnet

    return train(atnet, store, folder / "out", "-steps", steps, "-lstm", "false", "-augment", "false")


def test_settings_of_another_run_are_said_in_one_line(state, tmp_path):
    kind, saved = state
    settings = json.loads(saved["settings"])
    settings["config"]["space"] = "two\nlines" * 100
    assert "other settings (space" in refused(
        saved | dict(settings=json.dumps(settings)), tmp_path / "a_state.pt", kind
    )
