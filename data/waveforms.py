"""NR-net's training files, and its training samples: stretches of raw speech, clean and noisy, with coefficients.

TRAIN.h5, one row a clip; `python -m preprocess.nrnet` makes it, and files of other people's tools will do:

    speech      (N, 320 T) floats, 8 kHz
    landmarks   (N, T, K) PCA coefficients, or landmarks: (N, T, 136) or (N, T, 204), flat point by point, also
                (N, T, 68, 2 or 3); landmarks are normalised already, and their PCA is fit on the training clips
    optional    lengths (N,) frames of each clip where they differ; ids (N,) text, SPEAKER/NAME; split (N,) text, train
                or val, instead of our own split; mean (D,), components (D, K), eigenvalues (K,) of coefficients, with
                attributes space and rest_opening, without which nothing can draw them

NOISE.h5: any number of one-dimensional data sets, each a recording at 8 kHz. One with the attribute side "test" is kept
from training; the attribute kind names its row in tables.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.loader import Sampling
from data.splits import split_grid
from utils.errors import UserError
from utils.landmarks import LandmarkBasis, opening_signs, principal_components
from utils.noise import SILENCE, mix_gain, power, stretch
from utils.speech import SPEECH_STEP, SPEECH_WINDOW, set_level, speech_context

LANDMARKS = {136: 2, 204: 3}  # numbers of a frame that are landmarks, not coefficients: their dimensions
GAINS = (-12, -9, -6, -3, 0, 3, 6)  # dB, the paper's augmentation
LEGACY_SNR = range(9)  # dB: what the original drew by mistake, the places in its list of ratios


class SpeechFile:
    """Reads a TRAIN.h5; `components` is the size of the PCA where the file holds landmarks.

    Raises UserError where the file is missing, damaged, or not of the layout above.
    """

    def __init__(self, path: Path, components: int = 6) -> None:
        self.path, self._process, self._file = Path(path), os.getpid(), None
        with open_hdf5(self.path, "python -m preprocess.nrnet") as file:
            shape, self.dimensions = self._check(file)
            clips, frames = shape[:2]
            self.ids = _texts(file, "ids", clips) or [f"clip/{row}" for row in range(clips)]
            self.rows = {id: row for row, id in enumerate(self.ids)}
            if len(self.rows) < clips:
                raise UserError(f"{self.path}: some ids are there twice; give each clip its own")
            lengths = file["lengths"][()] if "lengths" in file else np.full(clips, frames)
            self.lengths = dict(zip(self.ids, np.minimum(lengths, frames).tolist(), strict=True))
            self.splits = self._split(_texts(file, "split", clips))
            self.basis = _basis(file) if not self.dimensions else None
        if self.dimensions:
            self.basis = self._fit(components)
        self.components = self.basis.components.shape[1] if self.basis else shape[2]

    def _check(self, file: h5py.File) -> tuple[tuple[int, ...], int]:
        """The shape of the landmarks and their dimensions, 0 for coefficients"""
        for name in ("landmarks", "speech"):
            if not isinstance(file.get(name), h5py.Dataset):
                raise UserError(
                    f"{self.path}: has no data set {name!r}; make the file with python -m preprocess.nrnet"
                )
        shape, speech = file["landmarks"].shape, file["speech"].shape
        flat = (*shape[:2], int(np.prod(shape[2:])))
        if (len(shape) != 3 and shape[2:] not in ((68, 2), (68, 3))) or 0 in shape:
            raise UserError(f"{self.path}: landmarks {shape} are not (N, T, K), (N, T, 204) or alike")
        if speech != (shape[0], SPEECH_STEP * shape[1]):
            wanted = (shape[0], SPEECH_STEP * shape[1])
            raise UserError(
                f"{self.path}: speech {speech} does not fit landmarks {shape}; {wanted} at 8 kHz would"
            )
        return flat, LANDMARKS.get(flat[2], 0)

    def _split(self, listed: list[str] | None) -> dict[str, list[str]]:
        if listed is not None:
            return {name: sorted(i for i, own in zip(self.ids, listed, strict=True) if own == name)
                    for name in ("train", "val")}  # fmt: skip
        return split_grid(self.ids)

    def _fit(self, components: int) -> LandmarkBasis:
        faces = (self.read("landmarks", id) for id in self.splits["train"])
        try:
            mean, vectors, variances = principal_components(faces, components)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None
        vectors = vectors * opening_signs(vectors, self.dimensions)
        arrays = (mean, vectors, variances[:components])
        return LandmarkBasis(*(array.astype(np.float32) for array in arrays), "face")

    def read(self, name: str, id: str) -> np.ndarray:
        """One clip's landmarks (T, ...) or speech (320 T,) as float32. Raises UserError for numbers that are none."""
        if self._file is None or self._process != os.getpid():  # an HDF5 file must not cross a fork
            self._file, self._process = open_hdf5(self.path, ""), os.getpid()
        length = self.lengths[id] * (SPEECH_STEP if name == "speech" else 1)
        values = self._file[name][self.rows[id], :length].astype(np.float32)
        if not np.isfinite(values).all():
            raise UserError(f"{self.path}: {name} of clip {id} has numbers that are not finite; leave it out")
        return values.reshape(length, -1) if name == "landmarks" else values

    def clip(self, id: str) -> tuple[np.ndarray, np.ndarray]:
        """-> speech (320 T,), coefficients (T, K)"""
        landmarks = self.read("landmarks", id)
        return self.read("speech", id), self.basis.project(landmarks) if self.dimensions else landmarks

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}


def open_hdf5(path: Path, maker: str) -> h5py.File:
    """An open file. Raises UserError, which names the command that makes such files, where there is none."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with {maker}")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise UserError(f"{path}: not an HDF5 file, or a damaged one; make it again with {maker}") from error


def _texts(file: h5py.File, name: str, count: int) -> list[str] | None:
    if name not in file:
        return None
    texts = [str(text) for text in file[name].asstr()[()]]
    if len(texts) != count:
        raise UserError(f"{file.filename}: {len(texts)} {name} for {count} clips")
    return texts


def _basis(file: h5py.File) -> LandmarkBasis | None:
    names = ("mean", "components", "eigenvalues")
    if not all(name in file for name in names):
        return None
    arrays = (file[name][()].astype(np.float32) for name in names)
    return LandmarkBasis(
        *arrays, str(file.attrs.get("space", "face")), float(file.attrs.get("rest_opening", 0))
    )


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
            samples = item[()].astype(np.float32)
            if np.isfinite(samples).all() and power(samples) > SILENCE:
                kind, side = (
                    str(item.attrs.get(key, default)) for key, default in (("kind", name), ("side", ""))
                )
                noises[name] = Noise(samples, kind, side != "test")
    if not noises:
        raise UserError(
            f"{path}: no recording (a 1-D data set of {SPEECH_WINDOW} samples or more) to be heard"
        )
    return noises


@dataclass
class Mixing:
    """How training hides speech in noise: recordings (N,), the range of ratios in dB.

    Powers are those of a whole clip and a whole recording, which is what a listener calls the ratio, and what the tests
    measure. legacy: 0 to 8 dB, with the powers of the stretch alone, as the original's code really trained.
    """

    noises: Sequence[np.ndarray]
    low: float = 6.0
    high: float = 30.0
    legacy: bool = False

    def __post_init__(self) -> None:
        self.powers = [power(noise) for noise in self.noises]

    def __call__(self, clean: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
        """clean (N,), a stretch of a clip of the power `level` -> (N,) float32"""
        chosen = int(random.integers(len(self.noises)))
        part = stretch(self.noises[chosen], len(clean), random)
        if self.legacy:
            gain = mix_gain(power(clean), power(part), float(random.choice(LEGACY_SNR)))
        else:
            gain = mix_gain(level, self.powers[chosen], random.uniform(self.low, self.high))
        return clean + np.float32(gain) * part


class WaveformSamples(Dataset):
    """Sample number n: clean and noisy speech (320 (T + 6),), target (T, K), previous (T, K): one frame earlier.

    Without `mixing` there is no noisy speech.
    """

    def __init__(
        self, file: SpeechFile, level: str, frames: int, seed: int, power: float, mixing: Mixing | None
    ) -> None:
        self.file, self.level, self.frames, self.mixing = file, level, frames, mixing
        self.sampling = Sampling(file, file.splits["train"], frames, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        speech, coefficients = self.file.clip(id)
        speech = set_level(speech, self.level) * np.float32(10 ** (random.choice(GAINS) / 20))
        start = int(random.integers(len(coefficients) - self.frames + 1))
        clean = speech_context(speech, self.frames, start)
        before = np.concatenate([coefficients[:1], coefficients])[start : start + self.frames]
        arrays = dict(clean=clean, target=coefficients[start : start + self.frames], previous=before)
        if self.mixing:
            arrays["noisy"] = self.mixing(clean, power(speech), random)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
