"""The README's pictures of faces, each a function: what it needs -> the picture's file and its caption."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from evaluation.landmark_metrics import correlation
from reports.demo_runs import VIEWS, DemoRuns, Take
from reports.hard_photos import as_cartoon, grey, in_the_dark, small, with_scarf
from reports.sheet import sheet, sound_strip, words, write_gif, write_jpeg
from reports.turned_head import turn_head
from utils.audio import FPS, SAMPLE_RATE
from utils.audio.noise import add_noise, chords, mix
from utils.audio.raw_speech import SPEECH_RATE
from utils.errors import UserError
from utils.face.alignment import crop_face, crop_transforms
from utils.face.detector import FaceDetector, find_face
from utils.media.drawing import enlarge
from utils.media.read import read_audio, resample

JPEG_LIMIT, GIF_LIMIT = 350_000, 2_000_000  # bytes
CROP = 128  # pixels of the face that the networks see
MOUTH = (slice(102, 246), slice(32, 224))  # of a picture of 256 pixels: from the nostrils to the chin
SECONDS = 3.0  # of each recording
PHRASE = (1.6, 0.96)  # seconds, start: a pause and a few words of audio/speech.wav
GIF_SECONDS, GIF_EVERY = 2.56, 2  # every other frame: 12.5 a second
ANGLES = (-45, -30, -15, 0, 15, 30, 45)
RATIOS = (20, 10, 0)  # dB
GIF_SIDE = 160  # pixels of a face in the GIF
MOMENTS = 8  # frames of a recording
ASTRONAUT, FIRST, SECOND = "astronaut", "s2", "s27"


class Photo(NamedTuple):
    """image (H, W, 3) uint8, landmarks (68, 2) in its pixels"""

    image: np.ndarray
    landmarks: np.ndarray


class Utterance(NamedTuple):
    """A clip's sound (N,) at 16 kHz and the true opening of its speaker's mouth (T,)"""

    audio: np.ndarray
    opening: np.ndarray


@dataclass
class Material:
    """What the pictures are made of. photos: by name; open_mouth: the same person's as FIRST or SECOND, speaking."""

    runs: DemoRuns
    detector: FaceDetector
    photos: dict[str, Photo]
    open_mouth: Photo
    speech: Path
    voices: dict[str, Path]
    utterance: Utterance
    own_voice: Utterance
    nr_model: Path

    def take(
        self, name: str, image: np.ndarray, sound: str, audio: np.ndarray, at_model: Path | None = None
    ) -> Take | None:
        """The demo on this photo and sound, which get these names as files; None where it finds no face"""
        return self.runs(self.runs.photo(name, image), self.runs.sound(sound, audio), at_model)

    def heard(self, seconds: float, start: float = 0.0) -> np.ndarray:
        """`seconds` of the demo's recording from `start` on, (N,) at 16 kHz"""
        return beginning(read_audio(self.speech)[round(start * SAMPLE_RATE) :], seconds)

    def phrase(self) -> np.ndarray:
        """A pause and the beginning of a sentence out of the demo's recording, (N,) at 16 kHz"""
        return self.heard(*PHRASE)

    def photo(self, image: np.ndarray) -> Photo | None:
        try:
            return Photo(image, find_face(image, self.detector)[0])
        except UserError:
            return None


def beginning(audio: np.ndarray, seconds: float) -> np.ndarray:
    """The first `seconds` of a recording (N,) at 16 kHz, with silence after a shorter one"""
    wanted = round(seconds * SAMPLE_RATE)
    return np.pad(audio, (0, max(0, wanted - len(audio))))[:wanted]


def example(photo: Photo, side: int) -> np.ndarray:
    """The face as the networks see it, enlarged -> (side, side, 3)"""
    crop = crop_face(photo.image, crop_transforms(photo.landmarks[None], CROP)[0], CROP)
    return enlarge(crop, side)


def window(photo: Photo, side: int, room: float = 1.6) -> np.ndarray:
    """The photo about its face, not aligned -> (side, side, 3); room: face widths on each side of the middle"""
    low, high = photo.landmarks.min(0), photo.landmarks.max(0)
    (x, y), half = (low + high) / 2, room * (high - low).max() / 2
    box = (x - half, y - 1.1 * half, x + half, y + 0.9 * half)
    return np.asarray(
        Image.fromarray(photo.image).resize((side, side), Image.Resampling.LANCZOS, box=inside(box, photo))
    )


def inside(box: tuple[float, ...], photo: Photo) -> tuple[float, ...]:
    """The part of a box (left, top, right, bottom) that lies in the photo"""
    height, width = photo.image.shape[:2]
    return max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])


def talking_faces(material: Material, out: Path) -> str:
    """demo.gif: three people, column by column from the photo to the result"""
    audio, side, rows = material.heard(GIF_SECONDS), GIF_SIDE, []
    for name, photo in material.photos.items():
        take = found(material.take(name, photo.image, "speech_short", audio), name)
        still = example(photo, side)
        views = take.views(range(0, len(take.driving), GIF_EVERY))
        rows.append([[still, *(enlarge(one[view], side) for view in VIEWS)] for one in views])
    heads = ["example photo", *VIEWS]
    frames = [sheet(moment, heads) for moment in zip(*rows, strict=True)]
    write_gif(out, frames, FPS / GIF_EVERY, GIF_LIMIT)
    return (
        "Three people whom no network saw in training, speaking `audio/speech.wav` (its first "
        f"{GIF_SECONDS:.1f} s, every other frame): scikit-image's astronaut (NASA, public domain), GRID's "
        "s2 and s27 (CC BY 4.0)."
    )


def turned_faces(material: Material, out: Path) -> str:
    """yaw.jpg: one photo turned about the vertical, before and while it speaks"""
    photo, side, columns, notes = material.photos[ASTRONAUT], 176, [], []
    for angle in ANGLES:
        turned = turn_head(photo.image, photo.landmarks, angle)
        take = material.take(f"astronaut_yaw{angle}", turned, "phrase", material.phrase())
        columns.append([window(Photo(turned, photo.landmarks), side), *closed_and_open(take, side)])
        notes.append(said_of(take))
    labels = ["example", "mouth\nleast open", "mouth\nwidest open"]
    page = sheet([*zip(*columns, strict=True)], [f"{angle}°" for angle in ANGLES], labels, notes)
    write_jpeg(out, page, JPEG_LIMIT)
    seen = [angle for angle, note in zip(ANGLES, notes, strict=True) if note]
    return (
        "Robustness to the example's yaw. The views are synthesised from the one photo with an average head's depth "
        "(`reports/turned_head.py`), with even light and no ear or cheek that the photo does not show, so they may "
        f"flatter. dlib finds a face at {listed(seen)} degrees. Below: the range of the mouth's opening that dlib "
        "finds in the result, pixels of the 128-pixel crop."
    )


def voices(material: Material, out: Path) -> str:
    """voices.jpg: one face, spoken to by its own voice clean and in noise, by machines, and in other languages"""
    (clean, truth), photo = material.own_voice, material.photos[FIRST]
    sounds = {"his own voice": clean}
    sounds |= {f"white noise,\n{ratio} dB": add_noise(clean, ratio, seed=ratio) for ratio in RATIOS}
    sounds |= {label: beginning(read_audio(path), SECONDS) for label, path in material.voices.items()}
    names = ["voice", *(f"voice_{ratio}dB" for ratio in RATIOS), *(p.stem for p in material.voices.values())]
    takes = [
        found(material.take(FIRST, photo.image, name, audio), FIRST)
        for name, audio in zip(names, sounds.values(), strict=True)
    ]
    widest, rows, labels = max(np.nanmax(take.opening) for take in takes) * 1.08, [], []
    for number, (label, audio, take) in enumerate(zip(sounds, sounds.values(), takes, strict=True)):
        faces = [face[MOUTH] for face in take.view("result", moments(len(take.driving)))]
        strip = np.concatenate(faces, axis=1)
        curve = sound_strip(audio, take.opening, (strip.shape[1], 64), widest, max(np.abs(audio).max(), 1e-3))
        rows.append([np.concatenate([curve, strip])])
        labels.append(label if number > len(RATIOS) else f"{label}\nr = {followed(take, truth):.2f}")
    write_jpeg(out, sheet(rows, labels=labels), JPEG_LIMIT)
    return (
        f"GRID's s2 (CC BY 4.0), whom no network saw or heard in training, and {SECONDS:.0f} s of seven recordings: "
        "waveform in blue, the mouth's opening that dlib finds in the result in orange, and the mouth at evenly spaced "
        "moments below. r: correlation of the opening with the true one, which is known for his own voice; it is heard "
        "clean and in white noise at three ratios. The other voices are espeak-ng's ([audio](audio/README.md))."
    )


def followed(take: Take, truth: np.ndarray) -> float:
    """Correlation of the opening in the pictures with the true one (T,), over the frames that both have"""
    length = min(len(take.opening), len(truth))
    seen = ~np.isnan(take.opening[:length])
    return correlation(take.opening[:length][seen], truth[:length][seen])


def failures(material: Material, out: Path) -> str:
    """failures.jpg: what the networks make of photos and sounds that they are not made for"""
    face, side = material.photos[ASTRONAUT], 192
    man, music = material.photos[SECOND], 0.2 * music_of(PHRASE[0])
    images = {
        "mouth open\nin the photo": material.open_mouth.image,
        "scarf over\nthe mouth": with_scarf(*face),
        "a fifth of\nthe light": in_the_dark(face.image, 1 / 5),
        "face 24\npixels wide": small(*man),
        "cartoon": as_cartoon(face.image),
        "grey": grey(man.image),
        "music,\nnobody speaks": man.image,
    }
    columns, notes = [], []
    for number, (label, image) in enumerate(images.items()):
        sound = ("music", music) if label.startswith("music") else ("phrase", material.phrase())
        take = material.take(f"hard_{number}", image, *sound)
        photo = material.photo(image)
        shown = example(photo, side) if photo else np.asarray(Image.fromarray(image).resize((side, side)))
        attention = words("no face found", shown.shape)
        if take:
            attention = enlarge(take.view("attention", [int(take.driving.argmax())])[0], side)
        columns.append([shown, attention, *closed_and_open(take, side)])
        notes.append(said_of(take))
    labels = ["example", "attention", "mouth\nleast open", "mouth\nwidest open"]
    write_jpeg(out, sheet([*zip(*columns, strict=True)], [*images], labels, notes), JPEG_LIMIT)
    return (
        "Hard cases. Photos: scikit-image's astronaut (NASA, public domain) and GRID's s27 (CC BY 4.0), changed by "
        "`reports/hard_photos.py`; sound: `audio/speech.wav`, in the last column chords. The attention is that of the "
        "widest mouth. Below: the range of the mouth's opening that dlib finds in the result, pixels of the 128-pixel "
        "crop."
    )


def noisy_faces(material: Material, out: Path) -> str:
    """noise_faces.jpg: AT-net and NR-net on one voice, clean and in music, while it speaks and while it pauses"""
    audio, truth = material.utterance
    photo, music = material.photos[FIRST], music_of(len(audio) / SAMPLE_RATE)
    sounds = {"clean": audio}
    sounds |= {f"{ratio} dB": mix(audio, music, ratio, np.random.default_rng(ratio)) for ratio in RATIOS}
    networks = {"AT-net": material.runs.at_model, "NR-net": material.nr_model}
    when = {"speaking": int(truth.argmax()), "pause": quietest(audio)}
    tiles: dict[str, list[np.ndarray]] = {}
    agree: dict[str, list[str]] = {}
    for network, model in networks.items():
        for label, sound in sounds.items():
            take = material.take(FIRST, photo.image, f"command_{label.replace(' ', '')}", sound, model)
            take = found(take, FIRST)
            for moment, face in zip(when, take.view("result", [*when.values()]), strict=True):
                tiles.setdefault(f"{network},\n{moment}", []).append(face[MOUTH])
            r = followed(take, truth)
            agree.setdefault(network, []).append(f"{r:.2f}")
    order = [f"{network},\n{moment}" for moment in when for network in networks]
    heads = ["clean", *(f"chords, {ratio} dB" for ratio in RATIOS)]
    write_jpeg(out, sheet([tiles[label] for label in order], heads, order), JPEG_LIMIT)
    measured = "; ".join(f"{network} {', '.join(values)}" for network, values in agree.items())
    return (
        "A held-out command of GRID's s1, clean and in chords at 20, 10 and 0 dB, drives the face of s2 (both CC BY "
        "4.0) through AT-net and NR-net, at one moment of speech and one of silence. Over that clip the opening "
        f"that dlib finds correlates with the truth at: {measured} (clean, 20, 10, 0 dB)."
    )


def closed_and_open(take: Take | None, side: int) -> list[np.ndarray]:
    """The result at the moments when its mouth is to be least and widest open; words where no face was found"""
    if take is None:
        return [words("no face found", (side, side)), words("no face found", (side, side))]
    faces = take.view("result", [int(take.driving.argmin()), int(take.driving.argmax())])
    return [enlarge(face, side) for face in faces]


def said_of(take: Take | None) -> str:
    """How far the mouth moves in the pictures, in pixels of a 128-pixel crop"""
    if take is None:
        return ""
    if np.isnan(take.opening).mean() > 0.5:
        return "mostly not seen"
    return f"{np.nanmin(take.opening):.1f} to {np.nanmax(take.opening):.1f}"


def found(take: Take | None, name: str) -> Take:
    if take is None:
        raise UserError(f"{name}: the demo finds no face in its photo; see -work for the photo")
    return take


def music_of(seconds: float) -> np.ndarray:
    """Chords (N,) at 16 kHz, the same ones always"""
    return resample(chords(round(seconds * SPEECH_RATE), np.random.default_rng(1)), SPEECH_RATE, SAMPLE_RATE)


def moments(frames: int) -> list[int]:
    """The middles of MOMENTS equal parts of so many frames"""
    return [(a + b) // 2 for a, b in pairwise(np.linspace(0, frames, MOMENTS + 1).round().astype(int))]


def quietest(audio: np.ndarray) -> int:
    """The video frame about which a third of a second of audio (N,) is the softest, the clip's ends left out"""
    energy = np.square(audio[: len(audio) // 640 * 640]).reshape(-1, 640).sum(1)
    around = np.convolve(energy, np.ones(9), "valid")
    return 4 + int(around.argmin())


def listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) if numbers else "no"


FIGURES = {
    "demo": (talking_faces, "demo.gif", "Three faces that the networks never saw, speaking, step by step"),
    "yaw": (turned_faces, "yaw.jpg", "One face from seven sides, and speaking"),
    "voices": (voices, "voices.jpg", "One mouth over time, spoken to by seven recordings"),
    "failures": (failures, "failures.jpg", "Photos and sounds that are hard, and what comes of them"),
    "noise_faces": (noisy_faces, "noise_faces.jpg", "Lower faces by AT-net and NR-net, clean and in chords"),
}
