"""figures.py: its pictures of drawn faces, what it keeps; hard photos and GIFs by themselves."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports import figures, runs, studio
from reports.hard_photos import turn_head, with_scarf
from tests.synthetic import draw_face, make_store, talking_landmarks
from utils.errors import run
from utils.face.landmarks import TEMPLATE, to_crop_size
from utils.media.drawing import grid
from utils.media.images import write_gif
from utils.media.write import VideoWriter

SHADES = (200, 150, 100, 50)  # of the panel's views
POINTS = to_crop_size(TEMPLATE.astype(float), 128) * 0.4 + 38
FACE = draw_face(POINTS, (200, 150, 120), 128)


class PretendedDetector:
    """Sees a face that talks in every frame but the first."""

    def detect(self, image: np.ndarray) -> list[int]:
        return [1] if image.mean() > 30 else []  # none in the dark

    def track(self, frames: list[np.ndarray]) -> np.ndarray:
        assert all(abs(frame.mean() - SHADES[3]) < 5 for frame in frames)  # the results
        landmarks = talking_landmarks(len(frames), 0)[0]
        landmarks[0] = np.nan
        return landmarks


def pretended_demo(command: list[str]) -> int:
    """Stands for demo.py: a panel of plain tiles, as long as the sound"""
    given = dict(pairwise(command))
    frames = max(2, (Path(given["-i"]).stat().st_size - 44) // 1280)
    folder = Path(given["-sample_dir"])
    np.save(folder / "demo_landmarks.npy", talking_landmarks(frames, 0)[0])
    panel = grid([np.full((256, 256, 3), shade, np.uint8) for shade in SHADES], captions=studio.VIEWS)
    with VideoWriter(folder / "demo_panel.mp4", panel.shape[1::-1]) as video:
        for _ in range(frames):
            video.write(panel)
    return 0


def test_the_page_has_every_picture_and_keeps_what_the_demo_made(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "finish", pretended_demo)
    monkeypatch.setattr(studio, "FaceDetector", PretendedDetector)
    monkeypatch.setattr(studio, "astronaut", lambda detector: (FACE, POINTS))
    monkeypatch.setattr(figures, "OPENING", slice(0, 6400))
    monkeypatch.setattr(figures, "PHRASE", slice(0, 6400))
    monkeypatch.setattr(figures, "GIF_SIDE", 32)
    store = make_store(tmp_path / "grid.h5", clips=27, frames=10, speakers=27)
    lists = dict(test="s1/clip0", unseen="s2/clip1\ns27/clip26", train="s3/clip2", val="s4/clip3")
    for split, ids in lists.items():
        (tmp_path / "splits" / f"{split}.txt").write_text(ids)
    places = dict(dataset_dir=store, splits=tmp_path / "splits", o=tmp_path / "out", docs=tmp_path / "docs")
    flags = [str(item) for name, path in places.items() for item in (f"-{name}", path)]
    assert run(figures.main, lambda: figures.parse_args(flags)) == 0
    page = (tmp_path / "docs/faces.md").read_text()
    pictures = re.findall(r"\]\(\.\./assets/(.+?)\)", page)
    assert pictures == [*figures.PICTURES]
    for name in pictures:
        with Image.open(tmp_path / "assets" / name) as image:
            assert np.asarray(image.convert("RGB")).std() > 10
    monkeypatch.setattr(runs, "finish", None)  # all is kept
    assert run(figures.main, lambda: figures.parse_args(flags)) == 0
    (tmp_path / "splits/unseen.txt").write_text("s2/clip1")
    assert run(figures.main, lambda: figures.parse_args(flags)) == 2


def test_a_gif_has_its_frames_at_their_rate(tmp_path):
    random = np.random.default_rng(0)
    frames = [np.full((40, 60, 3), 100, np.uint8) for _ in range(4)]
    for frame in frames:
        frame[10:30, 10:30] = random.integers(0, 255, (20, 20, 3))
    write_gif(tmp_path / "a.gif", frames, 12.5)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 4 and gif.info["duration"] == 80 and gif.info["loop"] == 0
        gif.seek(3)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frames[3]).mean() < 10


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_head_turns_and_its_background_stays(degrees):
    def mouth(picture: np.ndarray) -> float:
        return np.argwhere(np.abs(picture.astype(int) - (30, 0, 0)).max(-1) < 60)[:, 1].mean()

    assert np.abs(turn_head(FACE, POINTS, 0).astype(int) - FACE).mean() < 1
    turned = turn_head(FACE, POINTS, degrees)
    assert (mouth(turned) - mouth(FACE)) * np.sign(degrees) > 3
    assert np.array_equal(turned[:, :4], FACE[:, :4])


def test_a_scarf_covers_the_mouth_and_leaves_the_eyes():
    scarf = (with_scarf(FACE, POINTS) == (150, 40, 48)).all(-1)
    columns, rows = POINTS.round().astype(int).T
    assert scarf[rows[48:], columns[48:]].all() and not scarf[rows[36:48], columns[36:48]].any()
