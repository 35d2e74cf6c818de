"""demo.py with a video of somebody: whose lips say something else, and whatever else stays as it was."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import demo
from models import VGNet, save_model
from tests.raw_corpus import make_pictures_video
from tests.talking import at_net, frames_of, lengths, nr_net, peak_memory, run_demo, write_wave
from utils.media.write import VideoWriter

data = pytest.importorskip("skimage.data")
pytestmark = pytest.mark.usefixtures("one_detector")
SIDE = 240


def picture(frame: int) -> np.ndarray:
    """The astronaut, who moves from side to side"""
    left = 110 + round(12 * np.sin(frame / 5))
    return np.ascontiguousarray(data.astronaut()[5 : 5 + SIDE, left : left + SIDE])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    save_model(folder / "at.safetensors", at_net())
    save_model(folder / "nr_3d.safetensors", nr_net(space="face", dimensions=3, level="peak"))
    save_model(folder / "original.safetensors", at_net(space="original"))
    save_model(folder / "vg.safetensors", VGNet(width=4, blocks=1, warp="flow", lids=True))
    make_pictures_video(folder / "person.mp4", [picture(i) for i in range(20)])
    write_wave(folder / "long.wav", 16000 * 2)
    write_wave(folder / "short.wav", 8000)
    return folder


def dub(files: Path, out: Path, *flags: object, **replaced: object) -> int:
    return run_demo(files, out, *flags, **dict(p=files / "person.mp4", i=files / "long.wav") | replaced)


def difference(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.abs(made.astype(int) - true).max(axis=-1)


def test_lips_alone_change_and_the_video_goes_back_and_forth(files, tmp_path):
    assert dub(files, tmp_path, "--save_landmarks") == 0
    assert lengths(tmp_path / "a.mp4") == (50, pytest.approx(2, abs=0.04))
    given, made = frames_of(files / "person.mp4"), frames_of(tmp_path / "a.mp4")
    way = [*range(20), *range(18, 0, -1), *range(12)]
    landmarks = np.load(tmp_path / "a_landmarks.npy")
    assert landmarks.shape == (50, 68, 2) and np.isfinite(landmarks).all()
    changed = np.mean([difference(frame, given[i]) for i, frame in zip(way, made, strict=True)], axis=0)
    face = slice(60, 160)  # columns
    assert changed[:80].mean() < 3 and changed[135:175, face].mean() > 2 * changed[:80].mean()


def test_its_frame_rate_and_the_beginning_of_it_are_kept(files, tmp_path):
    make_pictures_video(tmp_path / "fast.mp4", [picture(i) for i in range(40)], fps=30)
    assert dub(files, tmp_path, p=tmp_path / "fast.mp4", i=files / "short.wav") == 0
    assert lengths(tmp_path / "a.mp4") == (16, pytest.approx(0.5, abs=0.04))  # 13 frames of sound at 25
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 30
        assert "machine" in container.metadata["comment"]


def test_the_last_frame_is_held_where_that_is_asked_for(files, tmp_path):
    assert dub(files, tmp_path, "--hold") == 0
    made = frames_of(tmp_path / "a.mp4")
    assert difference(made[30][:80], made[45][:80]).mean() < 1.5
    assert difference(made[30][:80], frames_of(files / "person.mp4")[-1][:80]).mean() < 3


def test_frames_without_a_face_pass_through_and_are_counted(files, tmp_path, capsys):
    empty = np.full((SIDE, SIDE, 3), (20, 90, 160), np.uint8)
    shown = [picture(i) for i in range(12)] + [empty] * 10 + [picture(i) for i in range(12)]
    make_pictures_video(tmp_path / "gap.mp4", shown)
    flags = ("--panel", "--save_landmarks", "-size", 200)
    assert dub(files, tmp_path, *flags, p=tmp_path / "gap.mp4", i=files / "long.wav") == 0
    assert "15 of 50 frames show no face" in capsys.readouterr().err
    landmarks = np.load(tmp_path / "a_landmarks.npy")
    assert np.isnan(landmarks[12:22]).all() and np.isfinite(landmarks[:12]).all()
    assert lengths(tmp_path / "a_panel.mp4")[0] == 50
    assert frames_of(tmp_path / "a.mp4")[0].shape == (200, 200, 3)
    assert dub(files, tmp_path, p=tmp_path / "gap.mp4", i=files / "long.wav") == 0
    made, given = frames_of(tmp_path / "a.mp4"), frames_of(tmp_path / "gap.mp4")
    assert all(difference(made[i], given[i]).mean() < 5 for i in range(13, 21))


def test_the_eyes_blink_as_they_did(files, tmp_path, capsys):
    from utils.face.landmarks import LOWER_LIDS, UPPER_LIDS

    assert dub(files, tmp_path, "--save_landmarks", "--blink", "on") == 0
    assert "person.mp4: its eyes blink as they did" in capsys.readouterr().err
    own = np.load(tmp_path / "a_landmarks.npy")
    moved = np.abs(np.diff(own[:20, UPPER_LIDS + LOWER_LIDS], axis=0)).max()
    assert moved < 1.5  # pixels: no blink


def test_a_face_is_chosen_by_number_or_place(files, tmp_path, capsys):
    smaller = [np.asarray(Image.fromarray(picture(i)).resize((192, 192))) for i in range(6)]
    both = [
        np.concatenate([np.pad(one, [(0, 48), (0, 0), (0, 0)]), picture(i)], axis=1)
        for i, one in enumerate(smaller)
    ]
    make_pictures_video(tmp_path / "two.mp4", both)
    given = frames_of(tmp_path / "two.mp4")
    for choice, side in ((1, 1), (2, 0), ("92,92", 0), ("300,110", 1)):
        assert dub(files, tmp_path, p=tmp_path / "two.mp4", i=files / "short.wav", face=choice) == 0
        made = frames_of(tmp_path / "a.mp4")
        changed = np.mean([difference(*pair) for pair in zip(made[:6], given, strict=True)], axis=0)
        halves = changed[:, :192].mean(), changed[:, 192:].mean()
        assert halves[side] > 1.3 * halves[1 - side], choice
    capsys.readouterr()
    assert dub(files, tmp_path, p=tmp_path / "two.mp4", face=7) == 2
    assert "two.mp4: no face number 7; there" in capsys.readouterr().err
    assert dub(files, tmp_path, p=tmp_path / "two.mp4", face="5,235") == 2
    assert "no face at 5,235" in capsys.readouterr().err


@pytest.mark.parametrize(("at_model", "status"), [("nr_3d", 0), ("original", 2)])
def test_which_networks_can_dub(files, tmp_path, capsys, at_model, status):
    weights = dict(at_model=files / f"{at_model}.safetensors")
    assert dub(files, tmp_path, i=files / "short.wav", **weights) == status


def test_videos_that_cannot_be_dubbed_are_refused_in_one_line(files, tmp_path, capsys):
    make_pictures_video(tmp_path / "nobody.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5)
    tiny = [np.pad(picture(i)[::6, ::6], [(0, 200), (0, 200), (0, 0)]) for i in range(8)]
    make_pictures_video(tmp_path / "tiny.mp4", tiny)
    for name, word in {"nobody.mp4": "no face found", "tiny.mp4": "no face found|too small"}.items():
        out = tmp_path / "out"
        assert dub(files, out, p=tmp_path / name) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert any(one in said for one in word.split("|")) and name in said and not out.exists()


def test_an_error_while_it_is_written_ends_in_one_line(files, tmp_path):
    """In a process of its own, with networks at work in another thread"""
    script = (
        "import sys, demo; from utils.errors import run; from utils.media.write import VideoWriter\n"
        "def full(video, frame): raise OSError(28, 'No space left on device')\n"
        "VideoWriter.write = full\n"
        "sys.exit(run(demo.main, lambda: demo.parse_args(sys.argv[1:])))"
    )
    flags = ["-p", files / "person.mp4", "-i", files / "long.wav", "-sample_dir", tmp_path / "out"]
    flags += ["-at_model", files / "at.safetensors", "-vg_model", files / "vg.safetensors", "-cuda", "false"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, flags)], cwd=demo.ROOT, capture_output=True, text=True
        )
        assert done.returncode == 2 and "No space left" in done.stderr.splitlines()[-1], done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_memory_does_not_grow_with_the_videos_length(files, tmp_path):
    sizes = []
    for seconds in (16, 3):
        pictures = (picture(i) for i in range(seconds * 25))
        with VideoWriter(tmp_path / "in.mp4", (SIDE, SIDE)) as video:
            for one in pictures:
                video.write(one)
        (tmp_path / "face.png").unlink(missing_ok=True)
        sizes.append(peak_of(files, tmp_path, seconds))
    assert sizes[0] < 1.12 * sizes[1]


def peak_of(files: Path, folder: Path, seconds: int) -> int:
    """`peak_memory` of the demo with the video in `folder`, and so many seconds of sound"""
    return peak_memory(files, folder, seconds, "at.safetensors", person=folder / "in.mp4")
