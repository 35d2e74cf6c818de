"""Draws faces by the shipped weights from photos and a clip store, and writes docs/faces.md.

    python -m reports.figures --dataset_dir store/grid.h5 --splits DIR
    make figures STORE=store/grid.h5 SPLITS=DIR                              # the same

Every face in them comes out of demo.py, called as a person would call it; its inputs and outputs stay in -o. Nothing is
random. Run it again to go on after a stop: what the demo made of the same photo and sound is kept, unless the weights
are newer. On two CPU cores it takes about ten minutes.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from reports.hard_photos import turn_head, with_scarf
from reports.pages import page_flags, parse_page, picture, prepare, write_page
from reports.runs import ROOT
from reports.studio import VIEWS, Studio
from utils.audio import FPS, SAMPLE_RATE
from utils.audio.noise import add_noise, chords, mix
from utils.audio.raw_speech import SPEECH_RATE
from utils.cli import add_flag
from utils.errors import run
from utils.face.landmarks import mouth_opening
from utils.media.drawing import enlarge, grid
from utils.media.images import write_gif, write_image
from utils.media.read import read_audio, resample

MOUTH = (slice(102, 246), slice(32, 224))  # of a picture of 256 pixels: from the nostrils to the chin
PHRASE = slice(
    round(0.96 * SAMPLE_RATE), round(2.56 * SAMPLE_RATE)
)  # of audio/speech.wav: a pause and a few words
OPENING = slice(0, round(2.56 * SAMPLE_RATE))  # of the same
SIDE, GIF_SIDE = 192, 228  # pixels of a face
ANGLES = (-45, -30, -15, 0, 15, 30, 45)
RATIOS = (20, 10, 0)  # dB
MOMENTS = 8  # frames of a recording
LANGUAGES = ("english", "mandarin", "german")
WAVE, CURVE = (176, 196, 214), (213, 94, 0)
RANGE = "Above the last row: how far the mouth opens in the result, as dlib sees it, pixels of the 128-pixel crop."


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/figures")
    for name, file in (("at_model", "atnet_whisper"), ("vg_model", "vgnet"), ("nr_model", "nrnet")):
        add_flag(
            flags, name, type=Path, default=Path(f"weights/{file}.safetensors"), help=f"{file}'s weights"
        )
    return parse_page(flags, "reports.figures", argv)


def speech() -> np.ndarray:
    return read_audio(ROOT / "audio/speech.wav")


def talking_faces(studio: Studio, out: Path) -> str:
    """Three people: the result, and below it, small, landmarks, attention and motion"""
    takes = [studio.take(photo, speech()[OPENING], alive=True) for photo in studio.people]
    frames = []
    for i in range(0, min(len(take.frames) for take in takes), 2):
        columns = []
        for take in takes:
            steps = [enlarge(take.view(i, view), GIF_SIDE // 3) for view in VIEWS[:-1]]
            result = enlarge(take.view(i), GIF_SIDE // 3 * 3)
            columns.append(np.concatenate([result, np.concatenate(steps, axis=1)]))
        frames.append(np.concatenate(columns, axis=1))
    write_gif(out, frames, FPS / 2)
    return (
        "Three people whom no network saw in training, speaking the first 2.6 s of `audio/speech.wav`, every other "
        "frame; below, landmarks, attention and motion: scikit-image's astronaut (NASA, public domain), GRID's s2 and "
        "s27 (CC BY 4.0)."
    )


def turned_faces(studio: Studio, out: Path) -> str:
    """One photo turned about the vertical, before and while it speaks"""
    phrase, face = speech()[PHRASE], studio.astronaut
    seen = draw_cases(studio, {f"{angle}°": (turn_head(*face, angle), phrase) for angle in ANGLES}, out)
    return (
        "Robustness to the example's yaw. The views are synthesised from the one photo, a relief of a bust's depth, "
        "with even light and no ear or cheek that the photo does not show, so that they may flatter. dlib finds a face "
        f"at {', '.join(seen) or 'no angle'}. {RANGE}"
    )


def failures(studio: Studio, out: Path) -> str:
    """What the networks make of photos and sounds that they are not made for"""
    phrase, woman, man = speech()[PHRASE], studio.astronaut, studio.people[2]
    photos = {
        "mouth open in the photo": studio.wide,
        "scarf over the mouth": with_scarf(*woman),
        "a fifth of the light": woman[0] // 5,
        "face 24 pixels wide": enlarge(enlarge(man, 44), 256),
        "cartoon": cv2.stylization(woman[0], sigma_s=60, sigma_r=0.5) // 51 * 51 + 25,
        "grey": cv2.cvtColor(cv2.cvtColor(man, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    }
    cases = {label: (image, phrase) for label, image in photos.items()}
    draw_cases(studio, cases | {"music, nobody speaks": (man, 0.2 * music(len(phrase)))}, out)
    return (
        "Hard cases, made from scikit-image's astronaut (NASA, public domain) and GRID's s27 (CC BY 4.0); sound: "
        f"`audio/speech.wav`, in the last column chords. The attention is that of the widest mouth. {RANGE}"
    )


def draw_cases(studio: Studio, cases: dict[str, tuple[np.ndarray, np.ndarray]], out: Path) -> list[str]:
    """{label: (photo, sound)}: a column each, the mouth at its least and widest; -> the labels of seen faces"""
    columns, seen = [], []
    for label, (image, audio) in cases.items():
        column = dict.fromkeys(("no face found", " ", "  "), np.full_like(image, 90))
        if studio.sees(image):
            seen.append(label)
            take = studio.take(image, audio)
            low, high = take.driving.argmin(), take.driving.argmax()
            column = {"attention": take.view(high, "attention"), "mouth least open": take.view(low)}
            column[f"widest open: {np.nanmin(take.opening):.1f} to {np.nanmax(take.opening):.1f}"] = (
                take.view(high)
            )
        columns.append([(text, enlarge(tile, SIDE)) for text, tile in ({label: image} | column).items()])
    captions, tiles = zip(*(one for line in zip(*columns, strict=True) for one in line), strict=True)
    write_image(out, grid(tiles, len(cases), captions))
    return seen


def voices(studio: Studio, out: Path) -> str:
    """One face, spoken to by its own voice clean and in noise, by machines, and in other languages"""
    own, truth = studio.own.audio, mouth_opening(studio.own.landmarks)
    sounds = {"his own voice": own} | {f"white noise, {snr} dB": add_noise(own, snr, snr) for snr in RATIOS}
    machines = (ROOT / f"audio/synthetic_{name}.ogg" for name in LANGUAGES)
    others = {path.stem.replace("_", " "): read_audio(path)[: len(own)] for path in machines}
    takes = {label: studio.take(studio.people[1], audio) for label, audio in (sounds | others).items()}
    widest, tiles = 1.08 * max(np.nanmax(take.opening) for take in takes.values()), {}
    for label, audio in (sounds | others).items():
        take, agrees = takes[label], f": r = {takes[label].followed(truth):.2f}" if label in sounds else ""
        moments = ((np.arange(MOMENTS) + 0.5) / MOMENTS * len(take.frames)).astype(int)
        mouths = np.concatenate([take.view(i)[MOUTH] for i in moments], axis=1)
        strip = sound_strip(audio, take.opening / widest, mouths.shape[1])
        tiles[label + agrees] = np.concatenate([strip, mouths])
    write_image(out, grid([*tiles.values()], 1, [*tiles]))
    return (
        "GRID's s2 (CC BY 4.0), whom no network saw or heard in training, and 3 s of seven recordings: waveform in "
        "blue, the mouth's opening that dlib finds in the result in orange, and the mouth at evenly spaced moments "
        "below. r: correlation of the opening with the true one, which is known for his own voice; it is heard clean "
        "and in white noise at three ratios. The other voices are espeak-ng's ([audio](../audio/README.md))."
    )


def noisy_faces(studio: Studio, out: Path) -> str:
    """AT-net and NR-net on one voice, clean and in music, while the true mouth is wide open and while it is closed"""
    audio, truth = studio.told.audio, mouth_opening(studio.told.landmarks)
    sounds = {"clean": audio}
    for ratio in RATIOS:
        sounds[f"chords, {ratio} dB"] = mix(audio, music(len(audio)), ratio, np.random.default_rng(ratio))
    networks, tiles, agree = {"AT-net": studio.args.at_model, "NR-net": studio.args.nr_model}, {}, []
    for network, model in networks.items():
        takes = {label: studio.take(studio.people[1], sound, model) for label, sound in sounds.items()}
        agree.append(f"{network} {', '.join(f'{take.followed(truth):.2f}' for take in takes.values())}")
        for word, moment in (("open", truth.argmax()), ("closed", truth.argmin())):
            tiles |= {f"{network}, {name}, {word}": take.view(moment)[MOUTH] for name, take in takes.items()}
    write_image(out, grid([*tiles.values()], len(sounds), [*tiles]))
    return (
        "A held-out command of GRID's s1, clean and in chords, drives the face of s2 (both CC BY 4.0) through AT-net "
        "and NR-net, at the moments when the true mouth is widest open and closed. Over that clip the opening that "
        f"dlib finds correlates with the truth at: {'; '.join(agree)} (clean, 20, 10, 0 dB)."
    )


def music(length: int) -> np.ndarray:
    """Chords (N,) at 16 kHz, the same ones always"""
    played = chords(length * SPEECH_RATE // SAMPLE_RATE, np.random.default_rng(1))
    return resample(played, SPEECH_RATE, SAMPLE_RATE)


def sound_strip(audio: np.ndarray, opening: np.ndarray, width: int, height: int = 64) -> np.ndarray:
    """audio (N,), mouth opening (T,) in [0, 1] of the same time -> (height, width, 3): waveform and opening"""
    page = Image.new("RGB", (width, height), "white")
    pen, loudest = ImageDraw.Draw(page), max(np.abs(audio).max(), 1e-3)
    for x, part in enumerate(np.array_split(audio / loudest, width)):
        pen.line([(x, height / 2 * (1 - part.max())), (x, height / 2 * (1 - part.min()))], WAVE)
    x, y = (np.arange(len(opening)) + 0.5) / len(opening) * width, height * (1 - np.nan_to_num(opening)) - 2
    pen.line([*zip(x.tolist(), y.tolist(), strict=True)], CURVE, width=3, joint="curve")
    return np.asarray(page)


PICTURES = {
    "demo.gif": (talking_faces, "Three faces that the networks never saw, speaking, step by step"),
    "yaw.jpg": (turned_faces, "One face from seven sides, and speaking"),
    "voices.jpg": (voices, "One mouth over time, spoken to by seven recordings"),
    "failures.jpg": (failures, "Photos and sounds that are hard, and what comes of them"),
    "noise_faces.jpg": (noisy_faces, "Lower faces by AT-net and NR-net, clean and in chords"),
}


def main(args: Namespace) -> None:
    prepare(args, args.at_model, args.vg_model, args.nr_model)
    studio, parts = Studio(args), []
    for file, (draw, what) in PICTURES.items():
        parts += [f"## {what}", picture(file, what, draw(studio, args.assets / file))]
    write_page(args, "faces", "Faces by the shipped weights", parts)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
