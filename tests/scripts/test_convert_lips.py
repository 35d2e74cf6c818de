"""convert.py and VCA-GAN's checkpoints: the generator, with --judges what judges it, and files that are not whole."""

from pathlib import Path

import pytest
import torch
from torch import nn

import convert
from models import load_model
from models.lips.generator import LipToSpeech
from models.lips.judges import SpeechJudge, SyncNet
from tests.models.lips.originals import PARTS, checkpoint, ours, seeded
from training.export import start_together
from training.state import TrainingState
from utils.errors import UserError, run

TINY = dict(front=2, context=6, decoder=128, noise=3, postnet=4, judges=2, sync=3)


@pytest.fixture(scope="module")
def saved() -> dict:
    return checkpoint(seeded(**TINY))


def convert_file(saved: dict, folder: Path, *options: str) -> int:
    """The exit status of `python convert.py FOLDER/Best.ckpt FOLDER/out/lips.safetensors OPTIONS`"""
    torch.save(saved, folder / "Best.ckpt")
    (folder / "out").mkdir(exist_ok=True)
    arguments = [str(folder / "Best.ckpt"), str(folder / "out" / "lips.safetensors"), *options]
    return run(convert.main, lambda: convert.parse_args(arguments))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


def assert_same_weights(network: nn.Module, expected: nn.Module) -> None:
    assert network.config == expected.config
    state = expected.state_dict()
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, state[name]), name


@torch.no_grad()
def test_the_generator_speaks_as_the_original(tmp_path, capsys):
    original = seeded()
    assert convert_file(checkpoint(original), tmp_path) == 0
    assert files(tmp_path) == ["lips.safetensors"]
    assert "Best.ckpt (VCA-GAN) -> " in capsys.readouterr().out
    model = load_model(tmp_path / "out" / "lips.safetensors", expect=LipToSpeech)
    assert model.metadata == dict(source="Best.ckpt", made_by="convert.py", original="VCA-GAN")
    widths = dict(front=4, context=24, decoder=128, postnet=10, noise=6)
    others = dict(size=112, view=1.0, dropout=0.3, text=False, voice=0, rows=0, sketch=False)
    others |= dict(sketch_width=0)
    assert model.config == widths | others
    mouths, noise = torch.randn(1, 5, 112, 112), torch.randn(1, 6, 20, 5)
    local, context = original["v_front"](mouths.unsqueeze(1))
    mels, _ = original["gen"](context, local, [5], noise)
    speech = model(mouths, None, noise)
    assert mels[2].std() > 0.05
    torch.testing.assert_close(speech.mels[2], mels[2].squeeze(1), rtol=1e-5, atol=1e-5)
    spectrum = original["post"](mels[2]).squeeze(1)
    torch.testing.assert_close(speech.spectrum, spectrum, rtol=1e-5, atol=1e-5)


def test_judges_travel_beside_the_generator(saved, tmp_path):
    assert convert_file(saved, tmp_path, "--judges") == 0
    assert files(tmp_path) == ["lips.safetensors", "lips_judge.safetensors", "lips_sync.safetensors"]
    kinds = (LipToSpeech, SpeechJudge, SyncNet)
    for name, kind, expected in zip(("", "_judge", "_sync"), kinds, ours(saved), strict=True):
        assert_same_weights(load_model(tmp_path / "out" / f"lips{name}.safetensors", expect=kind), expected)
    configs = [network.config for network in ours(saved)[1:]]
    assert configs == [
        dict(context=6, width=2),
        dict(features=16, width=3, temperature=1.0, learned=False),
    ]


def test_training_starts_from_all_three(saved, tmp_path):
    assert convert_file(saved, tmp_path, "--judges") == 0
    path, expected = tmp_path / "out" / "lips.safetensors", ours(saved)
    fresh = [type(network)(**network.config) for network in expected]
    networks = dict(zip(("model", "judge", "sync"), fresh, strict=True))
    start_together(networks, path)
    for network, wanted in zip(fresh, expected, strict=True):
        assert_same_weights(network, wanted)
    (tmp_path / "out" / "lips_sync.safetensors").unlink()
    alone = SyncNet(**expected[2].config)
    before = alone.out.weight.clone()
    start_together(networks | dict(sync=alone), path)
    assert torch.equal(alone.out.weight, before)
    with pytest.raises(UserError, match=r"lips_judge.safetensors: its network has width 2; give the same"):
        start_together(networks | dict(judge=SpeechJudge(6, 4)), path)


def test_prefixes_and_other_entries_change_nothing(saved, tmp_path):
    parallel = {key: {f"module.{name}": x for name, x in state.items()} for key, state in saved.items()}
    bare = {
        key: {name: x for name, x in state.items() if "num_batches" not in name}
        for key, state in saved.items()
    }
    for other in (parallel | dict(epoch=3), bare):
        assert convert_file(other, tmp_path) == 0
        model = load_model(tmp_path / "out" / "lips.safetensors", expect=LipToSpeech)
        assert_same_weights(model, ours(saved)[0])


def test_half_precision(saved, tmp_path):
    assert convert_file(saved, tmp_path) == 0
    whole = (tmp_path / "out" / "lips.safetensors").stat().st_size
    assert convert_file(saved, tmp_path, "--half", "--judges") == 0
    assert (tmp_path / "out" / "lips.safetensors").stat().st_size < 0.6 * whole
    sync = load_model(tmp_path / "out" / "lips_sync.safetensors", expect=SyncNet)
    torch.testing.assert_close(sync.out.weight, ours(saved)[2].out.weight, rtol=1e-3, atol=1e-4)


def test_the_generator_alone_needs_no_judges(saved, tmp_path, capsys):
    generator = {f"{part}_state_dict": saved[f"{part}_state_dict"] for part in ("v_front", "gen", "post")}
    assert convert_file(generator, tmp_path) == 0
    (tmp_path / "out" / "lips.safetensors").unlink()
    message = refused(generator, tmp_path, capsys, "--judges")
    assert "without dis1_state_dict, dis2_state_dict, dis3_state_dict, s_dis_state_dict; " in message


def refused(saved: dict, folder: Path, capsys, *options: str) -> str:
    """The one line with which convert.py refuses, without leaving any file"""
    capsys.readouterr()
    assert convert_file(saved, folder, *options) == 2
    assert files(folder) == []
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {folder}/Best.ckpt: ") and printed.count("\n") == 1
    return printed


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_missing(part, saved, tmp_path, capsys):
    rest = {key: state for key, state in saved.items() if key != f"{part}_state_dict"}
    message = refused(rest, tmp_path, capsys, "--judges")
    assert f"a checkpoint of VCA-GAN without {part}_state_dict; " in message


@pytest.mark.parametrize(
    ("part", "name", "change", "message"),
    [
        ("gen", "g2.0.conv1x1.weight", None, "decoder.middle.0.shortcut.weight is missing in a LipToSpeech"),
        ("gen", "decode.0.conv1.weight", None, "incomplete, decoder.bottleneck.0.conv1.weight is missing"),
        ("v_front", "resnet.layer3.0.bn1.bias", torch.zeros(5), "has the shape (5,), but (8,) would fit"),
        ("v_front", "frontend.0.weight", torch.zeros(()), "tensors of impossible shapes"),
        ("v_front", "frontend.0.weight", torch.zeros(9, 1, 5, 7, 7), "has such shapes (its noise is -53)"),
        ("post", "postnet.9.weight", torch.zeros(1), "postnet.layers.9.weight is unknown in a LipToSpeech"),
        ("post", "other.weight", torch.zeros(1), "has no tensor other.weight"),
        ("post", "postnet.0.bias", torch.full((4,), torch.nan), "postnet.0.bias has numbers that are not"),
        ("dis1", "cond.1.weight", torch.zeros(3), "tensors of impossible shapes"),
        (
            "dis3",
            "main.4.conv1x1.weight",
            None,
            "sizes.2.layers.4.shortcut.weight is missing in a SpeechJudge",
        ),
        ("s_dis", "Linear.weight", torch.zeros(()), "tensors of impossible shapes"),
        ("s_dis", "Res_block.0.bn2.weight", None, "layers.6.norm2.weight is missing in a SyncNet"),
    ],
)
def test_a_tensor_is_odd(part, name, change, message, saved, tmp_path, capsys):
    state = {key: x for key, x in saved[f"{part}_state_dict"].items() if key != name}
    odd = saved | {f"{part}_state_dict": state | ({} if change is None else {name: change})}
    assert message in refused(odd, tmp_path, capsys, "--judges")


def test_options_that_do_not_fit(saved, tmp_path, capsys):
    for option in (["--recurrence", "time"], ["--pca", "u.npy", "mean.npy"], ["--template", "mean.npy"]):
        assert "VCA-GAN has no landmarks; drop --pca" in refused(saved, tmp_path, capsys, *option)
    part = saved["gen_state_dict"]  # bare, without its name
    assert "or VCA-GAN's checkpoints" in refused(part, tmp_path, capsys)


def test_a_training_state_of_lip_to_speech(tmp_path):
    torch.manual_seed(0)
    model = LipToSpeech(size=64, view=0.7, front=2, context=4, decoder=16, postnet=4, noise=2, text=True)
    state = TrainingState(tmp_path / "state.pt", {"model": model}, {"config": model.config, "seed": 0})
    state.save(3)
    out = tmp_path / "lips.safetensors"
    assert convert.main(convert.parse_args([str(tmp_path / "state.pt"), str(out)])) is None
    assert_same_weights(load_model(out, expect=LipToSpeech), model)
    arguments = [str(tmp_path / "state.pt"), str(tmp_path / "other.safetensors"), "--judges"]
    with pytest.raises(UserError, match=r"--judges belongs to checkpoints of VCA-GAN, .*state.pt is none"):
        convert.main(convert.parse_args(arguments))
    assert not (tmp_path / "other.safetensors").exists()
