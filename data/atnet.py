"""Training samples of AT-net: windows of speech and the landmark coefficients that go with them (Section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.loader import Sampling
from data.store import Clip, ClipStore
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mfcc import CEPSTRA, context, context_windows, windows
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
