"""A small store of drawn, talking faces, for tests that need clips but no real people."""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np
import torch

from data.store_writer import ClipArrays, StoreWriter
from models import NRNet, save_model
from utils.audio.mfcc import HOP, WINDOW, mfcc
from utils.face.alignment import motion
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import EYES, LOWER_INNER_LIP, TEMPLATE, normalise, to_crop_size

LOWER_LIP_AND_CHIN = [*range(6, 11), *range(55, 60), *range(65, 68)]


def talking_landmarks(frames: int, seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (T, 68, 2) in crop pixels of a mouth that opens and closes, and its opening (T,) in [0, 1]"""
    random = np.random.default_rng(seed)
    phase, speed = random.uniform(0, 6), random.uniform(0.5, 0.9)
    opening = np.clip(np.sin(phase + speed * np.arange(frames)), 0, 1)
    points = np.repeat(TEMPLATE[None].astype(np.float64), frames, 0)
    points[:, LOWER_INNER_LIP, 1] = points[:, [61, 62, 63], 1] + 1
    points[:, LOWER_LIP_AND_CHIN, 1] += 8 * opening[:, None]
    points[:, EYES, 1] += 0.5 * random.standard_normal(len(EYES))
    return to_crop_size(points, size).astype(np.float32), opening


def draw_face(points: np.ndarray, colour: tuple[int, int, int], size: int) -> np.ndarray:
    """points (68, 2) -> (size, size, 3) uint8: a face, eyes, lips and a dark mouth where it is open"""
    image = np.full((size, size, 3), 90, np.uint8)
    parts = [(points[:27], colour), (points[36:42], (250, 250, 250)), (points[42:48], (250, 250, 250))]
    for part, shade in [*parts, (points[48:60], (190, 60, 70)), (points[60:68], (30, 0, 0))]:
        cv2.fillPoly(image, [cv2.convexHull(np.round(part).astype(np.int32))], shade, lineType=cv2.LINE_AA)
    return image


def make_clip(
    seed: int, frames: int = 24, size: int = 128, split: str = "", speaker: str = "s1"
) -> ClipArrays:
    """A clip whose sound is loud while its mouth is open."""
    random = np.random.default_rng(1000 + seed)
    landmarks, opening = talking_landmarks(frames, seed, size)
    loudness = np.repeat(opening, 640)
    time = np.arange(len(loudness)) / 16000
    audio = 0.3 * loudness * np.sin(
        2 * np.pi * (200 + 400 * loudness) * time
    ) + 0.001 * random.standard_normal(len(time))
    colour = tuple(int(x) for x in random.integers(120, 230, 3))
    pictures = [draw_face(points, colour, size) for points in landmarks]
    return ClipArrays(
        pictures=[cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures],
        landmarks=landmarks,
        source_landmarks=landmarks,
        transforms=np.repeat(np.eye(2, 3, dtype=np.float32)[None], frames, 0),
        audio=audio.astype(np.float32),
        mfcc=mfcc(np.pad(audio, (0, WINDOW - HOP)).astype(np.float32))[: 4 * frames],
        speaker=speaker,
        transcript="bin blue at f two now",
        source=f"{speaker}/clip{seed}.mpg",
        source_size=(size, size),
        split=split,
    )


def make_store(path: Path, clips: int = 5, frames: int = 24, size: int = 128, speakers: int = 2) -> Path:
    """A store of ids s1/clip0, s2/clip1, ..., with its basis beside it, and lists in splits/.

    The last clip is test, the one before it val, the others train.
    """
    notes = dict(parameters=dict(size=size, landmarks="drawn"), versions={})
    writer = StoreWriter(path, dict(fps=25, sample_rate=16000, size=size, template=TEMPLATE, **notes))
    ids = []
    for number in range(clips):
        speaker = f"s{1 + number % speakers}"
        ids.append(f"{speaker}/clip{number}")
        writer.add(ids[-1], make_clip(number, frames, size, speaker=speaker))
    writer.pack()
    folder = path.parent / "splits"
    folder.mkdir(exist_ok=True)
    for name, chosen in dict(train=ids[:-2], val=ids[-2:-1], test=ids[-1:]).items():
        (folder / f"{name}.txt").write_text("\n".join(chosen) + "\n")
    make_basis().save(path.with_name(f"{path.stem}_pca.npz"))
    return path


def make_lrw_store(folder: Path, size: int = 64) -> Path:
    """A store as `preprocess.lrw` makes it: WORD.h5 with WORD/SPLIT/WORD_00001 and so on, and a basis inside"""
    notes = dict(parameters=dict(size=size, landmarks="drawn"), versions={})
    for number, word in enumerate(("ABOUT", "BEING", "CASES")):
        writer = StoreWriter(
            folder / f"{word}.h5", dict(fps=25, sample_rate=16000, size=size, template=TEMPLATE, **notes)
        )
        for seed, split in enumerate(("train", "train", "val", "test"), start=4 * number):
            clip = make_clip(seed, 29, size, split, speaker=word)
            writer.add(f"{word}/{split}/{word}_{seed:05d}", clip)
        writer.pack()
    make_basis().save(folder / "pca.npz")
    return folder


def make_basis(components: int = 6, space: str = "motion") -> LandmarkBasis:
    """A basis of the drawn faces' motion and some noise."""
    moved = np.concatenate([motion(normalise(talking_landmarks(40, seed)[0]))[0] for seed in range(4)])
    moved = moved + 0.003 * np.random.default_rng(0).standard_normal(moved.shape)
    mean = moved.mean(0)
    _, singular, directions = np.linalg.svd(moved - mean, full_matrices=False)
    arrays = mean, directions[:components].T, singular[:components] ** 2 / len(moved)
    return LandmarkBasis(*(array.astype(np.float32) for array in arrays), space, rest_opening=1.2 / 64)


def save_nrnet(path: Path, seed: int = 0, notes: dict | None = None, **options) -> Path:
    """A small random NR-net with a landmark basis; notes: its metadata"""
    torch.manual_seed(seed)
    network, basis = NRNet(filters=2, **options), make_basis()
    network.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    save_model(path, network, notes or dict(noise=seed > 0, noise_kinds=["pink"] * (seed > 0)))
    return path


def write_wav(path: Path, seconds: float, loudness: float = 8000) -> None:
    """A mono file of 16 kHz"""
    samples = loudness * np.random.default_rng(0).normal(size=round(16000 * seconds)).clip(-2, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
