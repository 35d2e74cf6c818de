"""NR-net's training samples: stretches of raw speech, clean and noisy, with coefficients; and the noises.

The clips come from a TRAIN.h5 (data/nrnet_file.py).

NOISE.h5: any number of one-dimensional data sets, each a recording at 8 kHz. One with the attribute side "test" is kept
from training; the attribute kind names its row in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.loader import Sampling
from data.nrnet_file import SpeechFile, open_hdf5
from utils.audio.noise import SILENCE, mix_gain, power, stretch
from utils.audio.raw_speech import SPEECH_WINDOW, set_level, speech_context
from utils.errors import UserError

GAINS = (-12, -9, -6, -3, 0, 3, 6)  # dB, the paper's augmentation
LEGACY_SNR = range(9)  # dB: what the original drew by mistake, the places in its list of ratios


class Noise(NamedTuple):
    """One recording (N,) at 8 kHz; kind: of noise; seen: whether training may use it."""

    samples: np.ndarray
    kind: str
    seen: bool


def read_noises(path: Path) -> dict[str, Noise]:
    """The recordings of a NOISE.h5 by their names. Raises UserError where there is none that can be heard."""
    noises = {}
    with open_hdf5(path, "python -m preprocess.noise") as file:
        for name, item in file.items():
            if not isinstance(item, h5py.Dataset) or item.ndim != 1 or len(item) < SPEECH_WINDOW:
                continue
            if item.dtype.kind not in "fiu":
                continue
            try:
                samples = item[()].astype(np.float32)
            except OSError as error:
                raise UserError(f"{path}: recording {name} is damaged; make the file again") from error
            if np.isfinite(samples).all() and power(samples) > SILENCE:
                noises[name] = Noise(samples, _text(item, "kind", name), _text(item, "side", "") != "test")
    if not noises:
        raise UserError(
            f"{path}: no recording (a 1-D data set of {SPEECH_WINDOW} samples or more) to be heard"
        )
    return noises


def _text(item: h5py.Dataset, name: str, default: str) -> str:
    """An attribute, which some tools write as bytes"""
    value = item.attrs.get(name, default)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@dataclass
class Mixing:
    """How training hides speech in noise: recordings (N,), the range of ratios in dB, the recordings' kinds.

    Powers are those of a whole clip and a whole recording, which is what a listener calls the ratio, and what the tests
    measure. legacy: 0 to 8 dB, with the powers of the stretch alone, as the original's code really trained.
    """

    noises: Sequence[np.ndarray]
    low: float = 6.0
    high: float = 30.0
    legacy: bool = False
    kinds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.powers = [power(noise) for noise in self.noises]

    def ratio(self, random: np.random.Generator) -> float:
        """dB, drawn as training does"""
        return float(random.choice(LEGACY_SNR)) if self.legacy else random.uniform(self.low, self.high)

    def __call__(self, clean: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
        """clean (N,), a stretch of a clip of the power `level` -> (N,) float32"""
        chosen = int(random.integers(len(self.noises)))
        part = stretch(self.noises[chosen], len(clean), random)
        powers = (power(clean), power(part)) if self.legacy else (level, self.powers[chosen])
        gain = mix_gain(*powers, self.ratio(random))
        return clean + np.float32(gain) * part


def read_mixing(path: Path, low: float, high: float, legacy: bool) -> Mixing:
    """With the recordings of a NOISE.h5 that training may hear. Raises UserError where there are none."""
    if not (low <= high and np.isfinite([low, high]).all()):
        raise UserError(f"-snr_low {low}, -snr_high {high}: give finite numbers, the lower one first")
    heard = [noise for noise in read_noises(path).values() if noise.seen]
    if not heard:
        raise UserError(f"{path}: all its recordings are kept for tests; give some for training")
    return Mixing([one.samples for one in heard], low, high, legacy, sorted({one.kind for one in heard}))


class WaveformSamples(Dataset):
    """Sample number n: clean and noisy speech (320 (T + 6),), target (T, K), previous (T, K): one frame earlier.

    initial (K,): what comes before a clip's first frame, as where networks are used. Without `mixing` there is no noisy
    speech.
    """

    def __init__(
        self,
        file: SpeechFile,
        level: str,
        frames: int,
        seed: int,
        power: float,
        initial: np.ndarray,
        mixing: Mixing | None,
    ) -> None:
        self.file, self.level, self.frames, self.mixing = file, level, frames, mixing
        self.initial = np.asarray(initial, np.float32)
        self.sampling = Sampling(file, file.splits["train"], frames, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        speech, coefficients = self.file.clip(id)
        speech = set_level(speech, self.level) * np.float32(10 ** (random.choice(GAINS) / 20))
        start = int(random.integers(len(coefficients) - self.frames + 1))
        clean = speech_context(speech, self.frames, start)
        before = np.concatenate([self.initial[None], coefficients])[start : start + self.frames]
        arrays = dict(clean=clean, target=coefficients[start : start + self.frames], previous=before)
        if self.mixing:
            arrays["noisy"] = self.mixing(clean, power(speech), random)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
