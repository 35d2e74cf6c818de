"""Files of weights that lie about their network: one line each, before memory or time is spent."""

import json
import resource
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from models import NETWORKS, load_model, save_model
from models.checkpoint import in_order
from models.options import skeleton
from utils.errors import UserError

AUDIO = dict(channels=[2, 2, 2, 2, 2], audio_features=[4, 4])
SMALL = {
    "ATNet": dict(**AUDIO, example_features=[4, 4], hidden=4, layers=1),
    "ATNetSingle": AUDIO,
    "WhisperATNet": dict(width=4, hidden=2, encoder=dict(mels=4, width=4, layers=1, heads=2)),
    "NRNet": dict(filters=1),
    "VGNet": dict(width=2, blocks=1, size=16),
    "Discriminator": dict(width=2, features=4, hidden=4, layers=1, size=16),
    "WhisperEncoder": dict(mels=4, width=4, layers=1, heads=2, positions=4),
    "LipToSpeech": dict(size=32, front=2, context=4, decoder=16, postnet=4, noise=2, text=True, rows=2),
    "SpeechJudge": dict(context=4, width=2),
    "SyncNet": dict(features=4, width=2),
    "HeadMotion": dict(past=2, frames=14, width=4, rounds=1),
    "RotateAudio": dict(past=2, frames=14, width=4, smoothing=3),
    "LipReader": dict(classes=["bin", "lay"], size=32, front=2, hearing=2, width=8, slots=3, heads=2),
    "RhythmicNet": dict(widths=[2, 4, 4, 8], flow_widths=[2, 4], flow_blocks=1, size=16),
    "RhythmicDiscriminator": dict(width=2, layers=2),
}
ODD = [
    0,
    -1,
    2**70,
    10**9,
    1e400,
    float("nan"),
    2.5,
    True,
    "3",
    None,
    [],
    [1] * 50,
    {},
    [[3]],
    {"a": 1},
    "\n",
]


@pytest.fixture(scope="module", params=NETWORKS)
def written(request, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_model(path, NETWORKS[request.param](**SMALL[request.param]), dict(steps=7))
    return path


def rewritten(
    path: Path, out: Path, config: object = None, tensors: dict | None = None, **header: str
) -> Path:
    """The file with another configuration, other tensors, or other words in its header"""
    data = path.read_bytes()
    old = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    new = old | header | ({} if config is None else dict(config=json.dumps(config)))
    out.write_bytes(save((load(data) | (tensors or {})), new))
    return out


def refused(path: Path) -> str:
    begin, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=path.name) as said:
        load_model(path)
    assert "\n" not in str(said.value)
    assert time.process_time() - begin < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # KB
    return str(said.value)


def test_options_that_make_no_sense(written, tmp_path):
    config = load_model(written).config
    for name, good in config.items():
        for odd in ODD:
            same_kind = type(odd) is type(good) or (isinstance(good, float) and type(odd) in (int, float))
            within = name in (
                "dropout",
                "gain",
                "guidance",
                "emphasis",
                "radius",
                "temperature",
                "view",
            ) and odd in (
                0,
                -1,
                2.5,
                10**9,
            )
            allowed = (name == "encoder" and odd is None) or (same_kind and good == odd)
            if (
                within
                or allowed
                or (name == "heads" and odd == 0)
                or (isinstance(good, bool) and odd is True)
            ):
                continue
            refused(rewritten(written, tmp_path / "odd.safetensors", config | {name: odd}))
        if isinstance(good, int) and not isinstance(good, bool) and name != "size":
            assert "fit" in refused(rewritten(written, tmp_path / "odd", config | {name: good + 5000}))
    assert "has no option 'wdth'" in refused(rewritten(written, tmp_path / "odd", config | {"wdth": 3}))
    for config in ([], 3, "x"):
        refused(rewritten(written, tmp_path / "odd", config))


def test_networks_that_are_called_by_another_name(written, tmp_path):
    for name in NETWORKS.keys() - {written.stem}:
        refused(rewritten(written, tmp_path / "odd", network=name))
    assert "not a network of this repository" in refused(
        rewritten(written, tmp_path / "odd", network="Other")
    )


def test_texts_in_the_header_that_are_no_json(written, tmp_path):
    for name in ("config", "metadata"):
        for odd in ("", "{", "[" * 100_000, "null", "3", '"x"', "[]", "1" * 5000):
            refused(rewritten(written, tmp_path / "odd", **{name: odd}))


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_no_numbers(written, tmp_path, odd, half):
    tensors = {
        name: x.half() if half and x.is_floating_point() else x
        for name, x in load(written.read_bytes()).items()
    }
    for name in list(tensors)[:: max(1, len(tensors) // 5)]:
        spoilt = tensors[name].clone()
        spoilt.view(-1)[-1] = odd
        said = refused(rewritten(written, tmp_path / "odd", tensors=tensors | {name: spoilt}))
        assert f"{name} has numbers that are not finite" in said


def test_large_weights_whose_sum_is_infinite_are_numbers(tmp_path):
    network = NETWORKS["ATNetSingle"](**AUDIO)
    with torch.no_grad():
        network.head.weight.fill_(3e38)
    save_model(tmp_path / "large", network)
    assert (load_model(tmp_path / "large").head.weight == torch.tensor(3e38)).all()


def test_tensors_of_another_shape_or_kind(written, tmp_path):
    tensors = load(written.read_bytes())
    name, tensor = next((name, x) for name, x in tensors.items() if x.ndim > 1)
    for odd in (
        tensor.flatten(),
        tensor[None],
        tensor[:0],
        tensor.long(),
        tensor.bool(),
        tensor.transpose(0, 1).contiguous(),
    ):
        if odd.shape != tensor.shape or odd.dtype != tensor.dtype:
            refused(rewritten(written, tmp_path / "odd", tensors={name: odd}))
    assert "1 unknown" in refused(rewritten(written, tmp_path / "odd", tensors={"other": tensor.clone()}))


def test_spaces_that_a_network_cannot_speak(tmp_path):
    for network, space in dict(
        ATNet="face", ATNetSingle="face", WhisperATNet="face", NRNet="original"
    ).items():
        save_model(tmp_path / network, NETWORKS[network](**SMALL[network]))
        config = load_model(tmp_path / network).config
        said = refused(rewritten(tmp_path / network, tmp_path / "odd", config | dict(space=space)))
        assert f"space must be {'motion or face' if network == 'NRNet' else 'motion or original'}" in said


def test_a_skeleton_has_the_shapes_of_its_network_and_loads_no_compiler(written):
    network, config = NETWORKS[written.stem], load_model(written).config
    shapes = {name: x.shape for name, x in network(**config).state_dict().items()}
    assert {name: x.shape for name, x in skeleton(network, config).state_dict().items()} == shapes
    ask = "import sys; from models import load_model; load_model(sys.argv[1]); print('torch._dynamo' in sys.modules)"
    if written.stem in ("ATNet", "VGNet", "LipToSpeech"):
        said = subprocess.run(
            [sys.executable, "-c", ask, written], capture_output=True, text=True, check=True
        )
        assert said.stdout == "False\n"


def test_loading_leaves_random_numbers_as_ever(written):
    """What is drawn after a network was loaded depends on what its weights were drawn before: outputs keep."""
    config = load_model(written).config
    torch.manual_seed(3)
    load_model(written)
    after = torch.rand(3)
    torch.manual_seed(3)
    NETWORKS[written.stem](**config)
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)


def test_the_same_weights_are_the_same_bytes(written, tmp_path):
    network = load_model(written)
    hashes = set()
    for number in range(8):
        save_model(tmp_path / str(number), network, network.metadata)
        hashes.add(sha256((tmp_path / str(number)).read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert in_order(written.read_bytes()) == written.read_bytes() == (tmp_path / "0").read_bytes()
