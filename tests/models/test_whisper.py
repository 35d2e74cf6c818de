"""Whisper's encoder: its features' definition, and its weights out of CTranslate2's files."""

import os
import struct
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

import convert
from models import WhisperEncoder, load_model
from models.whisper import mel_filters
from utils.errors import run

SMALL = dict(mels=80, width=12, layers=2, heads=3, positions=8)


def variables(config: dict) -> dict[str, np.ndarray]:
    """Random ones, by CTranslate2's names"""
    width, mels = config["width"], config["mels"]
    shapes = {"conv1": (width, mels, 3), "conv2": (width, width, 3)}
    for number in range(config["layers"]):
        attention, linear = f"layer_{number}/self_attention", f"layer_{number}/ffn"
        shapes |= {f"{attention}/linear_0": (3 * width, width), f"{attention}/linear_1": (width, width)}
        shapes |= {f"{linear}/linear_0": (4 * width, width), f"{linear}/linear_1": (width, 4 * width)}
    random = np.random.default_rng(0)
    named = {}
    for name, shape in shapes.items():
        named[f"{name}/weight"], named[f"{name}/bias"] = (
            random.normal(size=shape),
            random.normal(size=shape[0]),
        )
    norms = [
        f"layer_{n}/{part}/layer_norm" for n in range(config["layers"]) for part in ("self_attention", "ffn")
    ]
    for name in [*norms, "layer_norm"]:
        named[f"{name}/gamma"], named[f"{name}/beta"] = random.normal(size=(2, width))
    named["position_encodings/encodings"] = random.normal(size=(config["positions"], width))
    floats = {f"encoder/{name}": array.astype(np.float16) for name, array in named.items()}
    return floats | {"encoder/num_heads": np.int16(config["heads"]), "decoder/x": np.zeros(3, np.float32)}


def model_bin(named: dict[str, np.ndarray], version: int = 6, specification: str = "WhisperSpec") -> bytes:
    def text(line: str) -> bytes:
        return struct.pack("<H", len(line) + 1) + line.encode() + b"\0"

    kinds = {np.dtype(np.float32): 0, np.dtype(np.int16): 2, np.dtype(np.float16): 4}
    data = struct.pack("<I", version) + text(specification) + struct.pack("<II", 3, len(named))
    for name, array in named.items():
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        data += text(name) + shape + struct.pack("<BI", kinds[array.dtype], array.nbytes) + array.tobytes()
    return data + struct.pack("<I", 0)


def convert_file(source: Path, out: Path) -> int:
    return run(convert.main, lambda: convert.parse_args([str(source), str(out)]))


def test_every_variable_finds_its_place(tmp_path):
    named = variables(SMALL)
    (tmp_path / "model.bin").write_bytes(model_bin(named))
    assert convert_file(tmp_path / "model.bin", tmp_path / "out.safetensors") == 0
    encoder = load_model(tmp_path / "out.safetensors", expect=WhisperEncoder)
    assert encoder.config == SMALL
    layer = encoder.layers[1]
    places = {
        "layer_1/self_attention/linear_0/weight": layer.attention.weight,
        "layer_1/self_attention/linear_1/bias": layer.out.bias,
        "layer_1/self_attention/layer_norm/gamma": layer.attention_norm.weight,
        "layer_1/ffn/layer_norm/beta": layer.norm.bias,
        "layer_1/ffn/linear_0/weight": layer.linear1.weight,
        "layer_1/ffn/linear_1/weight": layer.linear2.weight,
        "layer_norm/gamma": encoder.norm.weight,
        "conv2/weight": encoder.conv2.weight,
        "position_encodings/encodings": encoder.positions,
    }
    for name, tensor in places.items():
        np.testing.assert_array_equal(tensor.detach().numpy(), named[f"encoder/{name}"].astype(np.float32))
    assert encoder(torch.randn(2, 1600)).shape == (2, 5, 12)


def test_a_wheel_gives_the_same_as_its_model_bin(tmp_path):
    data = model_bin(variables(SMALL))
    (tmp_path / "model.bin").write_bytes(data)
    with ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.writestr("package/model/model.bin", data)
    outs = [tmp_path / "bin.safetensors", tmp_path / "whl.safetensors"]
    for source, out in zip(("model.bin", "some.whl"), outs, strict=True):
        assert convert_file(tmp_path / source, out) == 0
    one, other = (load_model(out).state_dict() for out in outs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def _damaged() -> dict[str, bytes]:
    named = variables(SMALL)
    whole = model_bin(named)
    without = {name: array for name, array in named.items() if "conv2/bias" not in name}
    return {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "foreign": b"PK not a model",
        "another": model_bin(named, specification="TransformerSpec"),
        "older": model_bin(named, version=5),
        "part missing": model_bin(without),
        "no encoder": model_bin({"decoder/x": np.zeros(3, np.float32)}),
    }


@pytest.mark.parametrize(("name", "data"), _damaged().items())
def test_a_damaged_or_foreign_file_is_one_line(name, data, tmp_path, capsys):
    source, out = tmp_path / "model.bin", tmp_path / "out.safetensors"
    source.write_bytes(data)
    assert convert_file(source, out) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and str(source) in lines[0] and not out.exists()


def test_mel_filters_are_those_of_librosa():
    filters = pytest.importorskip("librosa.filters")
    expected = filters.mel(sr=16000, n_fft=400, n_mels=80)
    np.testing.assert_allclose(mel_filters(80), expected, atol=1e-7)


def test_a_louder_sound_raises_the_log_mel_by_its_gain():
    encoder = WhisperEncoder(**SMALL)
    sound = torch.randn(1, 3200) * 0.01
    change = encoder.log_mel(10 * sound) - encoder.log_mel(sound)
    torch.testing.assert_close(change, torch.full_like(change, 2 / 4), atol=1e-3, rtol=0)
    assert encoder.log_mel(torch.zeros(1, 3200)).unique().tolist() == [-1.5]


def test_features_are_those_of_ctranslate2(tmp_path):
    """WHISPER_MODEL: a folder with tiny.en's model.bin and its vocabulary"""
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = os.environ.get("WHISPER_MODEL")
    if not folder:
        pytest.skip("WHISPER_MODEL names no folder with a model.bin")
    assert convert_file(Path(folder) / "model.bin", tmp_path / "out.safetensors") == 0
    encoder = load_model(tmp_path / "out.safetensors")
    time = torch.arange(64000) / 16000
    sound = (0.1 * torch.sin(2 * torch.pi * (120 + 200 * time) * time) * torch.sin(9 * time))[None]
    sound += 0.001 * torch.randn(1, 64000)
    with torch.inference_mode():
        mel = encoder.log_mel(sound)
        ours = encoder.encode(mel).numpy()
    theirs = ctranslate2.models.Whisper(folder, device="cpu", compute_type="float32")
    features = theirs.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel.numpy())))
    np.testing.assert_allclose(ours, np.array(features), atol=1e-4)
