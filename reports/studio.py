"""What the pictures of faces are made of: people, sounds, and the demo as a person would call it on them."""

from __future__ import annotations

import hashlib
import io
import wave
from argparse import Namespace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from data.splits import clip_ids
from data.store import Clip, aligned_store, group_of
from evaluation.landmark_metrics import correlation
from reports.runs import Runs
from utils.audio import SAMPLE_RATE
from utils.errors import UserError
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import mouth_opening
from utils.files import replacing
from utils.media.drawing import cut_tile, enlarge
from utils.media.read import read_video

VIEWS = ("landmarks", "attention", "motion", "result")  # of the demo's panel, left to right
UNSEEN = ("s2", "s27")  # GRID's, unseen


class Take:
    """What the demo made of a photo and a sound, in pictures (256, 256, 3) uint8"""

    def __init__(self, folder: Path, detector: FaceDetector) -> None:
        self.frames, self.detector = list(read_video(folder / "demo_panel.mp4")), detector
        self.driving = mouth_opening(np.load(folder / "demo_landmarks.npy"))  # (T,), what VG-net was given

    def view(self, number: int, name: str = "result") -> np.ndarray:
        """One of VIEWS at this frame"""
        return cut_tile(self.frames[number], VIEWS.index(name))

    @cached_property
    def opening(self) -> np.ndarray:
        """The mouth's opening as dlib sees it in the result -> (T,) pixels of a 128-pixel crop; NaN without a face"""
        results = [self.view(number) for number in range(len(self.frames))]
        return mouth_opening(self.detector.track(results)) * 128 / len(results[0])

    def followed(self, truth: np.ndarray) -> float:
        """Correlation of the opening with the true one (T,), over the frames that both have"""
        pairs = np.array([*zip(self.opening, truth, strict=False)])
        return correlation(*pairs[~np.isnan(pairs[:, 0])].T)


class Studio:
    """Photos (H, W, 3): the astronaut with her landmarks (68, 2); the people, she first; wide: the last's mouth open.

    told: a held-out clip of s1; own: one of the second's. Raises UserError where the store's unseen people lack one.
    """

    def __init__(self, args: Namespace) -> None:
        self.args, self.runs, self.detector = args, Runs(args), FaceDetector()
        store, clips = aligned_store(args.dataset_dir), []
        for name in UNSEEN:
            ids = [id for id in clip_ids(store, "grid", "unseen", args.splits) if group_of(id) == name]
            if not ids:
                raise UserError(f"{args.dataset_dir}: no clip of {name} in the split unseen; see --splits")
            clips.append(store[ids[0]])
        self.told, self.own = store[clip_ids(store, "grid", "test", args.splits)[0]], clips[0]
        self.astronaut = astronaut(self.detector)
        self.people = [self.astronaut[0], *(still(clip, 0) for clip in clips)]
        self.wide = still(clips[1], mouth_opening(clips[1].landmarks).argmax())

    def sees(self, image: np.ndarray) -> bool:
        """Whether dlib finds a face, without which the demo refuses the photo"""
        return bool(self.detector.detect(image))

    def take(
        self, image: np.ndarray, audio: np.ndarray, at_model: Path | None = None, alive: bool = False
    ) -> Take:
        """The demo on image (H, W, 3) and audio (N,), made now or before. Raises UserError where it fails.

        alive: its eyes blink and its head moves; pictures are frames chosen by their mouths, of still heads with open
        eyes.
        """
        model, picture, sound = at_model or self.args.at_model, io.BytesIO(), io.BytesIO()
        Image.fromarray(image).save(picture, "PNG")
        with wave.open(sound, "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes((audio / max(1.0, np.abs(audio).max()) * 32767).round().astype("<i2").tobytes())
        photo, speech = self.file(picture.getvalue(), "png"), self.file(sound.getvalue(), "wav")
        name = f"{photo.stem}_{speech.stem}_{model.stem}{'_alive' * alive}"
        flags = ["-p", photo, "-i", speech, "-at_model", model, "-vg_model", self.args.vg_model]
        flags += ["-sample_dir", self.args.o / name, "--panel", "--save_landmarks", "--blink", str(alive)]
        flags += ["--head_motion", "learned" if alive else "none"]
        return Take(self.runs(name, "demo.py", *flags), self.detector)

    def file(self, content: bytes, suffix: str) -> Path:
        """The content in a file that is named by it"""
        path = self.args.o / "inputs" / f"{hashlib.sha256(content).hexdigest()[:8]}.{suffix}"
        if not path.exists():
            with replacing(path) as part:
                part.write_bytes(content)
        return path


def still(clip: Clip, number: int) -> np.ndarray:
    return clip.frames([number])[0].movedim(0, -1).contiguous().numpy()


def astronaut(detector: FaceDetector, half: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """The head of scikit-image's astronaut, twice as large as it is there"""
    from skimage.data import astronaut

    landmarks, _ = find_face(astronaut(), detector)
    left, top = np.maximum(landmarks.mean(0).astype(int) - half, 0)
    head = astronaut()[top : top + 2 * half, left : left + 2 * half]
    return enlarge(head, 4 * half), (landmarks - (left, top)) * 2 + 0.5
