"""The demo's heads that move, through its own main."""

import numpy as np
import pytest
import torch
from PIL import Image

from models import RhythmicNet, save_model
from tests.talking import frames_of, head_motion, lengths, peak_memory, run_demo, small_weights, write_wave
from utils.face.pose import fit_pose, motion_of
from utils.media.write import VideoWriter

data = pytest.importorskip("skimage.data")
pytestmark = pytest.mark.usefixtures("one_detector")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    small_weights(folder)
    head_motion(folder)
    Image.fromarray(data.astronaut()[:300, 80:420]).save(folder / "face.png")
    write_wave(folder / "half.wav", 32000)
    return folder


def run(files, out, *flags, **replaced):
    return run_demo(files, out, "-hm_model", files / "hm.safetensors", *flags, **replaced)


def difference(one, other):
    return np.abs(np.stack(one).astype(int) - np.stack(other)).mean((1, 2, 3))


def test_photos_move_by_themselves_and_the_seed_says_how(files, tmp_path):
    for name, motion, seed in (("a", None, 1), ("b", "learned", 1), ("c", "learned", 2), ("d", "none", 1)):
        assert run(files, tmp_path, "--seed", seed, s=name, head_motion=motion) == 0
    films = {name: frames_of(tmp_path / f"{name}.mp4") for name in "abcd"}
    assert lengths(tmp_path / "a.mp4")[0] == 50
    assert difference(films["a"], films["b"]).max() < 0.1  # pixels, as an encoder's bytes are not promised
    moved, other = difference(films["a"], films["d"]), difference(films["b"], films["c"])
    assert moved[0] < 2 and other[0] < 2  # begins as the photo is, but for what coding does
    assert moved[20:].max() > 4 and other[20:].max() > 4
    frame, still = films["a"][-1].astype(int), films["d"][-1]
    assert np.abs(frame[:, -12:] - still[:, -12:]).mean() < 2.5  # the background stands still


def test_landmarks_and_every_view_are_of_the_moved_head(files, tmp_path):
    track = np.zeros((80, 6), np.float32)
    track[:, 1] = np.radians(10)
    np.save(tmp_path / "aside.npy", track)
    flags = ["--save_landmarks", "--panel", "--paste_back"]
    assert run(files, tmp_path, *flags, head_motion=tmp_path / "aside.npy") == 0
    landmarks = np.load(tmp_path / "a_landmarks.npy")
    motion = motion_of(fit_pose(landmarks), fit_pose(landmarks[:1]))
    assert np.degrees(motion[-1, 1]) == pytest.approx(10, abs=2)
    for name in ("a", "a_full", "a_panel"):
        film = frames_of(tmp_path / f"{name}.mp4")
        assert len(film) == 50 and np.abs(film[-1].astype(int) - film[0]).mean() > 1
    assert run(files, tmp_path, "-size", 200, s="face", head_motion=tmp_path / "aside.npy") == 0
    assert frames_of(tmp_path / "face.mp4")[0].shape == (200, 200, 3)


def test_another_videos_motion_and_a_videos_best_picture(files, tmp_path):
    photo = np.asarray(Image.open(files / "face.png"))
    with VideoWriter(tmp_path / "film.mp4", photo.shape[1::-1], 25) as film:
        for shift in range(30):
            film.write(np.roll(photo, shift // 3, axis=1))
    assert run(files, tmp_path, s="moved", head_motion=tmp_path / "film.mp4") == 0
    assert run(files, tmp_path, s="own", p=tmp_path / "film.mp4", head_motion="learned") == 0
    assert lengths(tmp_path / "moved.mp4")[0] == lengths(tmp_path / "own.mp4")[0] == 50


def test_of_several_photos_one_speaks(files, tmp_path):
    photo = Image.open(files / "face.png")
    photo.rotate(14).save(tmp_path / "leaning.png")
    photos = [tmp_path / "leaning.png", files / "face.png"]
    assert run(files, tmp_path, "-p", *photos, p=None, head_motion="none", s="two") == 0
    first = frames_of(tmp_path / "two.mp4")[0].astype(int)
    assert np.abs(first - np.asarray(photo)).mean() < 10


def test_mistakes_are_one_line(files, tmp_path, capsys):
    np.save(tmp_path / "odd.npy", np.zeros((4, 5)))
    (tmp_path / "notes.txt").write_text("hello")
    cases = [
        (dict(head_motion="leaned"), "leaned: no such file"),
        (dict(head_motion=tmp_path / "odd.npy"), "odd.npy: holds (4, 5) numbers"),
        (dict(head_motion=tmp_path / "notes.txt"), "notes.txt: no head motion and no video"),
        (dict(head_motion=None, hm_model=files / "at.safetensors"), "at.safetensors"),
    ]
    for replaced, message in cases:
        assert run_demo(files, tmp_path / "out", **({"hm_model": files / "hm.safetensors"} | replaced)) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_a_moving_head(files, tmp_path):
    sizes = [
        peak_memory(files, tmp_path, seconds, "at.safetensors", head_motion="learned") for seconds in (4, 16)
    ]
    assert sizes[1] < sizes[0] + 60_000  # KiB


@pytest.mark.parametrize("linear", [True, False])
def test_the_renderer_draws_the_whole_head_in_its_pose(linear, files, tmp_path):
    torch.manual_seed(3)
    options = dict(widths=(4, 4, 8, 8), flow_widths=(4, 8), flow_blocks=1, size=64, norm="group")
    options |= dict(landmark_flow=True, spade_combine=not linear, add_raw_loss=not linear)
    save_model(tmp_path / "rhythmic.safetensors", RhythmicNet(**options))
    track = np.zeros((80, 6), np.float32)
    track[:, 2] = np.radians(10)
    np.save(tmp_path / "leaning.npy", track)
    drawn = dict(vg_model=tmp_path / "rhythmic.safetensors", head_motion=tmp_path / "leaning.npy")
    photos = ["-p", files / "face.png", files / "face.png"]
    assert run(files, tmp_path, *photos, "--panel", "--paste_back", "--save_landmarks", p=None, **drawn) == 0
    whole, photo = frames_of(tmp_path / "a_full.mp4"), np.asarray(Image.open(files / "face.png")).astype(int)
    assert len(whole) == 50 and whole[0].shape == photo.shape
    assert np.abs(whole[-1][:, -8:] - photo[:, -8:]).mean() < 4  # the background stands still
    assert np.abs(whole[-1] - photo).mean() > 4
    assert frames_of(tmp_path / "a.mp4")[0].shape == (64, 64, 3)
    landmarks = np.load(tmp_path / "a_landmarks.npy")
    motion = motion_of(fit_pose(landmarks), fit_pose(landmarks[:1]))
    assert np.degrees(motion[-1, 2]) == pytest.approx(10, abs=2)
    assert run(files, tmp_path, "-size", 100, s="small", **drawn | dict(head_motion="none")) == 0
    assert frames_of(tmp_path / "small.mp4")[0].shape == (100, 100, 3)


def test_motion_files_lie_beside_the_list_that_names_them(files, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    np.save(lists / "nod.npy", np.full((50, 6), 0.05, np.float32))
    (lists / "jobs.csv").write_text(
        f"photo,audio,name,head_motion\n{files / 'face.png'},{files / 'half.wav'},nods,nod.npy\n"
    )
    assert (
        run(files, tmp_path / "out", "--list", lists / "jobs.csv", p=None, i=None, s=None, head_motion=None)
        == 0
    )
    assert lengths(tmp_path / "out/nods.mp4")[0] == 50
