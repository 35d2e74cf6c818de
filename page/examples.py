"""Three examples, made of what comes with the repository and its packages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.audio.noise import chords, mix
from utils.audio.raw_speech import SPEECH_RATE
from utils.errors import UserError
from utils.face.landmarks import TEMPLATE
from utils.files import replacing
from utils.media.images import write_image
from utils.media.painted_face import paint
from utils.media.read import read_audio
from utils.media.write import wav_writer

AUDIO = Path(__file__).parent.parent / "audio"
PORTRAIT = slice(0, 360), slice(60, 390)  # of scikit-image's picture, whose rest is a flag and a rocket
LOUDNESS = 3.0  # dB of speech over music


def write_astronaut(path: Path) -> None:
    """NASA's portrait of Eileen Collins, in the public domain, as scikit-image carries it"""
    from skimage.data import astronaut

    write_image(path, astronaut()[PORTRAIT])


def write_painted(path: Path) -> None:
    """Nobody: the mean face's landmarks, painted"""
    write_image(path, next(paint(TEMPLATE.reshape(1, 68, 2), 480)))


def write_music(path: Path) -> None:
    """The English sentence with music about as loud"""
    speech = read_audio(AUDIO / "synthetic_english.ogg", SPEECH_RATE)
    random = np.random.default_rng(1)
    noisy = mix(speech, chords(len(speech), random), LOUDNESS, random)
    with wav_writer(path, SPEECH_RATE) as write:
        write(noisy / max(1.0, float(np.abs(noisy).max())))


def copy_of(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with replacing(path) as part:
            shutil.copyfile(AUDIO / name, part)

    return write


class Example(NamedTuple):
    """title: on its button; photo, speech: the names of its files; ears: who hears"""

    title: str
    photo: str
    speech: str
    ears: str


EXAMPLES = (
    Example("An astronaut speaks", "astronaut.png", "speech.wav", "whisper"),
    Example("A painting, in German", "painting.png", "synthetic_german.ogg", "whisper"),
    Example("Through music", "astronaut.png", "speech_in_music.wav", "noise"),
)
WRITERS: dict[str, Callable[[Path], None]] = {
    "astronaut.png": write_astronaut,
    "painting.png": write_painted,
    "speech.wav": copy_of("speech.wav"),
    "synthetic_german.ogg": copy_of("synthetic_german.ogg"),
    "speech_in_music.wav": write_music,
}


def example_file(name: str, folder: Path) -> Path:
    """The file of that name in `folder`, written where it is not there. Raises UserError for a name that is none."""
    if name not in WRITERS:
        raise UserError(f"{name}: no such example")
    path = folder / name
    if not path.is_file():
        folder.mkdir(exist_ok=True)
        WRITERS[name](path)
    path.touch()  # it is used now, and is not to be swept away as old
    return path
