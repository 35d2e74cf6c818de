"""What the page offers: faces that speak, lips that are read, voices for silent faces. Gradio is not in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from animation.heads.motion import STILL
from animation.talking.networks import Networks, load_networks
from animation.talking.talk import talk
from animation.talking.wish import Wish
from animation.voiced_videos import default_output, give_voice
from evaluation.reading.sliding import WordRead
from evaluation.reading.videos import subtitles
from evaluation.reading.videos import watch as watch_mouth
from models import load_model
from models.lips.generator import LipToSpeech
from models.reading.reader import LipReader
from page.files import PrivateFolder
from page.limits import Limits
from utils.errors import UserError
from utils.files import replacing
from utils.progress import Watch

WEIGHTS = Path(__file__).parent.parent / "weights"
EARS = {  # who hears: how it is called on the page, and its weights
    "whisper": ("AT-net on Whisper's features: most voices", WEIGHTS / "atnet_whisper.safetensors"),
    "paper": ("The paper's AT-net: studio speech", WEIGHTS / "atnet.safetensors"),
    "noise": ("NR-net: noisy sound", WEIGHTS / "nrnet.safetensors"),
}
WHOLE, FACE = "The whole picture", "The face alone"
SIDE = 512  # pixels of the face alone
Loaded = TypeVar("Loaded")


@dataclass
class Service:
    """Networks, loaded when they are first wanted and then kept, and what is made with them, in a private folder

    at_model: weights of the default ears. Methods raise UserError for what cannot be used, and leave nothing then.
    """

    folder: PrivateFolder
    limits: Limits
    device: torch.device
    at_model: Path = EARS["whisper"][1]
    vg_model: Path = WEIGHTS / "vgnet.safetensors"
    hm_model: Path = WEIGHTS / "headmotion.safetensors"
    _kept: dict = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def talk(
        self,
        photo: str | None,
        video: str | None,
        speech: str | None,
        ears: str,
        shows: str,
        blinks: bool,
        moves: bool,
        watch: Watch,
    ) -> tuple[Path, Path, str]:
        """-> the talking face, the panel of the steps to it, and a line about them"""
        person = self._person(photo, video)
        if not speech:
            raise UserError("No speech yet: give a recording, or record one")
        self.limits.check_speech(Path(speech))
        if ears not in EARS:
            raise UserError(f"{ears}: nobody who hears; choose one of {', '.join(EARS)}")
        networks, began = self._networks(ears), time.monotonic()
        with self.folder.results() as folder:
            wish = Wish(
                speech=Path(speech),
                person=person,
                folder=folder,
                name="talking",
                size=SIDE if shows == FACE else None,
                panel=True,
                blink=None if blinks else False,
                head_motion=None if moves else STILL,
            )
            made = talk(networks, wish, watch)
        return *made.files, _about(made.frames, made.faceless, time.monotonic() - began)

    def read_lips(self, video: str | None, watch: Watch) -> tuple[list[WordRead], Path, str]:
        """-> the words that are read, their subtitles as a file, and a line about them"""
        path = self._video(video)
        reader, began = self._one("lipread", LipReader), time.monotonic()
        with self.folder.results() as folder:
            words = watch_mouth(reader, path, progress=self._counted(path, watch)).words()
            with replacing(folder / f"{path.stem}.srt") as part:
                part.write_text("".join(subtitles(words)), encoding="utf-8")
        seconds = time.monotonic() - began
        found = f"{len(words)} word{'s' * (len(words) != 1)} read" if words else "No word was read for sure"
        return words, folder / f"{path.stem}.srt", f"{found}, in {seconds:.0f} s."

    def give_voice(self, video: str | None, watch: Watch) -> tuple[Path, str]:
        """-> the same pictures with the speech that was read, and a line about them"""
        path = self._video(video)
        model, began = self._one("lip2speech", LipToSpeech), time.monotonic()
        with self.folder.results() as folder:
            out = default_output(path, folder).with_suffix(".mp4")
            facts = give_voice(model, path, out, self.device, watch=self._counted(path, watch))
            out.with_suffix(".wav").unlink()
        read = f' Read as "{facts.text}".' if facts.text else ""
        return out, _about(facts.frames, facts.faceless, time.monotonic() - began) + read

    def _person(self, photo: str | None, video: str | None) -> Path:
        if photo and video:
            raise UserError("A photo and a video: remove one of them")
        if video:
            return self._video(video)
        if not photo:
            raise UserError("Nobody to speak yet: give a photo or a video, or take one")
        self.limits.check_photo(Path(photo))
        return Path(photo)

    def _video(self, video: str | None) -> Path:
        if not video:
            raise UserError("No video yet: give one, or record one")
        self.limits.check_video(Path(video))
        return Path(video)

    def _counted(self, path: Path, watch: Watch) -> Watch:
        """Also stops in a video that is longer than it said"""

        def counted(what: str, frames: Iterable, total: int | None) -> Iterable:
            return watch(what, self.limits.count(path, frames) if what == "faces" else frames, total)

        return counted

    def _networks(self, ears: str) -> Networks:
        at_model = self.at_model if ears == "whisper" else EARS[ears][1]
        load = partial(load_networks, at_model, self.vg_model, self.device, hm_model=self.hm_model)
        return self._load(ears, load)

    def _one(self, name: str, kind: type[torch.nn.Module]) -> torch.nn.Module:
        path = WEIGHTS / f"{name}.safetensors"
        return self._load(name, lambda: load_model(path, self.device, expect=kind).eval())

    def _load(self, name: str, load: Callable[[], Loaded]) -> Loaded:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = load()
            return self._kept[name]


def _about(frames: int, faceless: int, seconds: float) -> str:
    unseen = f"; {faceless} of them show no face, and stayed as they were" if faceless else ""
    return f"{frames} frames{unseen}. Made in {seconds:.0f} s, by a machine."
