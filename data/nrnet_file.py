"""NR-net's training file: raw speech and landmark coefficients, checked as it is opened.

TRAIN.h5, one row a clip; `python -m preprocess.nrnet` makes it, and files of other people's tools will do:

    speech      (N, 320 T) floats, 8 kHz
    landmarks   (N, T, K) PCA coefficients, or landmarks: (N, T, 136) or (N, T, 204), flat point by point, also
                (N, T, 68, 2 or 3); landmarks are normalised already, and their PCA is fit on the training clips
    optional    lengths (N,) frames of each clip where they differ; ids (N,) text, SPEAKER/NAME; split (N,) text, train
                or val, instead of our own split; mean (D,) and components (D, K), or (K, D), of coefficients, without
                which nothing can draw them (nrnet.py --pca gives them too), with eigenvalues (K,), ones by default, and
                the attributes space and rest_opening
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from data.splits import split_grid, spread
from data.stores.hdf5 import FAULTS, refuse_foreign
from utils.audio.raw_speech import SPEECH_STEP
from utils.errors import UserError, reason
from utils.face.basis import LandmarkBasis, opening_signs, principal_components
from utils.face.landmarks import mouth_opening

LANDMARKS = {136: 2, 204: 3}  # numbers of a frame that are landmarks, not coefficients: their dimensions
SAMPLED = 1000  # training clips, at most, that statistics of the coefficients are made of


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
            self.lengths = dict(zip(self.ids, _lengths(file, clips, frames), strict=True))
            self.splits = self._split(_texts(file, "split", clips))
            self.basis = _basis(file, shape[2]) if not self.dimensions else None
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
            if file[name].dtype.kind not in "fiu":
                raise UserError(f"{self.path}: {name} is of the kind {file[name].dtype}; numbers are needed")
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
        if listed is None:
            return split_grid(self.ids)
        if "train" not in listed:
            raise UserError(
                f"{self.path}: its split says train of no clip, so there is nothing to learn from"
            )
        return {name: sorted(i for i, own in zip(self.ids, listed, strict=True) if own == name)
                for name in ("train", "val")}  # fmt: skip

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
        try:
            values = self._file[name][self.rows[id], :length].astype(np.float32)
        except OSError as error:
            raise UserError(f"{self.path}: {name} of clip {id} is damaged; make the file again") from error
        if not np.isfinite(values).all():
            raise UserError(f"{self.path}: {name} of clip {id} has numbers that are not finite; leave it out")
        return values.reshape(length, -1) if name == "landmarks" else values

    def clip(self, id: str) -> tuple[np.ndarray, np.ndarray]:
        """-> speech (320 T,), coefficients (T, K)"""
        landmarks = self.read("landmarks", id)
        return self.read("speech", id), self.basis.project(landmarks) if self.dimensions else landmarks

    def sampled(self) -> list[np.ndarray]:
        """Coefficients (T, K) of training clips, at most SAMPLED of them"""
        return [self.clip(id)[1] for id in spread(self.splits["train"], SAMPLED)]

    def deviations(self) -> np.ndarray:
        """(K,): standard deviations of the training clips' coefficients"""
        return np.concatenate(self.sampled()).std(axis=0)

    def resting(self, basis: LandmarkBasis | None) -> np.ndarray:
        """(K,): the coefficients of a whole face at rest, which a network goes on from at a clip's beginning

        The mean over clips of the fifth of their frames with the least open mouth; without a basis, which alone tells
        how open a mouth is, the mean of their first frames, since people begin to speak with their mouths closed.
        """
        if basis is None:
            return np.mean([coefficients[0] for coefficients in self.sampled()], axis=0)
        return np.mean([_least_open(coefficients, basis) for coefficients in self.sampled()], axis=0)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}


def _least_open(coefficients: np.ndarray, basis: LandmarkBasis) -> np.ndarray:
    """coefficients (T, K) of whole faces -> (K,): the mean of the fifth of the frames with the least open mouth"""
    faces = basis.reconstruct(coefficients)
    opening = mouth_opening(faces.reshape(len(faces), 68, -1))
    return coefficients[opening <= np.quantile(opening, 0.2)].mean(axis=0)


def open_hdf5(path: Path, maker: str) -> h5py.File:
    """An open file. Raises UserError, which names the command that makes such files, where there is none."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with {maker}")
    try:
        file = h5py.File(path, "r", locking=False)
        refuse_foreign(file)
    except FAULTS as error:
        why = reason(error, 160)
        raise UserError(
            f"{path}: not an HDF5 file, or a damaged one ({why}); make it again with {maker}"
        ) from error
    return file


def _texts(file: h5py.File, name: str, count: int) -> list[str] | None:
    """The texts (count,) of a data set, None where there is no such. Raises UserError for what is none."""
    if name not in file:
        return None
    item = file[name]
    if not isinstance(item, h5py.Dataset) or h5py.check_string_dtype(item.dtype) is None or item.ndim != 1:
        raise UserError(f"{file.filename}: {name} must be a data set (N,) of text; leave it out or mend it")
    if len(item) != count:
        raise UserError(f"{file.filename}: {len(item)} {name} for {count} clips")
    try:
        return [str(text) for text in item.asstr()[()]]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.filename}: {name} has text that cannot be read; write it as UTF-8") from error


def _lengths(file: h5py.File, clips: int, frames: int) -> list[int]:
    """Frames of each clip. Raises UserError for what no clip of so many frames can have."""
    lengths = _numbers(file, "lengths")
    if lengths is None:
        return [frames] * clips
    if lengths.shape != (clips,):
        raise UserError(f"{file.filename}: lengths {lengths.shape} for {clips} clips; ({clips},) would fit")
    wrong = lengths[(lengths != lengths.round()) | (lengths < 1) | (lengths > frames)]
    if len(wrong):
        raise UserError(f"{file.filename}: lengths has {wrong[0]:g}, but must be frames from 1 to {frames}")
    return lengths.astype(int).tolist()


def _numbers(file: h5py.File, name: str) -> np.ndarray | None:
    """The numbers of a data set, None where there is no such. Raises UserError for what is none."""
    if name not in file:
        return None
    item = file[name]
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        raise UserError(f"{file.filename}: {name} must be a data set of numbers; leave it out or mend it")
    try:
        values = item[()]
    except OSError as error:
        raise UserError(f"{file.filename}: {name} is damaged; make the file again") from error
    if not np.isfinite(values).all():
        raise UserError(f"{file.filename}: {name} has numbers that are not finite; mend it")
    return np.asarray(values)


def _basis(file: h5py.File, count: int) -> LandmarkBasis | None:
    """The basis of `count` coefficients, None where the file has none. Raises UserError where its parts do not fit."""
    mean, components, eigenvalues = (_numbers(file, name) for name in ("mean", "components", "eigenvalues"))
    if mean is None or components is None:
        return None
    size = mean.size
    if size not in LANDMARKS or components.shape not in ((size, count), (count, size)):
        raise UserError(
            f"{file.filename}: mean {mean.shape} and components {components.shape} are no basis of "
            f"{count} coefficients; (136,) or (204,) numbers and {count} vectors of as many would be"
        )
    eigenvalues = np.ones(count) if eigenvalues is None else eigenvalues
    if eigenvalues.shape != (count,):
        raise UserError(f"{file.filename}: eigenvalues {eigenvalues.shape}; ({count},) would fit")
    space, opening = file.attrs.get("space", "face"), file.attrs.get("rest_opening", 0.0)
    space = space.decode(errors="replace") if isinstance(space, bytes) else str(space)
    if space not in ("face", "motion") or (space == "motion" and size != 136):
        raise UserError(f"{file.filename}: its space is {space!r}; face, or motion of 136 numbers, would do")
    if not isinstance(opening, (int, float, np.number)) or not np.isfinite(opening):
        raise UserError(f"{file.filename}: its rest_opening is {opening!r}; a number would do")
    components = components if components.shape[0] == size else components.T
    arrays = (mean.reshape(-1), components, eigenvalues)
    return LandmarkBasis(*(array.astype(np.float32) for array in arrays), space, float(opening))
