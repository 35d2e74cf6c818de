"""nrnet_test.py: videos and arrays of a folder of speech, the table in noise, mistakes; charts and painted faces."""

import csv
import json
import os
import signal
import tracemalloc
import wave
from pathlib import Path
from types import SimpleNamespace

import av
import h5py
import numpy as np
import pytest
import torch

import nrnet_test
from animation import face_videos
from evaluation.noise import CLEAN, MEASURED, SPEECH_ALONE, STATIC, NoiseTable, figures, noisy_versions
from models import ATNetSingle, NRNet, save_model
from tests.synthetic import make_basis, make_store, talking_landmarks
from utils.errors import run
from utils.face.landmarks import TEMPLATE, TEMPLATE_SIZE
from utils.media.painted_face import curve, paint, place, wireframe


def save_network(path: Path, seed: int = 0, notes: dict | None = None, **options) -> Path:
    torch.manual_seed(seed)
    network, basis = NRNet(filters=2, **options), make_basis()
    network.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    save_model(path, network, notes or dict(noise=seed > 0, noise_kinds=["pink"] * (seed > 0)))
    return path


def write_wav(path: Path, seconds: float, loudness: float = 8000) -> None:
    samples = loudness * np.random.default_rng(0).normal(size=round(16000 * seconds)).clip(-2, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def write_sphere(path: Path, seconds: float) -> None:
    """As TIMIT has them: NIST SPHERE by the name of .WAV"""
    count = round(16000 * seconds)
    fields = ["NIST_1A", "   1024", "sample_rate -i 16000", f"sample_count -i {count}", "channel_count -i 1"]
    fields += [
        "sample_n_bytes -i 2",
        "sample_byte_format -s2 01",
        "sample_sig_bits -i 16",
        "sample_coding -s3 pcm",
    ]
    samples = 8000 * np.sin(np.arange(count) * 0.1)
    path.write_bytes(
        "\n".join([*fields, "end_head", ""]).encode().ljust(1024) + samples.astype("<i2").tobytes()
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Networks, a folder of speech, a store and its noises"""
    home = tmp_path_factory.mktemp("nrnet_test")
    save_network(home / "base.safetensors")
    save_network(home / "nr_tc.safetensors", 1, temporal=True)
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    write_wav(home / "speech" / "one.wav", 0.5)
    write_wav(home / "speech" / "deep er" / "two.wav", 0.3)
    write_sphere(home / "speech" / "TIMIT.WAV", 0.4)
    make_store(home / "store.h5", clips=4, frames=24, size=32)
    with h5py.File(home / "noise.h5", "w") as file:
        for number, (kind, side) in enumerate([("pink", "train"), ("pink", "test"), ("chords", "test")]):
            file[f"{side}_{kind}"] = np.random.default_rng(number).normal(size=9000)
            file[f"{side}_{kind}"].attrs.update(kind=kind, side=side)
    return home


def call(*arguments) -> int:
    flags = [*(str(one) for one in arguments), "-cuda", "false"]
    return run(nrnet_test.main, lambda: nrnet_test.parse_args(flags))


def generate(home: Path, out: Path, *options, model: str = "base.safetensors") -> int:
    return call("-i", home / "speech", "-m", home / model, "-o", out, *options)


def streams(path: Path) -> tuple[int, float]:
    """Frames, and seconds of sound"""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        return frames, sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


@pytest.fixture(scope="module")
def made(home, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made")
    (out / "mine.txt").write_text("kept")
    assert generate(home, out, "-s") == 0
    return out


def test_every_file_gets_its_videos_and_array(made):
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    stems = ("one", "TIMIT", "deep er/two")
    ends = ("_painted.mp4", "_wireframe.mp4", ".npy")
    assert names == {"mine.txt", *(stem + end for stem in stems for end in ends)}
    for stem, frames in (("one", 13), ("TIMIT", 10), ("deep er/two", 8)):
        landmarks = np.load(made / f"{stem}.npy")
        assert (
            landmarks.shape == (frames, 68, 2)
            and landmarks.dtype == np.float32
            and np.abs(landmarks).max() < 3
        )
        for name in ("painted", "wireframe"):
            shown, heard = streams(made / f"{stem}_{name}.mp4")
            assert shown == frames and heard == pytest.approx(frames / 25, abs=0.06)


def test_saved_landmarks_are_drawn_again(home, made, tmp_path):
    assert call("-i", home / "speech", "-l", made, "-o", tmp_path) == 0
    for name in ("one_painted.mp4", "deep er/two_wireframe.mp4"):
        assert picture(tmp_path / name, 5) == picture(made / name, 5)
    assert call("-i", home / "speech", "-o", made, "-l") == 0


def picture(path: Path, number: int) -> bytes:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)][number]


def test_landmarks_that_outlast_their_sound_are_drawn_to_the_end(home, tmp_path):
    write_wav(tmp_path / "in" / "a.wav", 0.2)
    np.save(tmp_path / "a.npy", np.asarray(talking_landmarks(9, 0)[0], np.float32))
    assert call("-i", tmp_path / "in", "-l", tmp_path, "-o", tmp_path / "out") == 0
    frames, seconds = streams(tmp_path / "out" / "a_painted.mp4")
    assert frames == 9 and seconds < 0.3


def test_a_temporal_network_speaks_and_can_be_insisted_on(home, tmp_path, capsys):
    assert generate(home, tmp_path, "--temporal_condition", model="nr_tc.safetensors") == 0
    assert generate(home, tmp_path, "--temporal_condition") == 2
    assert "is not conditioned" in capsys.readouterr().err


def test_gains_exaggerate(home, tmp_path, made):
    assert generate(home, tmp_path, "-s", "-tcboost", 2) == 0
    still = nrnet_test.faces_of(
        nrnet_test.load_model(home / "base.safetensors"), np.zeros((1, 6), np.float32)
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "one.npy") - still, 2 * (np.load(made / "one.npy") - still), atol=1e-4
    )
    assert generate(home, tmp_path, "-tcboost", 1, 2) == 2


def test_files_of_one_name_keep_their_suffix(tmp_path):
    for name in ("a.wav", "a.WAV", "b.wav"):
        write_wav(tmp_path / name, 0.1)
    assert {str(place) for place in nrnet_test.sound_files(tmp_path)} == {"a.wav", "a.WAV", "b"}


def test_no_two_files_share_a_place(tmp_path):
    for name in ("a.wav", "a.WAV", "a.wav.wav", "c.caf", "c.w64", "d.mov", "notes.txt"):
        write_wav(tmp_path / name, 0.1)
    found = nrnet_test.sound_files(tmp_path)
    assert {str(place): file.name for place, file in found.items()} == {
        "a.wav": "a.wav", "a.WAV": "a.WAV", "a.wav.wav": "a.wav.wav",
        "c.caf": "c.caf", "c.w64": "c.w64", "d": "d.mov"}  # fmt: skip


def test_results_among_the_speech_are_not_heard_again(home, tmp_path, monkeypatch):
    write_wav(tmp_path / "a.wav", 0.1)
    for _ in range(2):
        assert call("-i", tmp_path, "-m", home / "base.safetensors", "-o", tmp_path / "faces", "-s") == 0
    assert len(list((tmp_path / "faces").rglob("*.*"))) == 3
    monkeypatch.chdir(tmp_path / "faces")  # "-l ." is this folder, not the one of -o
    assert call("-i", tmp_path, "-l", ".", "-o", tmp_path / "again") == 0
    assert (tmp_path / "again" / "a_painted.mp4").exists()


def test_a_damaged_file_is_named_and_the_others_are_made(home, tmp_path, capsys):
    write_wav(tmp_path / "in" / "good.wav", 0.2)
    (tmp_path / "in" / "bad.wav").write_bytes(b"no sound")
    assert call("-i", tmp_path / "in", "-m", home / "base.safetensors", "-o", tmp_path / "out") == 2
    assert "bad.wav" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good_painted.mp4", "good_wireframe.mp4"}


def test_silence_is_spoken_too(home, tmp_path):
    network = nrnet_test.load_model(home / "base.safetensors")
    write_wav(tmp_path / "silence.wav", 0.4, loudness=0)
    frames, pieces = nrnet_test.speak(network, tmp_path / "silence.wav", None)
    made = np.concatenate([*pieces])
    assert frames == 10 and made.shape == (10, 68, 2) and np.isfinite(made).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give -i SPEECH_FOLDER"),
        (["-i", "nowhere", "-m", "base.safetensors"], "nowhere: no such folder"),
        (["-i", "splits", "-m", "base.safetensors"], "no sound file"),
        (["-i", "speech"], "-m: give the weights"),
        (["-i", "speech", "-m", "atnet.safetensors"], "holds the network ATNetSingle, but NRNet is needed"),
        (["-i", "speech", "-l", "splits"], "no landmarks can be read"),
        (["-i", "speech", "-m", "base.safetensors", "-tcboost", "nan"], "-tcboost: give finite numbers"),
        (["--evaluate", "store.h5", "-m", "base.safetensors"], "give -n NOISE.h5"),
        (["--evaluate", "store.h5", "-m", "base.safetensors", "-n", "noise.h5", "-snr", "x"], "-snr x"),
        (["--evaluate", "store.h5", "-m", "base.safetensors", "-n", "noise.h5", "-snr", "0,inf"], "finite"),
        (["--evaluate", "store.h5", "-m", "base.safetensors", "-n", "noise.h5", "-clips", "0"], "at least 1"),
        (
            ["--evaluate", "nowhere.h5", "-m", "base.safetensors", "-n", "noise.h5"],
            "nowhere.h5: no such clip store",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(home)
    assert call(*options, "-o", tmp_path / "out") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and message in lines[-1]


def test_the_table_has_every_condition(home, tmp_path, capsys):
    models = [home / "base.safetensors", home / "nr_tc.safetensors", home / "base.safetensors"]
    options = ["-n", home / "noise.h5", "--splits", home / "splits", "--split", "train", "-snr=-10,10"]
    assert call("--evaluate", home / "store.h5", "-m", *models, *options, "-o", tmp_path) == 0
    rows = list(csv.DictReader((tmp_path / "noise.csv").open()))
    names = {row["model"] for row in rows}
    assert len(rows) == 3 * (1 + 2 * 2) + 1 and {"base", "NR+TC", STATIC} < names and len(names) == 4
    assert {(row["noise"], row["heard_in_training"]) for row in rows} == {
        ("none", ""), ("pink", "True"), ("chords", "False")}  # fmt: skip
    same = [row for row in rows if row["model"].startswith("base")]
    assert [list(row.values())[1:] for row in same[:5]] == [list(row.values())[1:] for row in same[5:]]
    for name in ("noise.md", "noise.png"):
        assert (tmp_path / name).stat().st_size > 500
    assert "noise of unseen kinds (chords)" in capsys.readouterr().out
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert facts["command"].startswith("python nrnet_test.py --evaluate") and facts["clips"] == 3
    assert [row["model"] for row in facts["rows"]] == [row["model"] for row in rows]
    assert facts["rows"][0]["rmse"] == pytest.approx(float(rows[0]["rmse"]))
    assert set(facts["definitions"]) == set(MEASURED) and facts["frames"] == 72 and facts["machine"]["cores"]


def test_it_takes_the_flags_of_the_other_test_scripts(home, tmp_path):
    options = [
        "-m",
        home / "base.safetensors",
        "-n",
        home / "noise.h5",
        "--splits",
        home / "splits",
        "-snr",
        "0",
    ]
    assert call("--dataset_dir", home / "store.h5", *options, "-sample_dir", tmp_path) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["store"] == str(home / "store.h5")


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([dict(noise_kinds=["a"]), dict(noise_kinds=["b"])], {"a": True, "b": True, "c": False}),
        ([dict(noise_kinds=[]), dict(noise=False)], {"a": False, "b": False, "c": False}),
        ([dict(noise_kinds=["a"]), dict(noise=True)], {"a": None, "b": None, "c": None}),
        ([{}], {"a": None, "b": None, "c": None}),
    ],
)
def test_weights_say_what_they_heard(notes, expected):
    networks = {str(number): SimpleNamespace(metadata=one) for number, one in enumerate(notes)}
    sides = nrnet_test.sides(networks, "abc")
    assert sides == expected
    assert ("noises" in NoiseTable(sides, [0.0]).sides()) == (None in expected.values())


def test_a_chart_that_cannot_be_drawn_leaves_no_table(tmp_path):
    with pytest.raises(IndexError):
        NoiseTable({"a": True}, []).write(tmp_path, "nothing was measured")
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_recording(home, tmp_path, monkeypatch):
    monkeypatch.setattr(face_videos, "SIDE", 16)
    monkeypatch.setattr(face_videos, "CHUNK", 10)
    network, peaks = nrnet_test.load_model(home / "base.safetensors"), []
    for seconds in (4, 4, 24):  # the first one's imports and caches do not count
        write_wav(tmp_path / "a.wav", seconds)
        tracemalloc.start()
        frames, pieces = nrnet_test.speak(network, tmp_path / "a.wav", None)
        face_videos.write_results(tmp_path / "a", frames, pieces, tmp_path / "a.wav", save=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert np.load(tmp_path / "a.npy").shape == (25 * seconds, 68, 2)
    assert peaks[2] < 1.2 * peaks[1]


def test_pieces_are_drawn_as_the_whole():
    points = talking_landmarks(30, 0)[0]
    points = np.concatenate([points, 20 + 0.1 * points[..., :1]], axis=-1)
    for draw in (paint, wireframe):
        pieces = [frame for i in (0, 10, 20) for frame in draw(points[i : i + 10], 64, guide=points)]
        np.testing.assert_array_equal(pieces, list(draw(points, 64)))


@pytest.mark.parametrize(("samples", "message"), [(5, "too short, 5 samples"), (400, "25 ms of sound")])
def test_sound_of_less_than_a_frame_is_called_so(samples, message, home, tmp_path, capsys):
    write_wav(tmp_path / "in" / "a.wav", samples / 16000)
    assert call("-i", tmp_path / "in", "-m", home / "base.safetensors", "-o", tmp_path / "out") == 2
    assert message in capsys.readouterr().err and not list((tmp_path / "out").iterdir())


def test_sigterm_leaves_nothing_half_written(home, tmp_path, capsys, monkeypatch):
    def terminated(*_):
        assert list(tmp_path.glob("out/.one*"))
        os.kill(os.getpid(), signal.SIGTERM)
        yield from ()

    write_wav(tmp_path / "in" / "one.wav", 0.2)
    monkeypatch.setitem(face_videos.VIDEOS, "_painted.mp4", terminated)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # not the end of the tests where nothing heeds it
    try:
        assert (
            call("-i", tmp_path / "in", "-m", home / "base.safetensors", "-o", tmp_path / "out", "-s") == 143
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not list((tmp_path / "out").iterdir()) and "terminated" in capsys.readouterr().err


def test_figures_are_nothing_for_the_truth_and_right_for_a_shift():
    true, _ = talking_landmarks(20, 0)
    same, shifted = figures(true, true), figures(true + [3, 4], true)
    assert same.pop("opening_correlation") == pytest.approx(1) and not any(same.values())
    assert shifted["lmd_mouth"] == shifted["rmse"] == pytest.approx(5, abs=1e-4)
    assert shifted["opening_error"] < 1e-4 and shifted["velocity_error"] < 1e-4
    wide = true.copy()
    wide[:, 54, 0] += 2
    assert figures(wide, true)["width_error"] == pytest.approx(2, abs=0.05)


def test_all_models_hear_the_same_noise():
    speech = np.random.default_rng(0).normal(size=9000).astype(np.float32)
    noises = {"pink": [np.random.default_rng(1).normal(size=20000)]}
    first, second = (noisy_versions(speech, noises, [0.0, 10.0], 3) for _ in range(2))
    assert [*first] == [(SPEECH_ALONE, CLEAN), ("pink", 0.0), ("pink", 10.0)]
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
    loud, soft = first["pink", 0.0] - speech, first["pink", 10.0] - speech
    np.testing.assert_allclose(loud, soft * 10**0.5, atol=1e-5)


def test_means_are_over_clips_and_kinds():
    true, _ = talking_landmarks(10, 0)
    table = NoiseTable({"a": True, "b": False, "c": False}, [0.0])
    for kind, shift in (("a", 1), ("b", 2), ("c", 4)):
        table.add("m", kind, 0.0, true + [shift, 0], true)
    assert table.value("m", ["b", "c"], 0.0) == pytest.approx(3, abs=1e-4)
    assert [*table.sides().values()] == [["a"], ["b", "c"]]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_faces_are_drawn_from_any_scale(dimensions):
    points, opening = talking_landmarks(30, 0)
    if dimensions == 3:
        points = np.concatenate([points, 20 * np.ones((30, 68, 1), np.float32)], axis=-1)
    for draw in (paint, wireframe):
        large, small = list(draw(points, 128)), list(draw(points / 500 - 3, 128))
        assert large[0].shape == (128, 128, 3) and large[0].dtype == np.uint8
        assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(large, small, strict=True)]) < 1
    shut, wide = (list(paint(points, 256))[i].astype(int) for i in (opening.argmin(), opening.argmax()))
    dark = [(np.abs(one - [74, 22, 28]).sum(-1) < 40).sum() for one in (shut, wide)]
    assert dark[1] > dark[0] + 100


def test_strange_landmarks_do_not_stop_the_painter():
    faces = np.stack(
        [np.zeros((68, 2)), np.random.default_rng(0).normal(size=(68, 2)) * 1e6, TEMPLATE / TEMPLATE_SIZE]
    )
    assert len(list(paint(faces, 64))) == len(list(wireframe(faces, 64))) == 3


def test_a_curve_goes_through_its_points():
    points = place(talking_landmarks(3, 0)[0], 256)
    line = curve(points[:, 48:60], closed=True)
    np.testing.assert_allclose(line[:, ::4], points[:, 48:60])
    assert curve(points[:, :17]).shape == (3, 65, 2)
