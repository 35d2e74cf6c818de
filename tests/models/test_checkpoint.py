"""One file rebuilds a network alone; every other file is refused in one line."""

import pickle
from pathlib import Path

import pytest
import torch

from models import ATNet, ATNetSingle, VGNet, load_model, save_model
from tests.synthetic import make_basis
from utils.errors import UserError
from utils.face.basis import LandmarkBasis

SMALL = dict(channels=(4, 4, 8, 8, 8), audio_features=(16, 8))


def test_a_network_comes_back_with_its_basis(tmp_path):
    model, basis = ATNet(**SMALL, hidden=8).eval(), make_basis()
    model.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    save_model(tmp_path / "a.safetensors", model, dict(steps=7))
    again = load_model(tmp_path / "a.safetensors", expect=(ATNet, ATNetSingle))
    audio, example = torch.randn(1, 3, 28, 12), torch.randn(1, 6)
    torch.testing.assert_close(model(audio, example), again(audio, example), atol=0, rtol=0)
    assert not again.training and again.metadata == dict(steps=7)
    assert LandmarkBasis.of(again).rest_opening == pytest.approx(basis.rest_opening)


def test_half_precision_is_half_the_size_and_loads_as_float(tmp_path):
    model = VGNet(8, 2)
    for name, half in (("full", False), ("half", True)):
        save_model(tmp_path / name, model, half=half)
    assert (tmp_path / "half").stat().st_size < 0.55 * (tmp_path / "full").stat().st_size
    again = load_model(tmp_path / "half")
    assert {x.dtype for x in again.parameters()} == {torch.float32}
    torch.testing.assert_close(again.state_dict(), model.state_dict(), atol=1e-3, rtol=1e-3)


def test_weights_from_before_an_option_take_its_default(tmp_path):
    save_model(tmp_path / "now", VGNet(4, 1))
    data = (tmp_path / "now").read_bytes()
    option = b', \\"attention\\": \\"map\\"'
    assert option in data
    (tmp_path / "old").write_bytes(data.replace(option, b" " * len(option)))
    assert load_model(tmp_path / "old").config == VGNet(4, 1).config


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hostile-was-here"),)


def test_bad_files_are_refused_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "good", ATNetSingle(**SMALL))
    data = (tmp_path / "good").read_bytes()
    (tmp_path / "truncated").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Hostile()))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "torch")
    changed = data.replace(b'components\\": 6', b'components\\": 7')
    assert changed != data
    (tmp_path / "changed").write_bytes(changed)
    for name in ("truncated", "empty", "pickle", "torch", "changed", "missing"):
        with pytest.raises(UserError, match=name) as refusal:
            load_model(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(
        UserError, match=r"changed: weights do not fit .*has the shape \(.*6.*\), but \(.*7.*\) would fit"
    ):
        load_model(tmp_path / "changed")
    with pytest.raises(UserError, match="holds the network ATNetSingle, but VGNet is needed"):
        load_model(tmp_path / "good", expect=VGNet)
    assert not (tmp_path / "hostile-was-here").exists()


def test_an_existing_file_stays_when_writing_fails(tmp_path):
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        save_model(tmp_path / "folder" / "a.safetensors", ATNetSingle(**SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
