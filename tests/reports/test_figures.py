"""figures.py: its pictures of drawn faces, what it keeps, and what it says of mistakes."""

import os
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from reports import demo_runs, face_figures, figures
from reports.demo_runs import VIEWS, DemoRuns, split_panel
from reports.face_figures import FIGURES, GIF_LIMIT, Photo, found, moments, quietest, window
from reports.markdown import marks
from tests.synthetic import draw_face, make_store, talking_landmarks
from utils.errors import UserError, run
from utils.media.drawing import grid
from utils.media.write import VideoWriter

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


def panel() -> np.ndarray:
    return grid([np.full((256, 256, 3), colour, np.uint8) for colour in COLOURS], captions=VIEWS)


class PretendedDetector:
    """Sees a face that talks in every frame but the first, where there is none."""

    def track(self, frames: list[np.ndarray]) -> np.ndarray:
        assert {frame.shape for frame in frames} == {(256, 256, 3)}
        landmarks = talking_landmarks(len(frames), 0)[0]
        landmarks[0] = np.nan
        return landmarks


@pytest.fixture
def demo(monkeypatch) -> list[list[str]]:
    """Stands for demo.py: a panel of plain colours, as long as the sound; no face in dark photos -> its commands"""
    commands = []

    def pretend(command: list[str], **options: object) -> subprocess.CompletedProcess:
        commands.append(command)
        given = dict(zip(command[2:-2:2], command[3:-2:2], strict=True))
        if cv2.imread(given["-p"]).mean() < 25:
            return subprocess.CompletedProcess(command, 2, stderr=b"photo: no face found; use another")
        frames = -(-(os.path.getsize(given["-i"]) - 44) // 1280)
        place = Path(given["-sample_dir"]) / given["-s"]
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(f"{place}_landmarks.npy", talking_landmarks(frames, len(commands))[0])
        with VideoWriter(Path(f"{place}_panel.mp4"), panel().shape[1::-1]) as video:
            for number in range(frames):
                video.write(panel() // (1 + number // 2 % 2))
        return subprocess.CompletedProcess(command, 0, stderr=b"")

    points = talking_landmarks(1, 0)[0][0]
    face = Photo(draw_face(points, (200, 150, 120), 128), points)
    monkeypatch.setattr(demo_runs.subprocess, "run", pretend)
    monkeypatch.setattr(figures, "FaceDetector", PretendedDetector)
    monkeypatch.setattr(figures, "astronaut", lambda detector: face)
    monkeypatch.setattr(face_figures, "find_face", lambda image, detector: (points, 1))
    short = dict(GIF_SIDE=32, SECONDS=0.4, GIF_SECONDS=0.64, PHRASE=(0.2, 0.96))
    for name, value in short.items():
        monkeypatch.setattr(face_figures, name, value)
    return commands


@pytest.fixture
def flags(tmp_path) -> list[str]:
    """A store of drawn faces of s1, s2 and s27, with its splits"""
    store = make_store(tmp_path / "grid.h5", clips=27, frames=25, speakers=27)
    for split, id in {"test": "s1/clip0", "unseen": "s2/clip1\ns27/clip26"}.items():
        (tmp_path / "splits" / f"{split}.txt").write_text(id)
    for name in ("train", "val"):
        (tmp_path / "splits" / f"{name}.txt").write_text("s3/clip2" if name == "train" else "s4/clip3")
    places = {"dataset_dir": store, "splits": tmp_path / "splits", "o": tmp_path / "assets"}
    places |= {"work": tmp_path / "work"}
    for name in ("at_model", "vg_model", "nr_model"):
        places[name] = tmp_path / f"{name}.safetensors"
        places[name].touch()
    return [str(item) for name, path in places.items() for item in (f"-{name}", path)]


def draw(flags: list[str], *more: str) -> int:
    return run(figures.main, lambda: figures.parse_args([*flags, *more]))


def test_every_picture_goes_into_the_page_with_its_caption(demo, flags, tmp_path, capsys):
    page = tmp_path / "README.md"
    places = {name: marks(figures.mark(name)) for name in FIGURES}
    page.write_text("\n".join(f"{begin}\nold\n{end}" for begin, end in places.values()))
    assert draw(flags, "-readme", str(page)) == 0, capsys.readouterr().err
    text = page.read_text()
    assert "old" not in text
    for name, (_, file, _) in FIGURES.items():
        assert f"{file})\n\n<sub>" in text and f"`python figures.py -only {name} " in text
        assert (tmp_path / "assets" / file).stat().st_size > 2_000
    with Image.open(tmp_path / "assets/demo.gif") as gif:
        assert gif.n_frames == 8 and sum(frame_durations(gif)) == 640
    assert (tmp_path / "assets/demo.gif").stat().st_size <= GIF_LIMIT
    before = len(demo)
    assert draw(flags, "-only", "demo", "yaw") == 0
    assert len(demo) == before  # all is kept
    newer = time.time() + 60
    os.utime(tmp_path / "nr_model.safetensors", (newer, newer))
    assert draw(flags, "-only", "yaw", "noise_faces") == 0
    assert len(demo) == before + 4 and all("nr_model" in command[9] for command in demo[before:])


def frame_durations(gif: Image.Image) -> list[int]:
    durations = []
    for number in range(gif.n_frames):
        gif.seek(number)
        durations.append(gif.info["duration"])
    return durations


def test_mistakes_are_one_line(demo, flags, tmp_path, capsys, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text("no marks")
    assert draw(flags, "-readme", str(page)) == 2
    assert "no page with the marks" in capsys.readouterr().err and not demo
    failed = subprocess.CompletedProcess([], 1, stderr=b"Traceback")
    monkeypatch.setattr(demo_runs.subprocess, "run", lambda command, **options: failed)
    assert draw(flags, "-only", "demo") == 2
    assert "ended with status 1" in capsys.readouterr().err
    (tmp_path / "splits/unseen.txt").write_text("s2/clip1")
    assert draw(flags) == 2
    assert "no clip of s27" in capsys.readouterr().err
    (tmp_path / "vg_model.safetensors").unlink()
    assert draw(flags) == 2
    assert "vg_model.safetensors: does not exist" in capsys.readouterr().err


def test_a_photo_without_a_face_is_remembered(demo, tmp_path):
    for name in ("at", "vg"):
        (tmp_path / name).touch()
    runs = DemoRuns(Path("demo.py"), tmp_path / "work", tmp_path / "at", tmp_path / "vg", PretendedDetector())
    photo, sound = runs.photo("dark", np.zeros((8, 8, 3), np.uint8)), runs.sound("tone", np.ones(1280))
    assert runs(photo, sound) is None and runs(photo, sound) is None
    assert runs.count == 1
    photo = runs.photo("dark", np.full((8, 8, 3), 200, np.uint8))
    for _ in range(2):
        take = runs(photo, sound)
        assert take.driving.shape == take.opening.shape == (2,) and runs.count == 2
        assert np.isnan(take.opening).tolist() == [True, False]
    next((tmp_path / "work/runs").glob("*_panel.mp4")).unlink()
    assert len(runs(photo, sound).view("result")) == 2 and runs.count == 3


def test_a_panel_is_taken_apart():
    for colour, (name, tile) in zip(COLOURS, split_panel(panel()).items(), strict=True):
        assert name in VIEWS and tile.shape == (256, 256, 3) and (tile == colour).all()


def test_moments_and_the_pause():
    assert moments(80) == [5, 15, 25, 35, 45, 55, 65, 75]
    sound = np.ones(640 * 40)
    sound[640 * 18 : 640 * 27] = 0.01
    assert quietest(sound) == 22


def test_a_window_at_the_border_keeps_within_the_photo():
    landmarks = np.random.default_rng(0).uniform(0, 60, (68, 2))
    assert window(Photo(np.zeros((64, 64, 3), np.uint8), landmarks), 32).shape == (32, 32, 3)


def test_without_a_face_where_one_is_needed():
    with pytest.raises(UserError, match="s2: the demo finds no face"):
        found(None, "s2")
