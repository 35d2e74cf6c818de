"""Training the lip reader through its script: the original's flags, learning, exact resuming, two processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lipread
from models import load_model, save_model
from models.reading.reader import LipReader
from tests.lips import small_lip_to_speech
from tests.synthetic import make_lrw_store, make_store
from training import seeing
from training.state import read_state
from utils.errors import run
from utils.face.mouth import to_mouth_network

ROOT = Path(__file__).parents[2]
TINY = (
    "-size 32 -view 0.7 -front 4 -hearing 4 -width 16 -slots 8 -cuda false --batch_size 3 --workers 0 -lr 0.01"
).split()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_lrw_store(tmp_path_factory.mktemp("lrw") / "store")


def command(store: Path, folder: Path, *options) -> list[str]:
    flags = ["--lrw", store, "--checkpoint_dir", folder, "-sample_dir", folder / "samples", *TINY, *options]
    return [str(flag) for flag in flags]


def train(store: Path, folder: Path, *options) -> int:
    return run(lipread.main, lambda: lipread.parse_args(command(store, folder, *options)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "lipread_last.safetensors", expect=LipReader).state_dict()


@pytest.mark.parametrize(("backend", "slots"), [("GRU", 88), ("MSTCN", 168)])
def test_the_originals_commands_are_ours(backend, slots):
    given = (
        f"--lrw DATA --checkpoint W --batch_size 80 --backend {backend} --mode test --radius 16 --n_slot {slots} "
        "--test_aug True --distributed False --dataparallel False --gpu 0,1 --lr 0.1 --max_timesteps 29 --workers 3"
    )
    args = lipread.parse_args(given.split())
    assert (args.dataset_dir, args.load_model, args.batch_size) == (Path("DATA"), Path("W"), 80)
    assert (args.backend, args.mode, args.radius, args.slots) == (backend, "test", 16, slots)
    assert (args.test_aug, args.device_ids, args.frames, args.num_thread) == (True, "0", 29, 3)
    args = lipread.parse_args("--gpu 0,1 --distributed True --epochs 200 --augmentations False".split())
    assert (args.device_ids, args.epochs, args.augment, args.opt, args.lr) == ("0,1", 200, False, "sgd", 0.1)


@pytest.mark.parametrize(
    "options",
    [
        ("-ema", 0.9, "-blind", 0.5, "-time_mask", 4),
        (
            "--backend",
            "MSTCN",
            "--opt",
            "adamw",
            "-schedule",
            "cosine",
            "-cooldown",
            3,
            "-heads",
            2,
            "-mixup",
            0.4,
        ),
    ],
)
def test_resume_equals_an_uninterrupted_run(store, tmp_path, options):
    assert train(store, tmp_path / "whole", *options, "-steps", 4) == 0
    assert train(store, tmp_path / "halves", *options, "-steps", 4, "-validate_every", 2) == 0
    (tmp_path / "halves/lipread_state.pt").replace(tmp_path / "end.pt")
    (tmp_path / "halves/lipread_state_previous.pt").replace(tmp_path / "halves/lipread_state.pt")
    assert read_state(tmp_path / "halves/lipread_state.pt")["step"] == 2
    assert train(store, tmp_path / "halves", *options, "-steps", 4, "-validate_every", 2) == 0
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert whole.keys() == halves.keys() and all(torch.equal(whole[name], halves[name]) for name in whole)


def test_it_learns_words(store, tmp_path):
    """Three words of two clips each: whoever learns nothing is right once in three."""
    more = ("--opt", "adam", "-lr", 0.005, "-augment", "false", "-dropout", 0, "-steps", 120, "-cooldown", 60)
    assert train(store, tmp_path, *more, "--batch_size", 6, "--reduce_lr_at_1epoch", "false") == 0
    model = load_model(tmp_path / "lipread_last.safetensors", expect=LipReader)
    assert model.classes == ["ABOUT", "BEING", "CASES"]
    data = lipread.ClipStore(store)
    ids = lipread.word_ids(data, "train")
    errors = lipread.validate(model, data, ids, torch.device("cpu"))
    assert errors["recalled_error"] < 0.3 and errors["heard_error"] < 0.3


def test_the_rate_falls_after_two_passes_and_by_validation(store, tmp_path):
    assert train(store, tmp_path, "-steps", 12, "-validate_every", 1, "--endurance", 1, "-lr", 0.0) == 0
    state = read_state(tmp_path / "lipread_state.pt")["state"]
    assert state["validation"]["halvings"] >= 9  # nothing learns at a rate of nothing
    args = lipread.parse_args(command(store, tmp_path))
    assert (args.endurance, args.momentum, args.weight_decay) == (5, 0.9, 1e-5)


def test_a_front_end_comes_from_lip_to_speech(store, tmp_path, capsys):
    base = small_lip_to_speech()
    save_model(tmp_path / "lips.safetensors", base)
    still = ("-lr", 0, "-steps", 1, "-load_lips", tmp_path / "lips.safetensors")
    assert train(store, tmp_path, *still) == 0
    own = weights(tmp_path)
    assert torch.equal(own["frontend.stages.0.0.conv1.weight"], base.frontend.stages[0][0].conv1.weight)
    assert train(store, tmp_path / "wide", *still, "-front", 8) == 2
    assert "lips.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(("keep", "kept"), [("front", "frontend"), ("stem", "frontend.stem")])
def test_what_is_kept_of_a_front_end_learns_nothing(store, tmp_path, keep, kept):
    save_model(tmp_path / "lips.safetensors", small_lip_to_speech())
    assert (
        train(store, tmp_path, "-load_lips", tmp_path / "lips.safetensors", "-keep", keep, "-steps", 2) == 0
    )
    base = load_model(tmp_path / "lips.safetensors").state_dict()
    changed = {
        name for name, tensor in weights(tmp_path).items() if not torch.equal(tensor, base.get(name, tensor))
    }
    assert not [name for name in changed if name.startswith(kept)]
    assert any(name.startswith("frontend.stages") for name in changed) == (keep == "stem")


def test_a_kept_front_end_may_see_each_word_once(store, tmp_path, monkeypatch, capsys):
    words = make_lrw_store(tmp_path / "words")
    save_model(tmp_path / "lips.safetensors", small_lip_to_speech())
    more = ("-load_lips", tmp_path / "lips.safetensors", "-keep", "front", "-augment", "false", "-steps", 3)
    assert train(words, tmp_path / "plain", *more) == 0
    assert train(words, tmp_path / "once", *more, "-seen") == 0
    plain, once = weights(tmp_path / "plain"), weights(tmp_path / "once")
    for name in plain:  # what is kept has half precision
        torch.testing.assert_close(plain[name], once[name], atol=2e-3, rtol=2e-2)
    calls = []
    monkeypatch.setattr(seeing, "write", lambda *given: calls.append(given))
    assert train(words, tmp_path / "again", *more, "-seen", "-mixup", 0.4, "-blind", 0.5) == 0 and not calls
    assert train(words, tmp_path / "other", *more, "-seen", "-view", 0.8) == 0 and calls
    assert "seen.hdf5: was made with other weights or words" in capsys.readouterr().err


def test_what_was_seen_is_drawn_mirrored_too(tmp_path):
    store = lipread.ClipStore(make_lrw_store(tmp_path / "words"))
    ids = lipread.word_ids(store, "train")
    torch.manual_seed(0)
    model = LipReader(
        ["ABOUT", "BEING", "CASES"], size=32, view=0.7, front=4, hearing=4, width=16, slots=8
    ).eval()
    samples = lipread.WordSamples(store, ids, model.classes, 32, 0.7, seed=3)
    args = lipread.parse_args(["-size", "32", "-view", "0.7", "--lrw", str(tmp_path / "words"), "-seed", "3"])
    seen = seeing.seen_words(args, model.requires_grad_(False), samples, store, ids)
    views = set()
    for number in range(12):
        sample, id = seen[number], samples.sampling.draw(number)[0]
        word = samples.whole(id)
        mouths = to_mouth_network(word["mouths"])[None]
        own = [model.frontend(one)[0] for one in (mouths, mouths.flip(-1))]
        view = min((0, 1), key=lambda n: float((own[n] - sample["mouths"]).abs().max()))
        torch.testing.assert_close(sample["mouths"], own[view], atol=1e-2, rtol=1e-2)
        assert sample["label"] == word["label"] and torch.equal(sample["boundary"], word["boundary"])
        views.add(view)
    assert views == {0, 1}


def test_two_processes_train_one_network(store, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    flags = command(store, tmp_path, "-steps", 2, "-validate_every", 1)
    done = subprocess.run([*torchrun, "lipread.py", *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "lipread.safetensors").is_file()


@pytest.mark.parametrize("options", [(), ("-memory", "false"), ("-boundary",)])
def test_weights_are_measured_on_a_split(store, tmp_path, capsys, options):
    assert train(store, tmp_path, *options, "-steps", 1) == 0
    capsys.readouterr()
    path = tmp_path / "lipread.safetensors"
    assert train(store, tmp_path, "--mode", "test", "--checkpoint", path, "--test_aug", "True") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path}, test: ") and said.count("%") == (1 if "-memory" in options else 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mode", "test"), "--mode test: needs the weights to measure"),
        (("--epochs", 2, "-steps", 5), "--epochs 2: counts in place of -steps"),
        (("-memory", "false", "-blind", 0.2), "-blind: a network without a memory hears nothing"),
        (("--checkpoint", "nowhere.safetensors"), "nowhere.safetensors: no such file"),
        (("-seen",), "-seen: what is seen once must not learn"),
        (("-keep", "front"), "-keep front: needs trained weights; give -load_lips FILE"),
        (("--backend", "LSTM"), "invalid choice: 'LSTM'"),
        (("--lrw", "nowhere"), "nowhere: no such clip store"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(store, tmp_path, capsys, options, words):
    assert train(store, tmp_path, *options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]
    assert not (tmp_path / "lipread.safetensors").exists()


def test_a_store_without_words_is_refused(tmp_path, capsys):
    assert train(make_store(tmp_path / "grid.h5", clips=2, size=64), tmp_path / "model") == 2
    assert "holds no words" in capsys.readouterr().err
