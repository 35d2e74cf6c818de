"""The demo as a person would call it, on photos and sounds that a script makes; what was made before is kept."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from utils.audio import SAMPLE_RATE
from utils.errors import UserError
from utils.face.detector import FaceDetector
from utils.face.landmarks import mouth_opening
from utils.files import replacing
from utils.media.drawing import cut_tile
from utils.media.read import read_video

VIEWS = ("landmarks", "attention", "motion", "result")  # of the demo's panel, left to right
NO_FACE = "no face found"  # what the demo says of a photo in which dlib sees none


class Take:
    """What the demo made of one photo and one sound: pictures (side, side, 3) uint8, and the mouth's opening (T,).

    opening: as dlib sees it in the result, pixels of the 128-pixel crop; NaN where it finds no face. driving: that of
    the landmarks that VG-net was given.
    """

    def __init__(self, panel: Path, landmarks: Path, opening: Path) -> None:
        self.driving = mouth_opening(np.load(landmarks))
        self.opening = np.load(opening)
        self._panel = panel

    def view(self, name: str, numbers: Sequence[int] | None = None) -> list[np.ndarray]:
        """One of VIEWS at these frames, or at all"""
        return [views[name] for views in self.views(numbers)]

    def views(self, numbers: Sequence[int] | None = None) -> list[dict[str, np.ndarray]]:
        """The pictures of these frames, or of all, by their names in VIEWS"""
        frames = list(read_video(self._panel))
        chosen = frames if numbers is None else [frames[number] for number in numbers]
        return [split_panel(frame) for frame in chosen]


class DemoRuns:
    """Runs demo.py, each photo and sound once, with inputs and results in two folders of OUT."""

    def __init__(
        self, script: Path, out: Path, at_model: Path, vg_model: Path, detector: FaceDetector
    ) -> None:
        self.script, self.out, self.at_model, self.vg_model = script, out, at_model, vg_model
        self.detector = detector
        self.count = 0  # runs that this object had to make

    def photo(self, name: str, photo: np.ndarray) -> Path:
        """photo (H, W, 3) -> the file that holds it"""
        code = io.BytesIO()
        Image.fromarray(photo).save(code, "PNG")
        return write_if_changed(self.out / "inputs" / f"{name}.png", code.getvalue())

    def sound(self, name: str, audio: np.ndarray) -> Path:
        """audio (N,), 16 kHz -> the file that holds it; scaled down where it would clip"""
        audio = audio / max(1.0, np.abs(audio).max())
        code = io.BytesIO()
        with wave.open(code, "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes((audio * 32767).round().astype("<i2").tobytes())
        return write_if_changed(self.out / "inputs" / f"{name}.wav", code.getvalue())

    def __call__(self, photo: Path, sound: Path, at_model: Path | None = None) -> Take | None:
        """The demo on a photo and a sound, made now or before; None where it finds no face. Raises UserError."""
        at_model = at_model or self.at_model
        name = f"{photo.stem}+{sound.stem}+{at_model.stem}"
        paths = {"p": photo, "i": sound, "sample_dir": self.out / "runs", "s": name}
        paths |= {"at_model": at_model, "vg_model": self.vg_model}
        flags = [str(item) for flag, value in paths.items() for item in (f"-{flag}", value)]
        command = shlex.join(["python", self.script.name, *flags, "--panel", "--save_landmarks"])
        record = self.out / "runs" / f"{name}.txt"  # the command and what it said
        newest = max(path.stat().st_mtime for path in (photo, sound, at_model, self.vg_model))
        made = [record.with_name(f"{name}_{part}") for part in ("panel.mp4", "landmarks.npy")]
        if not _kept(record, command, newest, made):
            self._run(command, record)
        if NO_FACE in record.read_text():
            return None
        opening = record.with_name(f"{name}_opening.npy")
        if not opening.exists() or opening.stat().st_mtime < record.stat().st_mtime:
            with replacing(opening) as part, part.open("wb") as file:
                np.save(file, seen_opening(made[0], self.detector))
        return Take(*made, opening)

    def _run(self, command: str, record: Path) -> None:
        print(command, flush=True)
        self.count += 1
        _, _, *flags = shlex.split(command)
        ended = subprocess.run(
            [sys.executable, str(self.script), *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        said = ended.stderr.decode(errors="replace")
        if ended.returncode and NO_FACE not in said:
            raise UserError(f"{command}: ended with status {ended.returncode}: {said.strip()[-300:]}")
        with replacing(record) as part:
            part.write_text(f"{command}\n{NO_FACE if ended.returncode else ''}\n")


def _kept(record: Path, command: str, newest: float, made: list[Path]) -> bool:
    """Whether the record is of this command, not older than its inputs, and what it made is still there"""
    if not record.exists() or record.stat().st_mtime < newest:
        return False
    said = record.read_text()
    return command in said and (NO_FACE in said or all(path.exists() for path in made))


def seen_opening(panel: Path, detector: FaceDetector) -> np.ndarray:
    """The mouth's opening in the results of a panel's video -> (T,) pixels of the 128-pixel crop, NaN without a face"""
    results = [split_panel(frame)["result"] for frame in read_video(panel)]
    return mouth_opening(detector.track(results)) * 128 / results[0].shape[0]


def split_panel(frame: np.ndarray) -> dict[str, np.ndarray]:
    """A frame of the demo's panel -> its pictures, without the captions above and the gaps between them"""
    return {name: cut_tile(frame, number) for number, name in enumerate(VIEWS)}


def write_if_changed(path: Path, content: bytes) -> Path:
    """Writes the file, unless it holds just that already and may keep its date"""
    if not path.exists() or path.read_bytes() != content:
        with replacing(path) as part:
            part.write_bytes(content)
    return path
