"""NR-net from clip store to weights through the scripts' own main: files, noises, training, resume, mistakes."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import convert
import nrnet
from data.nrnet import Mixing, WaveformSamples, read_noises
from data.nrnet_file import SpeechFile
from data.store import ClipStore
from models import NRNet, load_model
from preprocess import noise as noise_script
from preprocess import nrnet as file_script
from tests.scripts.test_train_scripts import TORCHRUN, environment, same, weights
from tests.synthetic import make_store, talking_landmarks
from training.loop import Run
from training.losses.nrnet import noise_resilient_loss
from training.state import Validation, read_state
from utils.audio.noise import GENERATORS, SEEN, UNSEEN, mix, power
from utils.audio.raw_speech import speech_context
from utils.distributed import launch
from utils.errors import UserError, run
from utils.face.basis import LandmarkBasis, principal_components
from utils.face.landmarks import mouth_opening, normalise
from utils.media.write import VideoWriter

ROOT = Path(__file__).parents[2]
SMALL = "-filters 2 -frames 6 -batch_size 4 -dropout 0 -num_thread 0 -cuda false -patience 0 -speaker_power 1".split()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """store.h5, train.h5 and noise.h5"""
    home = tmp_path_factory.mktemp("nrnet")
    store = make_store(home / "store.h5", clips=7, frames=24, size=32)
    splits = ["--splits", home / "splits"]
    assert call(file_script, store, home / "train.h5", *splits, "--components", 4) == 0
    short = ["--seconds", 3, "--recordings", 1]
    assert call(noise_script, "--generate", store, home / "noise.h5", *splits, *short) == 0
    return home


def call(script, *arguments) -> int:
    return run(script.main, lambda: script.parse_args([str(one) for one in arguments]))


def train(home: Path, out: Path, *options) -> int:
    flags = ["-i", home / "train.h5", "-o", out, *SMALL, *options]
    return run(lambda args: launch(nrnet.train, args), lambda: nrnet.parse_args([str(one) for one in flags]))


def file_like(path: Path, landmarks: np.ndarray, **more) -> Path:
    """A TRAIN.h5 as other people's tools make it"""
    clips, frames = landmarks.shape[:2]
    speech = np.random.default_rng(0).normal(0, 0.1, (clips, 320 * frames))
    with h5py.File(path, "w") as file:
        for name, values in (dict(landmarks=landmarks, speech=speech) | more).items():
            file[name] = values
    return path


def test_the_training_file_is_the_stores(home):
    file, store = SpeechFile(home / "train.h5"), ClipStore(home / "store.h5")
    assert file.components == 4 and file.basis.space == "motion"
    assert file.splits == dict(
        train=["s1/clip0", "s1/clip2", "s1/clip4", "s2/clip1", "s2/clip3"], val=["s2/clip5"]
    )
    for id in file.ids:
        speech, coefficients = file.clip(id)
        assert speech.shape == (320 * 24,) and coefficients.shape == (24, 4)
        spectrum = [np.abs(np.fft.rfft(one))[:2000] for one in (speech, store[id].audio)]
        assert np.corrcoef(*spectrum)[0, 1] > 0.99  # the same sound below 2 kHz
    again = home / "again.h5"
    assert call(file_script, home / "store.h5", again, "--splits", home / "splits", "--components", 4) == 0
    assert call(file_script, home / "store.h5", home / "store.h5") == 2


@pytest.mark.parametrize("shape", [(204,), (136,), (68, 3), (68, 2)])
def test_landmarks_get_a_basis_of_the_training_clips(shape, tmp_path):
    random = np.random.default_rng(0)
    faces = random.normal(size=(30, 9, 3)) @ random.normal(size=(3, int(np.prod(shape)))) + 1.0
    file = SpeechFile(file_like(tmp_path / "t.h5", faces.reshape(30, 9, *shape)), components=3)
    assert file.basis.space == "face" and file.components == 3
    assert len(file.splits["val"]) == 2 and not set(file.splits["val"]) & set(file.splits["train"])
    id = file.splits["val"][0]
    np.testing.assert_allclose(
        file.basis.reconstruct(file.clip(id)[1]), file.read("landmarks", id), atol=1e-4
    )


def test_coefficients_of_any_length_and_size_will_do(tmp_path):
    file = SpeechFile(file_like(tmp_path / "t.h5", np.ones((5, 11, 7)), lengths=[11, 9, 11, 11, 8]))
    assert file.basis is None and file.components == 7
    assert file.clip("clip/4")[0].shape == (320 * 8,) and file.clip("clip/4")[1].shape == (8, 7)


def damaged(path: Path, what: str) -> Path:
    good = dict(landmarks=np.zeros((3, 8, 6)), speech=np.zeros((3, 2560)))
    bad = {
        "no speech": dict(landmarks=good["landmarks"]),
        "lengths": good | dict(speech=np.zeros((3, 24000))),
        "flat": good | dict(landmarks=np.zeros((3, 8))),
        "nan": good | dict(speech=np.full((3, 2560), np.nan)),
        "twice": good | dict(ids=["a/1", "a/1", "a/2"]),
        "counts": good | dict(speech=np.zeros((4, 2560))),
        "texts": good | dict(landmarks=np.full((3, 8, 6), b"x")),
        "two lengths": good | dict(lengths=[8, 8]),
        "words": good | dict(lengths=["8", "8", "8"]),
        "negative": good | dict(lengths=[8, -1, 8]),
        "beyond": good | dict(lengths=[8, 9, 8]),
        "halves": good | dict(lengths=[8, 7.5, 8]),
        "number ids": good | dict(ids=[1, 2, 3]),
        "two ids": good | dict(ids=["a/1", "a/2"]),
        "one split": good | dict(split="train"),
        "two splits": good | dict(split=["train", "val"]),
        "no train": good | dict(split=["val", "val", "test"]),
        "basis": good | dict(mean=np.zeros(136), components=np.zeros((136, 5))),
        "mean": good | dict(mean=np.zeros(99), components=np.zeros((99, 6))),
        "eigenvalues": good | dict(mean=np.zeros(136), components=np.eye(136, 6), eigenvalues=np.ones(5)),
        "nan basis": good | dict(mean=np.full(136, np.nan), components=np.eye(136, 6)),
    }
    if what in bad:
        with h5py.File(path, "w") as file:
            for name, values in bad[what].items():
                file[name] = values
    elif what != "missing":
        path.write_bytes(b"no HDF5")
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "no such file"),
        ("text", "not an HDF5 file"),
        ("no speech", "has no data set 'speech'"),
        ("lengths", "does not fit landmarks"),
        ("flat", "are not"),
        ("nan", "not finite"),
        ("twice", "there twice"),
        ("counts", "does not fit landmarks"),
        ("texts", "landmarks is of the kind"),
        ("two lengths", "lengths (2,) for 3 clips"),
        ("words", "lengths must be a data set of numbers"),
        ("negative", "lengths has -1"),
        ("beyond", "lengths has 9"),
        ("halves", "lengths has 7.5"),
        ("number ids", "ids must be a data set (N,) of text"),
        ("two ids", "2 ids for 3 clips"),
        ("one split", "split must be a data set (N,) of text"),
        ("two splits", "2 split for 3 clips"),
        ("no train", "says train of no clip"),
        ("basis", "are no basis of 6 coefficients"),
        ("mean", "are no basis of 6 coefficients"),
        ("eigenvalues", "eigenvalues (5,)"),
        ("nan basis", "not finite"),
    ],
)
def test_bad_training_files_are_one_line_and_exit_2(what, message, tmp_path, capsys):
    path = damaged(tmp_path / "bad.h5", what)
    assert train(tmp_path, tmp_path / "out", "-i", path, "-steps", 1) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith(f"error: {path}") and message in lines[-1]
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_the_noises_keep_training_and_tests_apart(home):
    noises = read_noises(home / "noise.h5")
    assert {noise.kind for noise in noises.values() if noise.seen} == set(SEEN)
    assert {noise.kind for noise in noises.values() if not noise.seen} == {*SEEN, *UNSEEN}
    for noise in noises.values():
        assert noise.samples.shape == (24000,) and power(noise.samples) == pytest.approx(0.01, rel=0.01)
    assert not np.allclose(noises["train_pink_0"].samples, noises["test_pink_0"].samples)


@pytest.mark.parametrize("kind", GENERATORS)
def test_generated_noises_are_reproducible_and_not_stationary(kind):
    voices = [np.random.default_rng(0).normal(size=9000) * np.hanning(9000)] if kind == "babble" else []
    made = [
        GENERATORS[kind](40000, np.random.default_rng(seed), *([voices] if voices else []))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.allclose(made[0], made[2]) and made[0].dtype == np.float32
    pieces = made[0].reshape(-1, 800)
    levels = 10 * np.log10((pieces**2).mean(1) + 1e-9)
    loudest = np.abs(np.fft.rfft(pieces)).argmax(1) * 10  # Hz
    assert levels.std() > 1 or loudest.std() > 100


def test_sound_files_become_noises(tmp_path, capsys):
    folder, random = tmp_path / "in", np.random.default_rng(0)
    for place in ("street/a.mp4", "test/rain/b.mp4", "c.mp4"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(folder / place, (16, 16), audio=16000) as video:
            video.write(np.zeros((16, 16, 3), np.uint8))
            video.write_audio(0.1 * random.standard_normal(16000))
    (folder / "d.wav").write_bytes(b"no sound")
    assert call(noise_script, folder, tmp_path / "noise.h5") == 0
    assert "left out:" in capsys.readouterr().err
    noises = read_noises(tmp_path / "noise.h5")
    assert {(n.kind, n.seen) for n in noises.values()} == {("street", True), ("rain", False), ("c", True)}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert call(noise_script, empty, tmp_path / "other.h5") == 2
    assert call(noise_script, tmp_path / "nowhere", tmp_path / "other.h5") == 2
    assert not (tmp_path / "other.h5").exists()


@pytest.mark.parametrize("flag", ["--seconds=nan", "--seconds=inf", "--seed=-1", "--recordings=0"])
def test_noises_of_no_length_or_number_are_refused(flag, home, tmp_path, capsys):
    short = ["--splits", home / "splits", "--seconds", 1, "--recordings", 1]
    assert call(noise_script, "--generate", home / "store.h5", tmp_path / "n.h5", *short, flag) == 2
    assert capsys.readouterr().err.startswith("error: give --seconds") and not (tmp_path / "n.h5").exists()


def test_the_ratio_is_the_one_asked_for():
    random = np.random.default_rng(0)
    speech, noise = random.normal(size=24000), 7 * random.normal(size=60000)
    for ratio in (-10, 0, 30):
        added = mix(speech, noise, ratio, random) - speech
        assert 10 * np.log10(power(speech) / power(added)) == pytest.approx(ratio, abs=0.05)
    np.testing.assert_array_equal(mix(speech, np.zeros(5000), 0, random), speech.astype(np.float32))
    assert mix(speech, noise[:2300], 0, random).shape == (24000,)


def drawn_ratios(mixing: Mixing) -> np.ndarray:
    clean = np.random.default_rng(1).normal(size=6400).astype(np.float32)
    added = [mixing(clean, power(clean), np.random.default_rng(n)) - clean for n in range(300)]
    return np.array([10 * np.log10(power(clean) / power(one)) for one in added])


def test_ratios_are_drawn_from_6_to_30_db_and_by_the_old_mistake_from_0_to_8():
    noise = [np.random.default_rng(0).normal(size=30000).astype(np.float32)]
    right, legacy = drawn_ratios(Mixing(noise)), drawn_ratios(Mixing(noise, legacy=True))
    assert 5.7 < right.min() < 7 and 29 < right.max() < 30.3
    np.testing.assert_allclose(legacy, legacy.round(), atol=1e-2)
    assert set(legacy.round()) == set(range(9))


def test_samples_are_stretches_of_their_clips(home):
    file = SpeechFile(home / "train.h5")
    noises = [n.samples for n in read_noises(home / "noise.h5").values()]
    initial = np.full(4, 7, np.float32)
    samples = WaveformSamples(file, "rms", 6, 0, 1.0, initial, Mixing(noises))
    assert all(torch.equal(samples[3][name], samples[3][name]) for name in samples[3])
    for number in range(8):
        one = samples[number]
        assert one["clean"].shape == one["noisy"].shape == (320 * 12,) and one["target"].shape == (6, 4)
        torch.testing.assert_close(one["previous"][1:], one["target"][:-1])
        starts_at = [s for id in file.splits["train"] for s in range(19)
                     if np.allclose(file.clip(id)[1][s : s + 6], one["target"], atol=1e-6)]  # fmt: skip
        assert (one["previous"][0] == 7).all() == (starts_at == [0])
        matches = []
        for id in file.splits["train"]:
            speech, true = file.clip(id)
            starts = [s for s in range(19) if np.allclose(true[s : s + 6], one["target"], atol=1e-6)]
            contexts = [speech_context(speech, 6, s) for s in starts]
            matches += [np.corrcoef(context, one["clean"])[0, 1] for context in contexts]
        assert max(matches) > 0.999


def test_the_loss_is_the_papers():
    torch.manual_seed(0)
    made, features, true = torch.randn(4, 5, 6), torch.randn(4, 8, 9), torch.randn(2, 5, 6)
    total, parts = noise_resilient_loss(made, features, true, 0.001)
    expected = (made[:2] - true).abs().mean() + (made[2:] - true).abs().mean()
    torch.testing.assert_close(total, expected + 0.001 * (features[:2] - features[2:]).square().mean())
    assert set(parts) == {"clean", "noisy", "features"}
    clean, parts = noise_resilient_loss(made[:2], features[:2], true, 0.001)
    torch.testing.assert_close(clean, (made[:2] - true).abs().mean())
    assert set(parts) == {"clean"}


def test_early_stopping_counts_and_survives_a_restart():
    stopping = Validation(2)
    assert [stopping.improved(error) for error in (3.0, 2.0, float("nan"))] == [True, True, False]
    again = Validation(2)
    again.load_state_dict(stopping.state_dict())
    assert not again.exhausted and not again.improved(2.5) and again.exhausted
    assert not Validation(0).exhausted


def whole_faces(path: Path, transposed: bool, **more) -> tuple[SpeechFile, LandmarkBasis, np.ndarray]:
    """A TRAIN.h5 of coefficients of talking faces about 2 units off, its basis, the mean face at rest"""
    clips = [normalise(talking_landmarks(24, seed)[0]) + 2 for seed in range(6)]
    mean, vectors, _ = principal_components(clips, 6)
    basis = LandmarkBasis(mean, vectors, np.ones(6), "face")
    arrays = dict(mean=mean, components=vectors.T if transposed else vectors) | more
    file_like(path, np.stack([basis.project(clip) for clip in clips]), **arrays)
    shut = np.mean(
        [clip[np.argsort(mouth_opening(clip.reshape(-1, 68, 2)))[:5]].mean(0) for clip in clips], 0
    )
    return SpeechFile(path), basis, shut


@pytest.mark.parametrize("transposed", [False, True])
def test_a_basis_may_lie_either_way_and_needs_no_eigenvalues(transposed, tmp_path):
    file, basis, _ = whole_faces(tmp_path / "t.h5", transposed)
    np.testing.assert_allclose(file.basis.components, basis.components, atol=1e-6)
    np.testing.assert_array_equal(file.basis.eigenvalues, np.ones(6))
    coefficients = np.concatenate([file.clip(id)[1] for id in file.splits["train"]])
    np.testing.assert_allclose(file.deviations(), coefficients.std(0), rtol=1e-4)


def opening(face: np.ndarray) -> float:
    return float(mouth_opening(face.reshape(68, 2)))


def test_whole_faces_start_with_their_mouths_shut(home, tmp_path):
    _, basis, shut = whole_faces(tmp_path / "t.h5", transposed=False)
    assert train(home, tmp_path / "out", "-i", tmp_path / "t.h5", "-steps", 1) == 0
    initial = load_model(tmp_path / "out" / "nrnet.safetensors").initial.numpy()
    started = basis.reconstruct(initial)
    np.testing.assert_allclose(opening(started), opening(shut), atol=0.02)
    assert opening(started) < 0.6 * opening(basis.mean)


def basis_files(folder: Path, basis: LandmarkBasis, face: np.ndarray) -> list:
    """As the original's release has them -> the flags"""
    np.save(folder / "u.npy", basis.components.T)
    np.save(folder / "mean.npy", basis.mean[None])
    np.save(folder / "template.npy", face.reshape(68, 2))
    return ["--pca", folder / "u.npy", folder / "mean.npy"]


def coefficients_alone(folder: Path) -> tuple[LandmarkBasis, np.ndarray]:
    """folder/t.h5 without a basis, as the original's TRAIN.h5"""
    _, basis, shut = whole_faces(folder / "t.h5", transposed=False)
    with h5py.File(folder / "t.h5", "a") as file:
        del file["mean"], file["components"]
    return basis, shut


@pytest.mark.parametrize("template", [False, True])
def test_a_basis_of_the_originals_lands_in_the_weights(template, home, tmp_path, capsys):
    basis, shut = coefficients_alone(tmp_path)
    flags = basis_files(tmp_path, basis, shut)
    flags += ["--template", tmp_path / "template.npy"] if template else []
    assert train(home, tmp_path / "out", "-i", tmp_path / "t.h5", "-steps", 1, *flags) == 0
    assert "no landmark basis" not in capsys.readouterr().err
    model = load_model(tmp_path / "out" / "nrnet.safetensors")
    np.testing.assert_allclose(model.landmark_components, basis.components, atol=1e-6)
    np.testing.assert_allclose(opening(basis.reconstruct(model.initial.numpy())), opening(shut), atol=0.02)
    assert train(home, tmp_path / "x", "-steps", 1, *flags) == 2
    assert "a landmark basis of its own" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nrnet.safetensors", "nrnet_state.pt"])
def test_a_network_without_basis_gets_one_later(name, home, tmp_path, capsys):
    basis, shut = coefficients_alone(tmp_path)
    flags = basis_files(tmp_path, basis, shut)
    assert train(home, tmp_path / "out", "-i", tmp_path / "t.h5", "-steps", 1) == 0
    assert "no landmark basis" in capsys.readouterr().err
    before = load_model(tmp_path / "out" / "nrnet.safetensors")
    assert not before.landmark_components.any() and before.initial.any()
    assert call(convert, tmp_path / "out" / name, tmp_path / "drawn.safetensors", *flags) == 0
    drawn = load_model(tmp_path / "drawn.safetensors", expect=NRNet)
    np.testing.assert_allclose(drawn.landmark_components, basis.components, atol=1e-6)
    torch.testing.assert_close(drawn.initial, before.initial)
    torch.testing.assert_close(drawn.fc1.weight, before.fc1.weight)
    assert drawn.metadata["noise_kinds"] == [] and drawn.metadata["steps"] == 1
    assert call(convert, tmp_path / "drawn.safetensors", tmp_path / "x.safetensors", *flags) == 2
    assert "a basis of its own" in capsys.readouterr().err


def test_weights_and_states_remember_the_noises(home, tmp_path):
    assert train(home, tmp_path, "-n", home / "noise.h5", "-steps", 1) == 0
    assert load_model(tmp_path / "nrnet.safetensors").metadata["noise_kinds"] == sorted(SEEN)


def test_the_level_is_a_flag(home, tmp_path):
    assert train(home, tmp_path, "--level", "peak", "-steps", 1) == 0
    assert load_model(tmp_path / "nrnet.safetensors").config["level"] == "peak"


def test_validation_hears_the_ratios_of_training(home, monkeypatch):
    file, heard = SpeechFile(home / "train.h5"), []
    monkeypatch.setattr(nrnet, "mix", lambda speech, noise, ratio, random: heard.append(ratio) or speech)
    file.splits["val"] = file.splits["train"] * 8
    model, noise = NRNet(components=4, filters=1), [np.ones(9000, np.float32)]
    for legacy, low, high in ((False, 6, 30), (True, 0, 8)):
        heard.clear()
        nrnet.validate(model, file, Mixing(noise, legacy=legacy), torch.device("cpu"))
        assert len(heard) == 40 and low <= min(heard) <= max(heard) <= high


def test_validation_asks_every_speaker(home):
    file, asked = SpeechFile(home / "train.h5"), []
    clip = file.splits["train"][0]
    file.splits["val"] = sorted(f"s{speaker}/{number}" for speaker in range(1, 5) for number in range(60))
    read, file.clip = file.clip, lambda id: asked.append(id) or read(clip)
    nrnet.validate(NRNet(components=4, filters=1), file, None, torch.device("cpu"))
    assert len(asked) <= nrnet.CLIPS and {id.split("/")[0] for id in asked} == {"s1", "s2", "s3", "s4"}


def test_a_run_without_validation_says_so(home, tmp_path, capsys):
    path = file_like(tmp_path / "t.h5", np.ones((2, 8, 6)), split=["train", "train"])
    assert train(home, tmp_path / "out", "-i", path, "-steps", 1) == 0
    assert "no clips to validate on" in capsys.readouterr().err


def test_damage_found_by_a_loaders_process_is_one_line(tmp_path, capsys):
    path = file_like(tmp_path / "t.h5", np.ones((3, 8, 6)), mean=np.zeros(136), components=np.eye(136, 6))
    with h5py.File(path, "a") as file:
        file["speech"][:, 5] = np.nan
    assert train(tmp_path, tmp_path / "out", "-i", path, "-steps", 1, "-num_thread", 1) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith(f"error: {path}") and "not finite" in lines[-1] and len(lines) < 3


NOISY = ("-n", "noise.h5")


@pytest.mark.parametrize("options", [(), NOISY, (*NOISY, "--temporal_condition", "-scheduled_sampling", 0.5)])
def test_resume_equals_an_uninterrupted_run(options, home, tmp_path):
    options = [home / one if one == "noise.h5" else one for one in options]
    options += ["-ema", 0.9, "-save_every", 2, "-dropout", 0.2]
    assert train(home, tmp_path / "whole", *options, "-steps", 4) == 0
    assert interrupted(home, tmp_path / "halves", *options, "-steps", 4) == 130
    assert train(home, tmp_path / "halves", *options, "-steps", 4) == 0
    same(weights(tmp_path / "whole"), weights(tmp_path / "halves"), rtol=0, atol=0)
    states = [
        torch.load(tmp_path / name / "nrnet_state.pt", weights_only=True) for name in ("whole", "halves")
    ]
    same(states[0]["state"]["model"], states[1]["state"]["model"], rtol=0, atol=0)


def interrupted(home: Path, out: Path, *options) -> int:
    """Stops as Ctrl-C would, after the second step"""
    with pytest.MonkeyPatch.context() as patch:
        count, done = iter(range(100)), Run.step_done

        def step_done(self, *args):
            self.stop.asked = next(count) == 1 or self.stop.asked
            return done(self, *args)

        patch.setattr(Run, "step_done", step_done)
        return train(home, out, *options)


def test_it_learns_the_drawn_faces(home, tmp_path):
    file = SpeechFile(home / "train.h5")
    file.splits["val"] = file.splits["train"]
    options = ("-lr", 0.003, "-filters", 4, "-batch_size", 8, "-beta1", 0.9)
    assert train(home, tmp_path, *options, "-steps", 150) == 0
    model = load_model(tmp_path / "nrnet.safetensors", expect=NRNet)
    error = nrnet.validate(model, file, None, torch.device("cpu"))["clean"]
    static = np.mean([np.abs(file.clip(id)[1]).mean() for id in file.splits["train"]])
    assert error < 0.6 * static


def test_it_stops_early_and_keeps_the_best(home, tmp_path):
    assert train(home, tmp_path, "-steps", 50, "-save_every", 1, "-lr", 0, "-patience", 3) == 0
    saved = torch.load(tmp_path / "nrnet_state.pt", weights_only=True)
    assert saved["step"] == 4 and load_model(tmp_path / "nrnet.safetensors").metadata["steps"] == 1
    assert train(home, tmp_path, "-steps", 50, "-save_every", 1, "-lr", 0, "-patience", 3) == 0
    assert torch.load(tmp_path / "nrnet_state.pt", weights_only=True)["step"] == 4


def test_a_stop_is_no_validation_for_the_patience(home, tmp_path):
    options = ("-steps", 50, "-validate_every", 4, "-lr", 0, "-patience", 2)
    assert train(home, tmp_path / "whole", *options) == 0
    for _ in range(3):  # each after two steps more
        assert interrupted(home, tmp_path / "stopped", *options) == 130
    assert train(home, tmp_path / "stopped", *options) == 0
    steps = [read_state(tmp_path / name / "nrnet_state.pt")["step"] for name in ("whole", "stopped")]
    assert steps == [12, 12]


def test_a_state_of_before_goes_on(home, tmp_path):
    assert train(home, tmp_path, "-steps", 1) == 0
    saved = read_state(tmp_path / "nrnet_state.pt")
    saved["state"]["patience"] = saved["state"].pop("validation")
    del saved["state"]["scaler"]
    torch.save(saved, tmp_path / "nrnet_state.pt")
    assert train(home, tmp_path, "-steps", 2) == 0


def test_weights_start_other_runs(home, tmp_path, capsys):
    assert train(home, tmp_path / "base", "-steps", 2) == 0
    assert train(home, tmp_path / "more", "-steps", 1, "-lr", 0, "-m", tmp_path / "base") == 0
    same(weights(tmp_path / "base"), weights(tmp_path / "more"), rtol=0, atol=0)
    assert (
        train(home, tmp_path / "tc", "-steps", 1, "-lr", 0, "-m", tmp_path / "base", "--temporal_condition")
        == 0
    )
    first, second = weights(tmp_path / "base"), weights(tmp_path / "tc")
    same(first, {name: second[name] for name in first}, rtol=0, atol=0)
    assert train(home, tmp_path / "x", "-steps", 1, "-filters", 3, "-m", tmp_path / "base") == 2
    assert "its network has filters 2" in capsys.readouterr().err


def test_two_processes_train_as_one(home, tmp_path):
    common = ["nrnet.py", "-i", home / "train.h5", "-n", home / "noise.h5", *SMALL, "-steps", 3, "-clip", 0]
    common += ["-precision", "fp32"]
    for name, start, batch in (("two", TORCHRUN, 2), ("one", [sys.executable], 4)):
        command = [*start, *(str(x) for x in [*common, "-batch_size", batch, "-o", tmp_path / name])]
        subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=300)
    same(weights(tmp_path / "one"), weights(tmp_path / "two"), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "nowhere.h5"], "nowhere.h5: no such file"),
        (["-frames", "500"], "no training clip has 500 frames"),
        (["-m", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["-width", "900"], "-width 900"),
        (["-filters", "0"], "-filters 0"),
        (["-dropout", "1"], "-dropout 1: give a number"),
        (["-snr_low", "40", "-n", "noise.h5"], "-snr_low 40.0"),
        (["-snr_high", "inf", "-n", "noise.h5"], "-snr_high inf: give a number"),
        (["-n", "test_only.h5"], "kept for tests"),
        (["-n", "silent.h5"], "no recording"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys):
    with h5py.File(home / "test_only.h5", "w") as file, h5py.File(home / "silent.h5", "w") as silent:
        file["a"], silent["a"] = np.ones(5000), np.zeros(5000)
        file["a"].attrs["side"] = "test"
    options = [
        home / one if one.endswith("y.h5") or one in ("noise.h5", "silent.h5") else one for one in options
    ]
    assert train(home, tmp_path / "out", "-steps", 1, *options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_noise_may_be_any_data_set(tmp_path):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["one"], file["two"], file["grid"] = np.ones(3000, np.float64), np.ones(100), np.ones((50, 50))
    assert list(read_noises(tmp_path / "n.h5")) == ["one"]
    with pytest.raises(UserError, match="no such file"):
        read_noises(tmp_path / "nowhere.h5")


def test_a_noises_attributes_may_be_bytes_and_texts_are_none(tmp_path):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["one"], file["text"], file["pairs"] = np.ones(3000), [b"a"] * 3000, np.ones(3000, complex)
        file["one"].attrs.update(kind=np.bytes_("rain"), side=np.bytes_("test"))
    noises = read_noises(tmp_path / "n.h5")
    assert [(noise.kind, noise.seen) for noise in noises.values()] == [("rain", False)]


def test_damaged_noise_is_called_so(tmp_path):
    path = tmp_path / "n.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("one", data=np.random.default_rng(0).normal(size=5000), compression="gzip")
        place = file["one"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes(1000))
    with pytest.raises(UserError, match="recording one is damaged"):
        read_noises(path)
