"""convert.py and the visual-audio memory's checkpoints: a reader that reads as the original, and files that are odd."""

from pathlib import Path

import pytest
import torch

import convert
from models import load_model
from models.reading.reader import LipReader
from tests.models.reading.reader_original import checkpoint, ours, run, seeded
from training.state import TrainingState
from utils import errors

TINY = dict(front=2, hearing=2, width=8, slots=5, classes=3)


@pytest.fixture(scope="module")
def saved() -> dict:
    return checkpoint(seeded(**TINY))


def convert_file(saved: dict, folder: Path, *options: str) -> int:
    """The exit status of `python convert.py FOLDER/Best.ckpt FOLDER/out/reader.safetensors OPTIONS`"""
    torch.save(saved, folder / "Best.ckpt")
    (folder / "out").mkdir(exist_ok=True)
    arguments = [str(folder / "Best.ckpt"), str(folder / "out" / "reader.safetensors"), *options]
    return errors.run(convert.main, lambda: convert.parse_args(arguments))


def made(folder: Path) -> LipReader:
    return load_model(folder / "out" / "reader.safetensors", expect=LipReader)


def assert_same_weights(network: LipReader, expected: LipReader) -> None:
    state = expected.state_dict()
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, state[name]), name


@torch.no_grad()
@pytest.mark.parametrize(("backend", "slots"), [("GRU", 7), ("MSTCN", 6)])
def test_the_reader_reads_as_the_original(backend, slots, tmp_path, capsys):
    """Back-end, slots and classes are found from the shapes."""
    originals = seeded(backend, slots=slots)
    assert convert_file(checkpoint(originals), tmp_path) == 0
    printed = capsys.readouterr().out
    assert "no --words" in printed and "Best.ckpt (visual-audio memory) -> " in printed
    model = made(tmp_path)
    assert model.metadata == dict(source="Best.ckpt", made_by="convert.py", original="visual-audio memory")
    found = dict(size=112, view=1.0, front=3, hearing=4, width=24, slots=slots, backend=backend, pool3=True)
    others = dict(radius=16.0, heads=0, boundary=False, dropout=0.3, memory=True)
    assert model.config == dict(classes=["0", "1", "2", "3", "4"]) | found | others
    mouths, mel = torch.randn(1, 4, 112, 112), torch.randn(1, 80, 16)
    true = run(originals, mouths, mel, torch.tensor([2]))
    assert true["te"].std() > 0.05
    torch.testing.assert_close(model(mouths).recalled, true["te"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(mouths, mel).heard, true["tr"], rtol=1e-5, atol=1e-5)


def test_words_from_a_file_or_the_folders_of_a_corpus(saved, tmp_path, capsys):
    words = tmp_path / "words.txt"
    words.write_text("place\n\nbin\r\nlay\n", encoding="utf-8")
    assert convert_file(saved, tmp_path, "--words", str(words)) == 0
    assert made(tmp_path).classes == ["place", "bin", "lay"]  # in the order of the file
    corpus = tmp_path / "LRW"
    for word in ("CASES", "ABOUT", "BEING"):
        (corpus / word).mkdir(parents=True)
    (corpus / "readme.txt").write_text("not a word")
    assert convert_file(saved, tmp_path, "--words", str(corpus)) == 0
    assert made(tmp_path).classes == ["ABOUT", "BEING", "CASES"]
    assert "no --words" not in capsys.readouterr().out


@pytest.mark.parametrize("told", ["bin\nlay\n", "bin\nlay\nbin\n", "bin\nlay\nplace\nset\n"])
def test_words_that_are_not_its_classes(told, saved, tmp_path, capsys):
    words = tmp_path / "words.txt"
    words.write_text(told)
    message = refused(saved, tmp_path, capsys, "--words", str(words), blames=words)
    assert "the checkpoint has 3 classes; give a word for each" in message


def test_words_that_cannot_be_read(saved, tmp_path, capsys):
    missing, binary = tmp_path / "missing.txt", tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (missing, binary):
        assert "cannot be read as text" in refused(saved, tmp_path, capsys, "--words", str(path), blames=path)


def test_words_belong_to_the_reader(saved, tmp_path, capsys):
    words = tmp_path / "words.txt"
    words.write_text("bin\nlay\nplace\n")
    other = dict(v_front_state_dict={}, gen_state_dict={})
    assert convert_file(saved, tmp_path) == 0
    again = [str(tmp_path / "out" / "reader.safetensors"), str(tmp_path / "other.safetensors")]
    arguments = [*again, "--words", str(words)]
    assert errors.run(convert.main, lambda: convert.parse_args(arguments)) == 2
    assert "--words belongs to checkpoints of the visual-audio memory" in capsys.readouterr().err
    assert not (tmp_path / "other.safetensors").exists()
    (tmp_path / "out" / "reader.safetensors").unlink()
    assert "a checkpoint of VCA-GAN without" in refused(other, tmp_path, capsys)
    landmarks = refused(saved, tmp_path, capsys, "--recurrence", "time")
    assert "the visual-audio memory has no landmarks; drop --pca" in landmarks


def test_prefixes_and_half_precision(saved, tmp_path):
    parallel = {key: {f"module.{name}": x for name, x in state.items()} for key, state in saved.items()}
    assert convert_file(parallel | dict(epoch=3), tmp_path) == 0
    assert_same_weights(made(tmp_path), ours(saved))
    assert convert_file(saved, tmp_path, "--half") == 0
    values = made(tmp_path).memory.values
    torch.testing.assert_close(values, ours(saved).memory.values, rtol=1e-3, atol=1e-3)


def refused(saved: dict, folder: Path, capsys, *options: str, blames: Path | None = None) -> str:
    """The one line with which convert.py refuses, without leaving any file; it names `blames`, or the checkpoint"""
    capsys.readouterr()
    assert convert_file(saved, folder, *options) == 2
    assert not [*(folder / "out").iterdir()]
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {blames or folder / 'Best.ckpt'}: ") and printed.count("\n") == 1
    return printed


@pytest.mark.parametrize("part", ["v_front", "a_front", "mem", "back"])
def test_a_part_is_missing(part, saved, tmp_path, capsys):
    rest = {key: state for key, state in saved.items() if key != f"{part}_state_dict"}
    message = refused(rest, tmp_path, capsys)
    assert f"a checkpoint of the visual-audio memory without {part}_state_dict; " in message


@pytest.mark.parametrize(
    ("part", "name", "change", "message"),
    [
        ("mem", "key", None, "memory.keys is missing in a LipReader"),
        ("mem", "key", torch.zeros(4, 8), "memory.keys has the shape (4, 8), but (5, 8) would fit"),
        ("mem", "value", None, "incomplete, memory.values is missing"),
        ("mem", "value", torch.zeros(5), "tensors of impossible shapes"),
        ("mem", "value", torch.full((5, 8), torch.inf), "value has numbers that are not finite"),
        ("mem", "linear.weight", torch.zeros(8, 8), "has no tensor linear.weight"),
        ("v_front", "resnet.layer2.0.bn1.bias", torch.zeros(9), "has the shape (9,), but (4,) would fit"),
        ("v_front", "fc.weight", torch.zeros(2, 2), "summary.weight is unknown in a LipReader"),
        ("a_front", "Linear.weight", torch.zeros(8, 79), "hearing.out.weight has the shape (8, 79), but (8, 80)"),
        ("back", "fc.weight", torch.zeros(()), "tensors of impossible shapes"),
        ("back", "gru.weight_ih_l0", None, "is missing in a LipReader"),
    ],
)  # fmt: skip
def test_a_tensor_is_odd(part, name, change, message, saved, tmp_path, capsys):
    state = {key: x for key, x in saved[f"{part}_state_dict"].items() if key != name}
    odd = saved | {f"{part}_state_dict": state | ({} if change is None else {name: change})}
    assert message in refused(odd, tmp_path, capsys)


def test_a_training_state_of_the_reader(tmp_path):
    torch.manual_seed(0)
    model = LipReader(["bin", "lay"], size=32, front=2, hearing=2, width=8, slots=3, heads=2, boundary=True)
    state = TrainingState(tmp_path / "state.pt", {"model": model}, {"config": model.config, "seed": 0})
    state.save(3)
    out = tmp_path / "reader.safetensors"
    assert convert.main(convert.parse_args([str(tmp_path / "state.pt"), str(out)])) is None
    again = load_model(out, expect=LipReader)
    assert again.config == model.config
    assert_same_weights(again, model)
