"""What rhythmic_test.py leaves to look at: a video of the frames alone, with sound, and a picture of every row's"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluation.rhythmic.rows import BOTH
from evaluation.rhythmic.tasks import Task
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.media.drawing import draw_landmarks, grid
from utils.media.images import write_image
from utils.media.write import VideoWriter

COLUMNS = 6  # frames in the picture, evenly over the clip
ASKED, REFERENCES = "asked for", "references"
CAPTIONS = {BOTH: "head, then landmarks"}  # a frame is not wide


def write_result(path: Path, frames: np.ndarray, audio: np.ndarray) -> None:
    """frames (N, H, H, 3) uint8, audio (640 N,) -> a video of them, nothing else in it"""
    with VideoWriter(path, frames.shape[2:0:-1], audio=SAMPLE_RATE) as video:
        for number, frame in enumerate(frames):
            video.write(np.ascontiguousarray(frame))
            video.write_audio(audio[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME])


def write_strip(path: Path, task: Task, made: dict[str, np.ndarray]) -> None:
    """Rows: references, the landmarks that were asked for, and each row's frames of the same moments"""
    count = len(task.pose)
    shown = np.unique(np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int))
    numbers = np.resize(task.references[: len(shown)], len(shown))
    size = task.key_head.size
    rows = {REFERENCES: task.person.pictures(numbers)}
    rows[ASKED] = np.stack([draw_landmarks(size, task.landmarks[number]) for number in shown])
    rows |= {name: frames[shown] for name, frames in made.items()}
    tiles = [tile for frames in rows.values() for tile in frames]
    captions = [
        CAPTIONS.get(name, name) if not column else "" for name in rows for column in range(len(shown))
    ]
    write_image(path, grid(tiles, len(shown), captions))


def write_all(folder: Path, task: Task, made: dict[str, np.ndarray], best: str) -> None:
    """FOLDER/ID/test.mp4 of the row `best`, and FOLDER/ID/rows.png"""
    own = folder / task.person.id.replace("/", "_")
    own.mkdir(parents=True, exist_ok=True)
    write_result(own / "test.mp4", made[best], task.audio)
    write_strip(own / "rows.png", task, made)
