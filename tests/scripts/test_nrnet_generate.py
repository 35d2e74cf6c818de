"""nrnet_generate.py: videos and arrays of a folder of speech, and mistakes."""

import os
import signal
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

import nrnet_generate
from animation import face_videos
from animation.whole_faces import faces_of
from models import ATNetSingle, NRNet, load_model, save_model
from tests.synthetic import save_nrnet, talking_landmarks, write_wav
from utils.errors import run


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
    """Networks, a folder of speech, and one without"""
    home = tmp_path_factory.mktemp("nrnet_generate")
    save_nrnet(home / "base.safetensors")
    save_nrnet(home / "nr_tc.safetensors", 1, temporal=True)
    bare = NRNet(filters=2)
    bare.landmark_components.zero_()  # as convert.py leaves it without --pca
    save_model(home / "bare.safetensors", bare)
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    write_wav(home / "speech" / "one.wav", 0.5)
    write_wav(home / "speech" / "deep er" / "two.wav", 0.3)
    write_sphere(home / "speech" / "TIMIT.WAV", 0.4)
    (home / "empty").mkdir()
    return home


def call(*arguments) -> int:
    flags = [*(str(one) for one in arguments), "-cuda", "false"]
    return run(nrnet_generate.main, lambda: nrnet_generate.parse_args(flags))


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
    still = faces_of(load_model(home / "base.safetensors"), np.zeros((1, 6), np.float32))
    np.testing.assert_allclose(
        np.load(tmp_path / "one.npy") - still, 2 * (np.load(made / "one.npy") - still), atol=1e-4
    )
    assert generate(home, tmp_path, "-tcboost", 1, 2) == 2


def test_files_of_one_name_keep_their_suffix(tmp_path):
    for name in ("a.wav", "a.WAV", "b.wav"):
        write_wav(tmp_path / name, 0.1)
    assert {str(place) for place in nrnet_generate.sound_files(tmp_path)} == {"a.wav", "a.WAV", "b"}


def test_no_two_files_share_a_place(tmp_path):
    for name in ("a.wav", "a.WAV", "a.wav.wav", "c.caf", "c.w64", "d.mov", "notes.txt"):
        write_wav(tmp_path / name, 0.1)
    found = nrnet_generate.sound_files(tmp_path)
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
    network = load_model(home / "base.safetensors")
    write_wav(tmp_path / "silence.wav", 0.4, loudness=0)
    frames, pieces = nrnet_generate.speak(network, tmp_path / "silence.wav", None)
    made = np.concatenate([*pieces])
    assert frames == 10 and made.shape == (10, 68, 2) and np.isfinite(made).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-i", "nowhere", "-m", "base.safetensors"], "nowhere: no such folder"),
        (["-i", "empty", "-m", "base.safetensors"], "no sound file"),
        (["-i", "speech", "-m", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["-i", "speech", "-m", "bare.safetensors"], "holds no landmark basis"),
        (["-i", "speech", "-m", "atnet.safetensors"], "holds the network ATNetSingle, but NRNet is needed"),
        (["-i", "speech", "-l", "empty"], "no landmarks can be read"),
        (["-i", "speech", "-m", "base.safetensors", "-tcboost", "nan"], "-tcboost: give finite numbers"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(home)
    assert call(*options, "-o", tmp_path / "out") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and message in lines[-1]


def test_memory_does_not_grow_with_the_recording(home, tmp_path, monkeypatch):
    monkeypatch.setattr(face_videos, "SIDE", 16)
    monkeypatch.setattr(face_videos, "CHUNK", 10)
    network, peaks = load_model(home / "base.safetensors"), []
    for seconds in (4, 4, 24):  # the first one's imports and caches do not count
        write_wav(tmp_path / "a.wav", seconds)
        tracemalloc.start()
        frames, pieces = nrnet_generate.speak(network, tmp_path / "a.wav", None)
        face_videos.write_results(tmp_path / "a", frames, pieces, tmp_path / "a.wav", save=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert np.load(tmp_path / "a.npy").shape == (25 * seconds, 68, 2)
    assert peaks[2] < 1.2 * peaks[1]


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
