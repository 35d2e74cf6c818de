"""Training samples of AT-net: windows of speech and the landmark coefficients that go with them (Section 3.1)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.loader import Sampling
from data.store import Clip, ClipStore, group_of
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mfcc import CEPSTRA, context, context_windows, windows
from utils.audio.voices import change_voice, hear_otherwise
from utils.audio.windows import cut
from utils.face.alignment import motion
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import denoise, normalise

OTHER_VOICE = 0.6  # share of augmented samples whose voice is changed; the others stay as they were recorded


def clip_motion(clip: Clip, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The clip's motion (T, 136) relative to its speaker's rest shape, and that rest shape (136,), normalised."""
    return motion(normalise(denoise(clip.landmarks), size))


class SpeechSamples(Dataset):
    """Sample number n: audio (T, 28, 12), example (K,), target (T, K).

    The example is the frame before the stretch, or, half of the time, the rest shape that the demo starts from.
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        basis: LandmarkBasis,
        frames: int,
        seed: int,
        augment: bool = True,
        power: float = 1.0,
    ) -> None:
        self.store, self.basis, self.frames, self.augment = store, basis, frames, augment
        self.sampling = Sampling(store, ids, frames, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        clip_id, random = self.sampling.draw(number)
        clip = self.store[clip_id]
        moved, _ = clip_motion(clip, self.store.size)
        start = int(random.integers(len(moved) - self.frames + 1))
        target = moved[start : start + self.frames]
        example = moved[max(0, start - 1)] if random.random() < 0.5 else np.zeros(136, np.float32)
        samples = context(clip.audio, self.frames, start)
        if self.augment:
            samples, target = silence_stretch(samples, target, random)
        other = self.augment and random.random() < OTHER_VOICE
        audio = augment_speech(samples, random) if other else context_windows(samples)
        arrays = dict(audio=audio, example=self.basis.project(example), target=self.basis.project(target))
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def silence_stretch(
    samples: np.ndarray, target: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Now and then mutes the sound from some frame on and lets the mouth come to rest there.

    samples (640 (T + 6) + 240,), target motion (T, 136) -> the same shapes
    """
    frames = len(target)
    if random.random() > 0.15:
        return samples, target
    start = int(random.integers(-frames // 2, frames))  # negative: all of it
    fade = np.clip(1 - (np.arange(frames) - start) / 3, 0, 1)  # three frames to close
    gain = np.repeat(np.clip(1 - (np.arange(frames + 7) - 3 - start), 0, 1), SAMPLES_PER_FRAME)[
        : len(samples)
    ]
    return samples * gain.astype(np.float32), target * fade[:, None].astype(np.float32)


def augment_speech(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """samples -> MFCC windows (T, 28, 12) of another voice, another microphone and another room

    Vocal tract length perturbation moves the formants; white or brown noise lies 5 to 45 dB under the speech, now
    and then none; gain; a constant in the cepstrum is another microphone's frequency response.
    """
    level = np.sqrt(np.mean(samples**2)) + 1e-4
    if random.random() < 0.8:
        noise = random.standard_normal(len(samples))
        if random.random() < 0.5:
            noise = np.cumsum(noise - noise.mean())
            noise -= np.linspace(noise[0], noise[-1], len(noise))
        noise *= level * 10 ** (-random.uniform(5, 45) / 20) / (noise.std() + 1e-9)
        samples = samples + noise.astype(np.float32)
    samples = samples * np.float32(10 ** (random.uniform(-20, 10) / 20))
    warp = round(float(random.uniform(0.85, 1.18)), 2)
    audio = context_windows(samples, warp)
    microphone = random.standard_normal(CEPSTRA) * 4.0 / np.sqrt(np.arange(1, CEPSTRA + 1))
    return audio + microphone.astype(np.float32)


def whole_clip(clip: Clip, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For validation: audio windows (T, 28, 12), true motion (T, 136) and rest shape (136,) of one clip."""
    moved, rest = clip_motion(clip, size)
    return windows(clip.audio, len(moved)), moved, rest


class VoiceWindows:
    """Window number n, for a network that hears seconds at once: audio (640 T,), motion (T, 136)

    Two clips of one person, one after the other, now and then with a pause between them; with `augment` also in
    another voice at another speed, in other rooms, with noise, with stretches and whole windows of silence.
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        frames: int,
        seed: int,
        augment: bool = True,
        power: float = 1.0,
    ) -> None:
        self.store, self.ids, self.frames, self.augment = store, ids, frames, augment
        self.sampling = Sampling(store, ids, 2, seed, power)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        clip_id, random = self.sampling.draw(number)
        others = self.sampling.groups[group_of(clip_id)]
        audio, motion = self._say([clip_id, others[random.integers(len(others))]], random)
        if not self.augment:
            return draw_window(audio, motion, self.frames, random)
        if random.random() < 0.75:
            audio, motion = speak_otherwise(audio, motion, random)
        audio, motion = draw_window(audio, motion, self.frames, random)
        audio, motion = fall_silent(audio, motion, random)
        voices = [self.store[self.ids[random.integers(len(self.ids))]].audio for _ in range(8)]
        return hear_otherwise(audio, voices, random), motion

    def _say(self, ids: Sequence[str], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Clips one after the other -> audio (640 T,), motion (T, 136)"""
        pause = int(random.integers(5, 40)) if random.random() < 0.25 else 0
        sounds, motions = [], []
        for clip in (self.store[id] for id in ids):
            moved, _ = clip_motion(clip, self.store.size)
            sounds += [clip.audio, np.zeros(pause * SAMPLES_PER_FRAME, np.float32)]
            motions += [moved, np.zeros((pause, 136), np.float32)]
        return np.concatenate(sounds), np.concatenate(motions).astype(np.float32)


def speak_otherwise(
    audio: np.ndarray, motion: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """audio (640 T,), motion (T, 136) -> both as somebody with another throat says and does it, faster or slower"""
    pitch, formants, tempo = np.exp(random.uniform((-0.22, -0.16, -0.22), (0.64, 0.22, 0.3)))
    if random.random() < 0.25:
        pitch = formants = tempo  # a record played too fast or too slowly: without a vocoder's artefacts
    audio = change_voice(audio, pitch, formants, tempo)
    frames = len(audio) // SAMPLES_PER_FRAME
    places = np.clip(np.arange(frames) * tempo + (tempo - 1) / 2, 0, len(motion) - 1)
    before = np.minimum(places.astype(int), len(motion) - 2)
    part = (places - before)[:, None].astype(np.float32)
    return audio[: frames * SAMPLES_PER_FRAME], motion[before] * (1 - part) + motion[before + 1] * part


def draw_window(
    audio: np.ndarray, motion: np.ndarray, frames: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """audio (640 T,), motion (T, 136) -> `frames` frames of both from anywhere, also over beginning or end"""
    length, kind = len(motion), random.random()
    low, high = (-frames // 2, 0) if kind < 0.2 else (0, max(0, length - frames))
    if 0.2 <= kind < 0.4:
        low, high = high, length - frames // 2
    start = int(random.integers(low, max(low, high) + 1))
    window = cut(audio, start * SAMPLES_PER_FRAME, frames * SAMPLES_PER_FRAME)
    numbers = np.arange(start, start + frames)
    beyond = np.maximum(np.maximum(-numbers, numbers - length + 1), 0)  # frames, over which the mouth closes
    share = np.clip(1 - beyond / 4, 0, 1)[:, None].astype(np.float32)
    return window, motion[np.clip(numbers, 0, length - 1)] * share


def fall_silent(
    audio: np.ndarray, motion: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Now and then nothing is said at all, or not for a while; the mouth closes within three frames and opens again"""
    frames, kind = len(motion), random.random()
    if kind > 0.2:
        return audio, motion
    first, last = 0, frames
    if kind > 0.06:
        first = int(random.integers(frames))
        last = first + int(random.integers(8, 60))
    numbers = np.arange(frames)
    heard = (numbers < first) | (numbers >= last)
    inside = np.minimum(numbers - first + 1, last - numbers)  # how far within the silence, 1 at its ends
    share = np.where(heard, 1, np.clip(1 - inside / 4, 0, 1)) if kind > 0.06 else np.zeros(frames)
    return audio * np.repeat(heard, SAMPLES_PER_FRAME), motion * share[:, None].astype(np.float32)


class HeardSamples(Dataset):
    """Sample number n: features (T, D) and target (T, K), one of the windows that were heard beforehand.

    windows: datasets "features" (N, T, D) and "motion" (N, T, 136) of an HDF5 file.
    """

    def __init__(self, path: Path, basis: LandmarkBasis, seed: int) -> None:
        self.path, self.basis, self.seed = path, basis, seed
        self.file, self.process = None, 0

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if self.process != os.getpid():  # an HDF5 file must not cross a fork
            self.file, self.process = h5py.File(self.path, "r", locking=False), os.getpid()
        features = self.file["features"]
        chosen = int(np.random.default_rng((self.seed, number)).integers(len(features)))
        target = self.basis.project(self.file["motion"][chosen].astype(np.float32))
        arrays = dict(features=features[chosen].astype(np.float32), target=target)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
