"""convert.py: our networks give the original's outputs from its weights, and bad files leave nothing behind."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import convert
from models import ATNet, Discriminator, VGNet, load_model
from models.original.networks import ORIGINAL_NETWORKS
from training.state import TrainingState
from utils.errors import run

NAMES = list(ORIGINAL_NETWORKS)


def original(name: str, seed: int = 0, **widths: int) -> nn.Module:
    """A network of the original with seeded weights and batch normalisations that have seen something.

    Weights are larger than PyTorch's defaults, so that every layer's signal is still there in the output.
    """
    torch.manual_seed(seed)
    network = ORIGINAL_NETWORKS[name](**({"width": 8} | widths)).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data *= 2.2
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return network


def converted(network: nn.Module | dict, folder: Path, *options: str) -> nn.Module:
    """What load_model makes of the network (or of a saved dictionary) after convert.py."""
    source, out = folder / "original.pth", folder / "out.safetensors"
    torch.save(network.state_dict() if isinstance(network, nn.Module) else network, source)
    assert convert_file(source, out, *options) == 0
    return load_model(out)


def convert_file(source: Path, out: Path, *options: str) -> int:
    """The exit status of `python convert.py SOURCE OUT OPTIONS`."""
    return run(convert.main, lambda: convert.parse_args([str(source), str(out), *options]))


def refuses(source: Path, capsys, *options: str) -> str:
    """The one line with which convert.py refuses; an older output stays as it was, and nothing else is left."""
    folder = source.parent / "out"
    folder.mkdir()
    (folder / "out.safetensors").write_text("older")
    assert convert_file(source, folder / "out.safetensors", *options) == 2
    assert [path.name for path in folder.iterdir()] == ["out.safetensors"]
    assert (folder / "out.safetensors").read_text() == "older"
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.out + printed.err
    return printed.err


def inputs(name: str, batch: int, frames: int) -> tuple[torch.Tensor, ...]:
    """Random inputs in our order, as large as real ones: MFCC of tens, images in [-1, 1], landmarks about as much."""
    torch.manual_seed(1)
    audio, example = 20 * torch.randn(batch, frames, 28, 12), torch.randn(batch, 6)
    image, landmarks = torch.rand(batch, 3, 128, 128) * 2 - 1, torch.randn(batch, frames, 136)
    clip = torch.rand(batch, frames, 3, 128, 128) * 2 - 1
    return {
        "AT_net": (audio, example),
        "AT_single": (audio,),
        "VG_net": (image, landmarks, landmarks[:, 0].roll(1)),
        "GL_Discriminator": (clip, landmarks[:, 0]),
    }[name]


@torch.no_grad()
def outputs(network: nn.Module, name: str, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The original's outputs, in our order and shapes."""
    if name == "AT_net":
        return (network(*arguments[::-1]),)
    if name == "AT_single":
        return (torch.stack([network(frame) for frame in arguments[0].unbind(1)], dim=1),)
    return network(*arguments)


@torch.no_grad()
def our_outputs(
    network: nn.Module, name: str, arguments: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    out = network(*arguments)
    if name == "GL_Discriminator":
        return torch.sigmoid(out[0]), out[1]
    return tuple(out[:4]) if name == "VG_net" else (out,)


def assert_same(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> None:
    assert len(ours) == len(theirs)
    for mine, reference in zip(ours, theirs, strict=True):
        assert reference.numel() < 5 or reference.std() > 1e-2  # a constant would prove nothing
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "batch", "frames", "widths"),
    [
        ("AT_net", 1, 5, {}),
        ("AT_net", 3, 5, {"width": 16}),
        ("AT_single", 1, 5, {}),
        ("AT_single", 3, 5, {"width": 16}),
        ("VG_net", 1, 5, {}),
        ("VG_net", 1, 1, {"width": 16, "blocks": 3}),
        ("GL_Discriminator", 1, 16, {}),
        ("GL_Discriminator", 3, 16, {"width": 16}),
        ("AT_net", 1, 5, {"width": 64}),  # from here on as released
        ("AT_single", 1, 5, {"width": 64}),
        ("VG_net", 1, 2, {"width": 64}),
        ("GL_Discriminator", 1, 16, {"width": 64}),
    ],
)
def test_outputs_are_the_originals(name, batch, frames, widths, tmp_path):
    network = original(name, **widths)
    arguments = inputs(name, batch, frames)
    ours = our_outputs(converted(network, tmp_path), name, arguments)
    assert_same(ours, outputs(network, name, arguments))


@pytest.mark.parametrize("name", NAMES)
def test_prefix_and_wrapper_change_nothing(name, tmp_path):
    state = original(name).state_dict()
    plain = converted(state, tmp_path).state_dict()
    prefixed = {f"module.{key}": tensor for key, tensor in state.items()}
    wrapped = {"state_dict": prefixed, "epoch": 3}
    for saved in (prefixed, wrapped):
        again = converted(saved, tmp_path).state_dict()
        assert again.keys() == plain.keys()
        assert all(torch.equal(again[key], plain[key]) for key in plain)


def test_every_tensor_is_used_or_named(tmp_path, capsys):
    state = original("GL_Discriminator").state_dict()
    ours = converted(state, tmp_path).state_dict()
    said = capsys.readouterr().out
    used = sum(not key.startswith("decoder.") and not key.endswith("num_batches_tracked") for key in state)
    assert used == sum(not key.endswith("num_batches_tracked") for key in ours)
    assert "3 num_batches_tracked, decoder.0.weight, decoder.0.bias, decoder.2.weight, decoder.2.bias" in said


def test_files_without_batch_counters_load_too(tmp_path):
    state = {key: x for key, x in original("VG_net").state_dict().items() if "num_batches" not in key}
    assert isinstance(converted(state, tmp_path), VGNet)


def test_files_of_old_pytorch_load_too(tmp_path):
    torch.save(original("AT_net").state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert convert_file(tmp_path / "old.pth", tmp_path / "out.safetensors") == 0
    assert isinstance(load_model(tmp_path / "out.safetensors"), ATNet)


def test_original_mixes_the_clips_of_a_batch_and_ours_does_not(tmp_path):
    network, arguments = original("VG_net"), inputs("VG_net", 2, 3)
    theirs = outputs(network, "VG_net", arguments)
    model = converted(network, tmp_path)
    ours = our_outputs(model, "VG_net", arguments)
    assert_same([x[:1] for x in ours], [x[:1] for x in theirs])
    assert (ours[0][1] - theirs[0][1]).abs().max() > 1e-3
    alone = tuple(x[1:] for x in arguments)
    assert_same([x[1:] for x in ours], outputs(network, "VG_net", alone))


def test_recurrence_over_time_is_the_originals_over_its_batch(tmp_path):
    """The original remembers along the batch; so frames handed to it as a batch of clips are what "time" computes."""
    network = original("VG_net")
    image, landmarks, example = inputs("VG_net", 1, 5)
    model = converted(network, tmp_path, "--recurrence", "time")
    assert model.config["recurrence"] == "time"
    ours = our_outputs(model, "VG_net", (image, landmarks, example))
    stacked = image.expand(5, -1, -1, -1), landmarks.transpose(0, 1), example.expand(5, -1)
    assert_same(ours, [x.transpose(0, 1) for x in outputs(network, "VG_net", stacked)])


@pytest.mark.parametrize("half", [(), ("--half",)])
def test_what_is_converted_twice_is_the_same_bytes(half, tmp_path):
    source = tmp_path / "original.pth"
    torch.save(original("AT_net").state_dict(), source)
    for number in range(4):
        assert convert_file(source, tmp_path / str(number), *half) == 0
    assert len({(tmp_path / str(number)).read_bytes() for number in range(4)}) == 1


def test_pca_basis_travels_with_an_atnet(tmp_path):
    u, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(136, 136)))
    mean = np.linspace(-0.8, 0.8, 136)
    np.save(tmp_path / "u.npy", u)
    np.save(tmp_path / "mean.npy", mean)
    model = converted(
        original("AT_net"), tmp_path, "--pca", str(tmp_path / "u.npy"), str(tmp_path / "mean.npy")
    )
    assert model.config["space"] == "original"
    torch.testing.assert_close(
        model.landmark_components.double(), torch.from_numpy(u[:, :6].copy()), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(model.landmark_mean.double(), torch.from_numpy(mean), atol=1e-6, rtol=0)


def test_an_atnet_without_basis_says_so(tmp_path, capsys):
    model = converted(original("AT_single"), tmp_path)
    assert not model.landmark_components.any()
    assert "no landmark basis" in capsys.readouterr().out


@pytest.mark.parametrize("average", [False, True])
def test_training_states_of_this_repository_become_weights(average, tmp_path):
    torch.manual_seed(0)
    model, discriminator = VGNet(width=4, blocks=1, warp="landmark").eval(), Discriminator(width=4)
    state = TrainingState(
        tmp_path / "state.pt",
        {"model": model, "discriminator": discriminator, "optimiser": torch.optim.Adam(model.parameters())},
        {"config": model.config, "seed": 0},
    )
    if average:
        state.average = AverageStandIn({name: x * 0.5 for name, x in model.state_dict().items()})
    state.save(3)
    assert convert_file(tmp_path / "state.pt", tmp_path / "out.safetensors") == 0
    loaded = load_model(tmp_path / "out.safetensors", expect=VGNet)
    assert loaded.config == model.config
    scale = 0.5 if average else 1
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(loaded.get_parameter(name), parameter * scale)


class AverageStandIn:
    def __init__(self, weights):
        self.weights = weights


class Hostile:
    """A pickle that runs a command when it is opened carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_hostile_pickles_do_not_run(tmp_path, capsys):
    marker = tmp_path / "it ran"
    for number, save in enumerate((torch.save, lambda x, path: path.write_bytes(pickle.dumps(x)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        save({"state_dict": Hostile(marker)}, folder / "hostile.pth")
        assert "hostile.pth: not a whole file of PyTorch weights" in refuses(folder / "hostile.pth", capsys)
    assert not marker.exists()


def test_missing_file(tmp_path, capsys):
    assert "nowhere.pth: no such file" in refuses(tmp_path / "nowhere.pth", capsys)


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.999])
def test_truncated_file(keep, tmp_path, capsys):
    source = tmp_path / "cut.pth"
    torch.save(original("AT_net", width=2).state_dict(), source)
    data = source.read_bytes()
    source.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    assert "cut.pth: not a whole file" in refuses(source, capsys)


def _changed(change):
    def make():
        state = dict(original("VG_net", blocks=1).state_dict())
        change(state)
        return state

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(2, 2).state_dict(), "none of the original's"),
        (lambda: {}, "no named tensors"),
        (lambda: {"state_dict": 3}, "no named tensors"),
        (lambda: {1: torch.zeros(1)}, "no named tensors"),
        (lambda: [torch.zeros(1)], "holds a list"),
        (lambda: torch.zeros(3), "holds a Tensor"),
        (lambda: {"convGRU.weight_ih_l0": "text"}, "not a plain tensor"),
        (lambda: {"convGRU.weight_ih_l0": torch.zeros(2).to_sparse()}, "not a plain tensor"),
        (lambda: {"convGRU.weight_ih_l0": torch.zeros(2)}, "is missing"),
        (lambda: {"a": torch.zeros(1), "module.a": torch.zeros(1)}, "there twice"),
        (_changed(lambda s: s.pop("base.3.weight")), "decoder.1.0.weight is missing"),
        (_changed(lambda s: s.pop("image_encoder1.1.0.weight")), "image_encoder.1.0.weight is missing"),
        (_changed(lambda s: s.update(more=torch.zeros(1))), "no tensor more"),
        (_changed(lambda s: s.update({"base.7.weight": torch.zeros(1)})), "no tensor base.7.weight"),
        (_changed(lambda s: s.update({"base.3.weight": torch.zeros(9, 9)})), "has the shape (9, 9)"),
        (_changed(lambda s: s.update({"landmark_encoder.0.weight": torch.zeros(())})), "impossible shapes"),
        (
            _changed(lambda s: s.update({"image_encoder1.1.0.weight": torch.zeros(0)})),
            "no VGNet has such shapes",
        ),
    ],
)
def test_other_files(make, message, tmp_path, capsys):
    torch.save(make(), tmp_path / "other.pth")
    assert message in refuses(tmp_path / "other.pth", capsys)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("VG_net", ["--pca", "u.npy", "mean.npy"], "--pca belongs to AT-nets"),
        ("AT_net", ["--recurrence", "time"], "--recurrence belongs to VG_net"),
        ("AT_net", ["--pca", "nowhere.npy", "mean.npy"], "nowhere.npy: no NumPy array"),
        ("AT_net", ["--pca", "mean.npy", "u.npy"], "mean.npy: not a finite array of shape (136, 136)"),
        ("AT_net", ["--pca", "zeros.npy", "mean.npy"], "not orthonormal"),
        ("AT_net", ["--pca", "u.npy", "small.npy"], "five times too small"),
        ("AT_net", ["--pca", "pickled.npy", "mean.npy"], "pickled.npy: no NumPy array"),
    ],
)
def test_options_that_do_not_fit(name, options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("u.npy", np.eye(136))
    np.save("zeros.npy", np.zeros((136, 136)))
    np.save("mean.npy", np.ones(136))
    np.save("small.npy", np.ones(136) / 20)
    np.save("pickled.npy", np.array([{}]), allow_pickle=True)
    torch.save(original(name, **({"blocks": 1} if name == "VG_net" else {})).state_dict(), "original.pth")
    assert message in refuses(tmp_path / "original.pth", capsys, *options)


def test_output_in_place_of_the_original_or_where_nothing_can_be_written(tmp_path, capsys):
    source = tmp_path / "original.pth"
    torch.save(original("AT_net", width=2).state_dict(), source)
    before = source.read_bytes()
    assert convert_file(source, source) == 2
    assert convert_file(source, source / "out.safetensors") == 2
    assert source.read_bytes() == before
    assert capsys.readouterr().err.count("\n") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["original.pth"]
