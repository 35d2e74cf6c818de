"""The demo through its own main: what it writes, and what it says about bad input."""

import pickle
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convert
import demo
from animation import views
from animation.blinks import LOWER_LIDS, UPPER_LIDS
from animation.talking.faces import subject_of
from animation.whole_faces import hear
from models import (
    ATNetSingle,
    Discriminator,
    VGNet,
    WhisperATNet,
    load_model,
    save_model,
)
from models.original.networks import ORIGINAL_NETWORKS
from tests.talking import at_net, frames_of, lengths, nr_net, peak_memory, run_demo, write_wave
from utils.audio.raw_speech import set_level
from utils.face.alignment import apply_transform, crop_transforms
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import eye_openness, mouth_opening
from utils.media.read import read_audio
from utils.media.write import VideoWriter

data = pytest.importorskip("skimage.data")
pytestmark = pytest.mark.usefixtures("one_detector")
OUTPUTS = ["a.mp4", "a_full.mp4", "a_landmarks.npy", "a_panel.mp4"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Small networks with random weights, a photo of a face, and half a second of sound"""
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    save_model(folder / "at.safetensors", at_net())
    save_model(folder / "single.safetensors", at_net(ATNetSingle))
    save_model(folder / "whisper.safetensors", at_net(WhisperATNet))
    save_model(folder / "original.safetensors", at_net(space="original"))
    save_model(folder / "nr.safetensors", nr_net())
    save_model(folder / "nr_tc.safetensors", nr_net(temporal=True))
    save_model(folder / "nr_3d.safetensors", nr_net(space="face", dimensions=3, level="peak"))
    no_basis = at_net(space="original")
    no_basis.set_basis(np.zeros(136), np.zeros((136, 6)), np.ones(6))
    save_model(folder / "no_basis.safetensors", no_basis)
    save_model(folder / "vg.safetensors", VGNet(width=4, blocks=1))
    torch.save(ORIGINAL_NETWORKS["VG_net"](width=4, blocks=1).state_dict(), folder / "generator.pth")
    convert.main(convert.parse_args([f"{folder}/generator.pth", f"{folder}/original_vg.safetensors"]))
    save_model(folder / "discriminator.safetensors", Discriminator(width=4))
    Image.fromarray(data.astronaut()[:300, 100:400]).save(folder / "face.png")
    write_wave(folder / "half.wav", 8000)
    return folder


def test_everything_is_written(files, tmp_path, capsys):
    assert (
        run_demo(files, tmp_path / "new", "--panel", "--paste_back", "-save_landmarks", "-cuda", "false") == 0
    )
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == OUTPUTS
    assert sorted(Path(line).name for line in capsys.readouterr().out.split()) == OUTPUTS
    for name, size in {"a.mp4": (128, 128), "a_panel.mp4": (1030, 274), "a_full.mp4": (300, 300)}.items():
        assert lengths(tmp_path / "new" / name)[0] == 13
        assert frames_of(tmp_path / "new" / name)[0].shape[1::-1] == size
    landmarks = np.load(tmp_path / "new" / "a_landmarks.npy")
    assert landmarks.shape == (13, 68, 2) and landmarks.dtype == np.float32
    assert landmarks.min() > 0 and landmarks.max() < 128


def test_the_whole_photo_speaks_and_stays_itself_outside_the_face(files, tmp_path):
    assert run_demo(files, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    photo, frames = data.astronaut()[:300, 100:400].astype(int), frames_of(tmp_path / "a.mp4")
    assert frames[0].shape == photo.shape
    change = np.abs(np.mean([frame - photo for frame in frames], axis=0))
    outside = max(change[200:, 150:].mean(), change[:, -40:].mean())
    assert outside < 4 and change[60:180, 60:180].mean() > 2 * outside  # the former by H.264 alone


@pytest.mark.parametrize(
    ("flags", "side"), [(["--crop"], 128), (["-size", "97"], 98), (["-size", "256"], 256)]
)
def test_the_face_alone(files, tmp_path, flags, side):
    assert run_demo(files, tmp_path, *flags) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert frames_of(tmp_path / "a.mp4")[0].shape == (side, side, 3)


def test_defaults_are_the_astronaut_and_the_shipped_speech(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_demo(files, None, p=None, i=None, s=None, sample_dir=None) == 0
    with wave.open(str(demo.ROOT / "audio/speech.wav")) as speech:
        seconds = speech.getnframes() / speech.getframerate()
    frames, sound = lengths(tmp_path / "results/demo.mp4")
    assert abs(frames / 25 - seconds) <= 0.04 and abs(sound - seconds) <= 0.04


@pytest.mark.parametrize(
    ("samples", "rate", "channels"), [(640, 16000, 1), (16001, 16000, 1), (30870, 44100, 2), (5333, 8000, 1)]
)
def test_video_and_sound_are_as_long_as_the_recording(files, tmp_path, samples, rate, channels):
    write_wave(tmp_path / "in.wav", samples, rate, channels)
    assert run_demo(files, tmp_path, i=tmp_path / "in.wav") == 0
    frames, sound = lengths(tmp_path / "a.mp4")
    assert 0 <= frames / 25 - samples / rate < 0.0401
    assert abs(sound - samples / rate) <= 0.04


def test_sound_of_a_video_drives_the_face(files, tmp_path):
    assert run_demo(files, tmp_path) == 0
    assert run_demo(files, tmp_path, i=tmp_path / "a.mp4", s="again") == 0
    assert abs(lengths(tmp_path / "again.mp4")[0] - 13) <= 1


@pytest.mark.parametrize("kind", ["single", "original", "whisper"])
def test_other_at_nets(files, tmp_path, kind):
    lstm, vg_net = ("true", "original_vg") if kind == "original" else ("false", "vg")
    weights = dict(at_model=files / f"{kind}.safetensors", vg_model=files / f"{vg_net}.safetensors")
    assert run_demo(files, tmp_path, "-save_landmarks", "-lstm", lstm, **weights) == 0
    assert np.load(tmp_path / "a_landmarks.npy").shape == (13, 68, 2)


@pytest.mark.parametrize("kind", ["nr", "nr_tc", "nr_3d"])
def test_the_noise_resilient_networks_drive_the_same_face(kind, files, tmp_path, detector):
    write_wave(tmp_path / "in.wav", 16001)
    options = dict(i=tmp_path / "in.wav", at_model=files / f"{kind}.safetensors")
    assert run_demo(files, tmp_path, "-save_landmarks", "-blink", "off", **options) == 0
    assert lengths(tmp_path / "a.mp4") == (26, pytest.approx(1, abs=0.04))
    whole = np.load(tmp_path / "a_landmarks.npy")
    network = load_model(files / f"{kind}.safetensors")
    sound = set_level(read_audio(tmp_path / "in.wav", 8000), network.config["level"])
    found, _ = find_face(data.astronaut()[:300, 100:400], detector)
    subject = subject_of(network, apply_transform(crop_transforms(found[None], 128)[0], found), 128)
    expected = subject.pixels(subject.landmarks(hear(network, sound, 26)), 128)
    assert whole.std(0).max() > 1e-4
    np.testing.assert_allclose(whole, expected, atol=2e-3)  # in stretches as the whole at once


def test_eyes_blink_unless_told_otherwise(files, tmp_path):
    write_wave(tmp_path / "in.wav", 16000 * 6)
    flags = {
        "on": [],
        "other": ["--blink_seed", "1"],
        "off": ["--blink", "off"],
        "false": ["-blink", "false"],
    }
    found = {}
    for name, more in flags.items():
        assert run_demo(files, tmp_path, "-save_landmarks", *more, i=tmp_path / "in.wav", s=name) == 0
        found[name] = np.load(tmp_path / f"{name}_landmarks.npy")
    assert np.array_equal(found["off"], found["false"])
    for name in ("on", "other"):
        moved = np.abs(found[name] - found["off"]).max(axis=2)
        assert np.flatnonzero(moved.any(0)).tolist() == sorted(UPPER_LIDS + LOWER_LIDS)
        closed = eye_openness(found[name]) < 0.6 * eye_openness(found["off"])
        assert not closed[:12].any() and 3 <= closed.sum() < 50
    assert not np.array_equal(found["on"], found["other"])


@pytest.mark.parametrize(("at", "vg"), [("original", "original_vg"), ("nr_3d", "vg")])
def test_faces_of_other_kinds_blink_too(files, tmp_path, at, vg):
    write_wave(tmp_path / "in.wav", 16000 * 4)
    weights = dict(at_model=files / f"{at}.safetensors", vg_model=files / f"{vg}.safetensors")
    for name in ("on", "off"):
        options = dict(i=tmp_path / "in.wav", s=name, blink=name, **weights)
        assert run_demo(files, tmp_path, "-save_landmarks", **options) == 0
    on, off = (eye_openness(np.load(tmp_path / f"{name}_landmarks.npy")) for name in ("on", "off"))
    assert (on / off).min() < 0.7 and (on <= off + 1e-4).all()


def test_a_mistake_leaves_no_folder(files, tmp_path):
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / "nobody.png")
    assert run_demo(files, tmp_path / "new", p=tmp_path / "nobody.png") == 2
    assert not (tmp_path / "new").exists()


def test_silence_gives_a_proper_video(files, tmp_path):
    write_wave(tmp_path / "silence.wav", 32000, level=0)
    assert run_demo(files, tmp_path, "-save_landmarks", i=tmp_path / "silence.wav") == 0
    assert lengths(tmp_path / "a.mp4") == (50, pytest.approx(2, abs=0.04))
    assert np.isfinite(np.load(tmp_path / "a_landmarks.npy")).all()


@pytest.mark.parametrize("at_model", ["at.safetensors", "nr_tc.safetensors", "whisper.safetensors"])
def test_memory_does_not_grow_with_length(at_model, files, tmp_path):
    longer, short = (peak_memory(files, tmp_path, seconds, at_model) for seconds in (24, 4))
    assert longer < 1.1 * short
    assert lengths(tmp_path / "demo.mp4")[0] == 100


def test_the_largest_of_two_faces_is_taken(files, tmp_path, capsys):
    face = data.astronaut()[:300, 100:400]
    both = np.concatenate(
        [np.pad(face, [(0, 300), (0, 0), (0, 0)]), np.kron(face, np.ones((2, 2, 1), np.uint8))], 1
    )
    Image.fromarray(both).save(tmp_path / "two.png")
    assert run_demo(files, tmp_path, "--paste_back", p=tmp_path / "two.png") == 0
    assert "2 faces, taking the largest" in capsys.readouterr().err
    changed = np.abs(frames_of(tmp_path / "a_full.mp4")[5].astype(int) - both).max(axis=2) > 25
    assert changed[:, 300:].sum() > 20 * changed[:, :300].sum()


def test_a_small_face_can_be_chosen_beside_a_large_one(files, tmp_path, capsys):
    face = data.astronaut()[:300, 100:400]
    small = np.asarray(Image.fromarray(face).resize((150, 150)))
    both = np.concatenate([np.pad(small, [(0, 150), (0, 0), (0, 0)], mode="edge"), face], 1)
    Image.fromarray(both).save(tmp_path / "two.png")
    assert len(FaceDetector().detect(both)) == 1
    assert run_demo(files, tmp_path, "--face", 2, "--save_landmarks", p=tmp_path / "two.png") == 0
    changed = np.abs(frames_of(tmp_path / "a.mp4")[5].astype(int) - both).max(axis=2)
    assert changed[:150, :150].mean() > 1.2 * changed[:, 150:].mean()
    capsys.readouterr()
    assert run_demo(files, tmp_path, "--face", 3, p=tmp_path / "two.png") == 2
    assert "there are 1 at x" in capsys.readouterr().err


def test_huge_photos_are_scaled_and_that_is_said(files, tmp_path, capsys):
    Image.fromarray(data.astronaut()).resize((4800, 4800)).save(tmp_path / "huge.jpg")
    write_wave(tmp_path / "in.wav", 640)
    assert run_demo(files, tmp_path, "--paste_back", p=tmp_path / "huge.jpg", i=tmp_path / "in.wav") == 0
    assert "scaled to 3072 x 3072" in capsys.readouterr().err


def make_bad_files(files: Path, folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.fromarray(data.astronaut()[::3, ::3]).save(folder / "small.png")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.wav").write_bytes(b"")
    write_wave(folder / "no_samples.wav", 0)
    write_wave(folder / "short.wav", 600)
    with VideoWriter(folder / "silent.mp4", (64, 64)) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
    weights = (files / "at.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    (folder / "hostile.safetensors").write_bytes(pickle.dumps(Hostile(str(folder / "owned"))))
    torch.save({"weights": torch.zeros(1)}, folder / "torch.pth")


def bad_inputs(files: Path, folder: Path) -> dict[str, tuple[dict, str]]:
    """For each mistake: the arguments that make it, and a word of the message"""
    make_bad_files(files, folder)
    return {
        "absent photo": (dict(p=folder / "absent.png"), "no such file"),
        "photo that is none": (dict(p=folder / "text.jpg"), "not an image"),
        "photo that is sound": (dict(p=files / "half.wav"), "not an image"),
        "folder as photo": (dict(p=folder), "no such file"),
        "no face": (dict(p=folder / "noise.png"), "no face"),
        "small face": (dict(p=folder / "small.png"), "pixels wide"),
        "absent sound": (dict(i=folder / "absent.wav"), "no such file"),
        "empty sound": (dict(i=folder / "empty.wav"), "empty"),
        "sound without samples": (dict(i=folder / "no_samples.wav"), "no_samples.wav"),
        "less than a frame of sound": (dict(i=folder / "short.wav"), "one video frame"),
        "sound that is none": (dict(i=folder / "text.jpg"), "text.jpg"),
        "video without sound": (dict(i=folder / "silent.mp4"), "no sound"),
        "absent weights": (dict(at_model=folder / "absent.safetensors"), "no such file"),
        "weights of another network": (dict(vg_model=files / "discriminator.safetensors"), "VGNet"),
        "weights swapped": (dict(at_model=files / "vg.safetensors"), "ATNet"),
        "truncated weights": (dict(at_model=folder / "cut.safetensors"), "cut.safetensors"),
        "hostile pickle": (dict(vg_model=folder / "hostile.safetensors"), "hostile.safetensors"),
        "torch file": (dict(vg_model=folder / "torch.pth"), "convert.py"),
        "no landmark basis": (dict(at_model=files / "no_basis.safetensors"), "--pca"),
        "only AT-net the original's": (dict(at_model=files / "original.safetensors"), "give -vg_model"),
        "only VG-net the original's": (dict(vg_model=files / "original_vg.safetensors"), "give -at_model"),
        "LSTM wanted": (dict(at_model=files / "single.safetensors", lstm="true"), "no LSTM"),
        "no LSTM wanted": (dict(lstm="false"), "with LSTM"),
        "file as folder": (dict(sample_dir=folder / "text.jpg"), "cannot be written"),
        "folder in the name": (dict(s="sub/a"), "without folders"),
        "no GPU number": (dict(device_ids="first"), "-device_ids"),
    }


class Hostile:
    """Unpickling it leaves a trace"""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_bad_input_is_one_line_and_status_2_and_leaves_existing_results(files, tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    (results / "a.mp4").write_bytes(b"old")
    for case, (arguments, word) in bad_inputs(files, tmp_path).items():
        assert run_demo(files, results, "--panel", "--save_landmarks", **arguments) == 2, case
        output = capsys.readouterr()
        lines = output.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and word in lines[0], (case, output.err)
        assert [p.name for p in results.iterdir()] == ["a.mp4"], case
        assert (results / "a.mp4").read_bytes() == b"old", case
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, 130), (OSError(28, "No space left on device"), 2)]
)
def test_an_interrupted_run_leaves_nothing_half_written(files, tmp_path, monkeypatch, error, status):
    (tmp_path / "a.mp4").write_bytes(b"old")
    drawn = []

    def draw(moment, result):
        drawn.append(moment)
        if len(drawn) == 5:
            raise error
        return np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr(views, "draw_panel", draw)
    assert run_demo(files, tmp_path, "--panel", "--paste_back", "--save_landmarks") == status
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"] and (tmp_path / "a.mp4").read_bytes() == b"old"


def test_a_full_disk_keeps_the_whole_old_set(files, tmp_path, small_disk, capsys):
    """Whichever of the four files it is that does not fit any more, and wherever it ends"""
    flags = ("--panel", "--paste_back", "-save_landmarks", "-cuda", "false")
    ends = []
    for kilobytes in range(32, 200, 12):
        out = small_disk(kilobytes)
        for name in OUTPUTS:
            (out / name).write_text("old")
        capsys.readouterr()
        ends.append(run_demo(files, out, *flags))
        if ends[-1] == 0:
            assert sorted(file.name for file in out.iterdir()) == OUTPUTS
            assert np.load(out / "a_landmarks.npy").shape == (13, 68, 2)
            assert all(len(frames_of(out / name)) == 13 for name in OUTPUTS if name.endswith(".mp4"))
            continue
        said = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert ends[-1] == 2 and len(said) == 1 and "cannot be written (No space left on device)" in said[0]
        assert {file.name: file.read_text() for file in out.iterdir()} == dict.fromkeys(OUTPUTS, "old")
    assert {*ends} == {0, 2}


def test_what_a_result_is_made_of_is_never_replaced(files, tmp_path, capsys):
    photo, speech = tmp_path / "a.png", tmp_path / "a.mp4"
    photo.write_bytes((files / "face.png").read_bytes())
    speech.write_bytes((files / "half.wav").read_bytes())
    assert run_demo(files, tmp_path, p=photo, i=speech) == 2
    assert "a.mp4: is what the result would be made of" in capsys.readouterr().err
    assert speech.read_bytes() == (files / "half.wav").read_bytes()
    (tmp_path / "jobs.csv").write_text("photo,audio,name\na.png,a.mp4,a\n")
    assert run_demo(files, tmp_path, "--list", tmp_path / "jobs.csv") == 2
    assert "is what the result would be made of" in capsys.readouterr().err


def test_existing_results_are_replaced(files, tmp_path):
    for name in OUTPUTS:
        (tmp_path / name).write_bytes(b"old")
    assert run_demo(files, tmp_path, "--panel", "--paste_back", "--save_landmarks") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == OUTPUTS
    assert all((tmp_path / name).stat().st_size > 1000 for name in OUTPUTS)


@pytest.mark.parametrize("name", ["atnet", "atnet_whisper"])
def test_shipped_weights_rest_in_silence_and_move_in_speech(name, files, tmp_path):
    write_wave(tmp_path / "silence.wav", 48000, level=0)
    shipped = dict(at_model=demo.ROOT / f"weights/{name}.safetensors")
    opening = {}
    for name, sound in {
        "silence": tmp_path / "silence.wav",
        "speech": demo.ROOT / "audio/speech.wav",
    }.items():
        assert run_demo(files, tmp_path, "-save_landmarks", i=sound, s=name, **shipped) == 0
        opening[name] = mouth_opening(np.load(tmp_path / f"{name}_landmarks.npy"))
    assert opening["silence"].max() - opening["silence"].min() < 2.0
    assert opening["speech"].max() - opening["speech"].min() > 4.0
    assert opening["silence"].mean() < opening["speech"].mean()
