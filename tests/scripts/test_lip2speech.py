"""Training lip-to-speech through its script: the original's flags, learning, exact resuming, two processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lip2speech
from data.store import ClipStore
from models import load_model
from models.lips.generator import LipToSpeech
from models.lips.judges import SpeechJudge
from tests.synthetic import make_store
from utils.errors import run

ROOT = Path(__file__).parents[2]
TINY = (
    "-size 32 -view 0.7 -front 4 -context 16 -decoder 16 -postnet 8 -noise 4 -judges 4 -sync_width 4 -cuda false "
    "--batch_size 2 --window_size 20 --workers 0"
).split()
SILENT = "-adversarial_weight 0 -sync_weight 0".split()  # nothing to please but the truth


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "grid.h5", clips=6, size=64)


def command(store: Path, folder: Path, *options) -> list[str]:
    flags = ["--grid", store, "--splits", store.parent / "splits", "--checkpoint_dir", folder]
    return [str(flag) for flag in (*flags, "-sample_dir", folder / "samples", *TINY, *options)]


def train(store: Path, folder: Path, *options) -> int:
    return run(lip2speech.main, lambda: lip2speech.parse_args(command(store, folder, *options)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "lip2speech_last.safetensors", expect=LipToSpeech).state_dict()


def test_the_originals_flags_are_ours():
    given = (
        "--grid DATA --checkpoint_dir OUT --checkpoint W --batch_size 22 --epochs 500 --subject unseen --lr 0.001 "
        "--eval_step 1000 --dataparallel False --gpu 1,2 --augmentations False --window_size 50 --mode train "
        "--workers 3 --temp 0.5"
    )
    args = lip2speech.parse_args(given.split())
    assert (args.dataset_dir, args.model_dir, args.load_model) == (Path("DATA"), Path("OUT"), Path("W"))
    assert (args.batch_size, args.epochs, args.subject, args.validate_every) == (22, 500, "unseen", 1000)
    assert (args.device_ids, args.augment, args.frames, args.lr) == ("1", False, 50, 0.001)
    assert (args.num_thread, args.temperature, args.mode) == (3, 0.5, "train")
    assert lip2speech.parse_args(["--gpu=0,1"]).device_ids == "0,1"


def test_resume_equals_an_uninterrupted_run(store, tmp_path):
    options = ("-ema", 0.9, "--eval_step", 2, "-speaker", "-text_weight", 1, "-adversarial_start", 1)
    assert train(store, tmp_path / "whole", *options, "-steps", 4) == 0
    assert train(store, tmp_path / "halves", *options, "-steps", 2) == 0
    assert train(store, tmp_path / "halves", *options, "-steps", 4) == 0
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert whole.keys() == halves.keys() and all(torch.equal(whole[name], halves[name]) for name in whole)
    state = [(tmp_path / name / "lip2speech_state.pt") for name in ("whole", "halves")]
    saved = [torch.load(path, weights_only=True)["state"] for path in state]
    for part in ("judge", "sync"):
        assert all(torch.equal(saved[0][part][name], saved[1][part][name]) for name in saved[0][part])
    assert len([*(tmp_path / "whole/samples").glob("*.png")]) == 2


def test_it_learns_to_say_what_it_sees(store, tmp_path):
    """Loud while the mouth is open: a network that hears nothing new makes the mean, as at the start."""
    more = ("-lr", 0.003, "-augment", "false", "--eval_step", 40)
    assert train(store, tmp_path, *SILENT, *more, "-steps", 1) == 0
    before = load_model(tmp_path / "lip2speech.safetensors").metadata["validation"]
    assert train(store, tmp_path, *SILENT, *more, "-steps", 80) == 0
    after = load_model(tmp_path / "lip2speech.safetensors").metadata["validation"]
    assert after["fine"] < 0.6 * before["fine"] and after["spectrum"] < before["spectrum"]


def test_without_clips_to_validate_the_last_weights_are_kept(store, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").write_text((store.parent / "splits/train.txt").read_text())
    assert train(store, tmp_path / "out", *SILENT, "--splits", tmp_path / "lists", "-steps", 2) == 0
    assert (tmp_path / "out/lip2speech.safetensors").is_file()


def test_the_originals_batch_is_that_of_all_its_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    flags = ["--batch_size", "88", "--gpu", "0,1,2,3"]
    assert lip2speech.parse_args(flags).batch_size == 22
    assert lip2speech.parse_args([*flags, "--dataparallel", "False"]).batch_size == 88
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert lip2speech.parse_args(flags).batch_size == 88


def test_epochs_are_passes_over_the_training_clips(store, tmp_path):
    assert train(store, tmp_path, *SILENT, "--epochs", 3) == 0
    assert load_model(tmp_path / "lip2speech.safetensors").metadata["steps"] == 6  # of 4 clips, in twos


def test_no_judge_is_asked_before_its_start(store, tmp_path, monkeypatch):
    calls = []
    forward = SpeechJudge.forward
    monkeypatch.setattr(SpeechJudge, "forward", lambda self, *given: calls.append(1) or forward(self, *given))
    assert train(store, tmp_path, "-adversarial_start", 1, "-steps", 2) == 0
    assert len(calls) == 3  # real and made for its own step, made for the generator's


def test_two_processes_train_one_network(store, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    flags = command(store, tmp_path, "-steps", 2, "-text_weight", 1)
    done = subprocess.run([*torchrun, "lip2speech.py", *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "lip2speech.safetensors").is_file()


def test_the_decoder_is_trained_on_with_rows_and_sketch_on_a_kept_sight(store, tmp_path):
    assert train(store, tmp_path / "first", *SILENT, "-steps", 2) == 0
    more = (
        "--checkpoint",
        tmp_path / "first/lip2speech.safetensors",
        "-rows",
        4,
        "-sketch",
        "-stage",
        "speech",
    )
    assert train(store, tmp_path / "second", *SILENT, *more, "-steps", 2) == 0
    base = load_model(tmp_path / "first/lip2speech.safetensors").state_dict()
    after = weights(tmp_path / "second")
    assert all(
        torch.equal(after[name], base[name]) for name in base if name.split(".")[0] in ("frontend", "encoder")
    )
    assert any(not torch.equal(after[name], base[name]) for name in base if name.startswith("decoder"))


def test_the_sight_is_trained_on_a_kept_stem_while_the_decoder_waits(store, tmp_path):
    assert train(store, tmp_path / "first", *SILENT, "-steps", 2) == 0
    more = (
        "--checkpoint",
        tmp_path / "first/lip2speech.safetensors",
        "-sketch",
        "-stage",
        "sight",
        "-keep_stem",
    )
    assert train(store, tmp_path / "second", *SILENT, *more, "-steps", 2) == 0
    base, after = (
        load_model(tmp_path / "first/lip2speech.safetensors").state_dict(),
        weights(tmp_path / "second"),
    )
    kept = ("decoder", "frontend.stem")
    assert all(torch.equal(after[name], base[name]) for name in base if name.startswith(kept))
    assert any(
        not torch.equal(after[name], base[name]) for name in base if name.startswith("frontend.stages")
    )


def test_another_decoder_begins_anew_on_the_same_sight(store, tmp_path, capsys):
    assert train(store, tmp_path / "first", *SILENT, "-sketch", "-stage", "sight", "-steps", 2) == 0
    first = tmp_path / "first/lip2speech_last.safetensors"
    more = ("--checkpoint", first, "-sketch", "-sketch_width", 8, "-decoder", 32, "-steps", 2)
    for again in (False, True):
        assert train(store, tmp_path / "second", *SILENT, *more, "-stage", "speech") == 0
        said = capsys.readouterr().err
        assert (f"{first}: its decoder do not fit the flags and are left out" in said) != again
    assert train(store, tmp_path / "all", *SILENT, *more) == 2
    assert "its network has decoder 16" in capsys.readouterr().err
    alone = ("--checkpoint", first, "-sketch", "-decoder", 0, "-stage", "speech", "-steps", 2)
    assert train(store, tmp_path / "alone", *SILENT, *alone) == 0
    assert not any(name.startswith("decoder") for name in weights(tmp_path / "alone"))
    assert train(store, tmp_path / "third", *SILENT, *more, "-stage", "speech", "-context", 8) == 2
    assert "its network has" in capsys.readouterr().err


def test_a_table_of_offsets_moves_the_sound(store, tmp_path):
    (tmp_path / "offsets.csv").write_text(
        "clip,offset\n" + "".join(f"{id},2\n" for id in ClipStore(store).ids)
    )
    for folder, more in (("plain", ()), ("again", ()), ("moved", ("-offsets", tmp_path / "offsets.csv"))):
        assert train(store, tmp_path / folder, *SILENT, "-steps", 1, *more) == 0
    name = "postnet.layers.0.weight"
    plain, again, moved = (weights(tmp_path / folder)[name] for folder in ("plain", "again", "moved"))
    assert torch.equal(plain, again) and not torch.equal(plain, moved)


def test_a_table_of_offsets_has_to_be_of_these_clips(store, tmp_path, capsys):
    table, (first, *_) = tmp_path / "offsets.csv", ClipStore(store).ids
    flags = (*SILENT, "-steps", 1, "-offsets", table)
    table.write_text("clip,offset\ns9/stranger,1\n")
    assert train(store, tmp_path, *flags) == 2
    assert "has none of the training clips" in capsys.readouterr().err
    table.write_text(f"clip,offset\n{first},1\n")
    assert train(store, tmp_path, *flags) == 0
    assert "training clips, which stay as they are" in capsys.readouterr().err
    table.write_text(f"clip,offset\n{first},2\n")
    assert train(store, tmp_path, *flags, "-steps", 2) == 2  # a run goes on with the table that it began with
    assert "other settings" in capsys.readouterr().err
    weights = ("--mode", "val", "--checkpoint", tmp_path / "lip2speech.safetensors")
    assert train(store, tmp_path, *weights, "-offsets", table) == 2
    assert "measures clips as they are" in capsys.readouterr().err


def test_weights_are_measured_on_a_split(store, tmp_path, capsys):
    assert train(store, tmp_path, *SILENT, "-steps", 2) == 0
    capsys.readouterr()
    path = tmp_path / "lip2speech.safetensors"
    assert train(store, tmp_path, "--mode", "test", "--checkpoint", path) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path}, test: mel ") and "spectrum" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--subject", "s9"), "no clip for --subject s9, split train; it has 6 clips of s1, s2"),
        (("--subject", "nobody"), "--subject nobody: give overlap, unseen, four"),
        (("--mode", "test"), "--mode test: needs the weights to measure"),
        (("--window_size", "12"), "--window_size 12: the discriminators need 20 frames or more"),
        (("-stage", "speech"), "-stage speech: needs the weights that are kept"),
        (("-keep_stem",), "-keep_stem: needs the weights that are kept"),
        (("-stage", "sight"), "-stage sight: has no decoder; give -sketch"),
        (("-decoder", "12"), "-decoder 12: its channels are halved twice"),
        (("-decoder", "0"), "-decoder 0: needs -sketch"),
        (("-sketch", "-sketch_width", "7"), "-sketch_width 7: its channels are halved"),
        (("-sketch_width", "8"), "-sketch_width 8: is of the sketch; give -sketch too"),
        (("--temp", "0"), "-temperature 0: give a number of at least 0.01"),
        (("--epochs", "3", "-steps", "7"), "--epochs 3: counts in place of -steps"),
        (("-decoder", "30"), "-decoder 30: its channels are halved twice"),
        (("-offsets", "missing.csv"), "missing.csv: No such file"),
        (("--grid", "missing.h5"), "missing.h5: no such clip store"),
        (("--checkpoint", "missing.safetensors"), "missing.safetensors: no such file"),
    ],
)
def test_mistakes_are_one_line(store, tmp_path, capsys, options, words):
    assert train(store, tmp_path / "out", *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ") and words in line
    assert not [*tmp_path.rglob("*.safetensors")]
