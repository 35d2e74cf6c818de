"""Raw clips as a corpus has them, for tests: videos with sound of a drawn face that talks."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.synthetic import draw_face, talking_landmarks
from utils.media.painted_face import paint
from utils.media.write import VideoWriter

WIDTH, HEIGHT, FACE = 160, 128, 112
LEFT, TOP = 30, 10


def make_video(path: Path, frames: int = 10, seed: int = 0, sound: bool = True, fps: int = 25) -> np.ndarray:
    """Writes a video -> the landmarks (T, 68, 2) of its face, source pixels"""
    landmarks, _ = talking_landmarks(frames, seed, FACE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, (WIDTH, HEIGHT), fps, audio=16000 if sound else None) as video:
        for points in landmarks:
            picture = np.full((HEIGHT, WIDTH, 3), (40, 80, 160), np.uint8)
            picture[TOP : TOP + FACE, LEFT : LEFT + FACE] = draw_face(points, (220, 180, 150), FACE)
            video.write(picture)
            if sound:
                video.write_audio(tone(16000 // fps))
    return landmarks + np.array([LEFT, TOP], np.float32)


def make_pictures_video(path: Path, pictures: list[np.ndarray], fps: int = 25) -> Path:
    """Writes pictures (H, W, 3) uint8 as a video, with a tone."""
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, (width, height), fps, audio=16000) as video:
        for picture in pictures:
            video.write(picture)
            video.write_audio(tone(16000 // fps))
    return path


def tone(samples: int, rate: int = 16000, frequency: float = 400.0) -> np.ndarray:
    """(samples,) float32, amplitude one half"""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """samples (n,) or (n, channels), float in [-1, 1], as 16-bit WAV"""
    samples = np.reshape(samples, (len(samples), 1 if np.ndim(samples) == 1 else -1))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def save_landmarks(folder: Path, id: str, landmarks: np.ndarray) -> None:
    file = folder / f"{id}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, landmarks)


def painted_faces(count: int, side: int = 160) -> list[np.ndarray]:
    """Painted faces that talk"""
    return list(paint(talking_landmarks(count, 0)[0], side))


def write_film(path: Path, pictures: Iterable[np.ndarray], fps: int = 25, sound: bool = True) -> Path:
    pictures = list(pictures)
    with VideoWriter(path, pictures[0].shape[1::-1], fps, audio=16000 if sound else None) as video:
        for picture in pictures:
            video.write(picture)
            video.write_audio(tone(16000 // fps) if sound else ())
    return path
