"""The clip store: one HDF5 file (or a folder of them) that holds aligned faces, landmarks and sound. Layout, version 1:

    attributes          format, version, fps, sample_rate, size, template (68, 2), parameters and versions (JSON)
    index/ids           (C,) text, the clips' ids, sorted; index/splits (C,) text; index/lengths (C,) frames of each
    clips/<id>/         an id is a path such as s1/bbaf2n or ABOUT/train/ABOUT_00001
      frames            (bytes,) uint8, all pictures back to back, JPEG or PNG; frame_ends (T,) int64, where each ends
      landmarks         (T, 68, 2) float32, crop pixels; source_landmarks (T, 68, 2) float32, pixels of the video
      transforms        (T, 2, 3) float32, video pixels to crop pixels
      audio             (640 T,) int16, 16 kHz; mfcc (4 T, 12) float32
      attributes        speaker, transcript, source (file, relative to the raw corpus), source_size (width, height),
                        split (train, val, test, unseen or empty), metadata (JSON; of a clip whose ends showed no
                        face, first_frame and source_frames tell what of the video is kept; words, where the
                        corpus has them, are "start end word; ..." in seconds of the whole video)

`data.store_writer` makes such files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from utils.audio import FPS, SAMPLE_RATE
from utils.errors import UserError, reason

FORMAT, VERSION = "talking-face clip store", 1
OPEN_FILES = (
    16  # of a folder, in each process: an open one takes half a megabyte, opening it half a millisecond
)


class Clip:
    """One clip of an open store; arrays are read when they are asked for."""

    def __init__(self, id: str, group: h5py.Group) -> None:
        self.id = id
        self._group = group

    @property
    def length(self) -> int:
        """T, the number of frames"""
        return len(self._group["frame_ends"])

    @property
    def landmarks(self) -> np.ndarray:
        """(T, 68, 2) float32, crop pixels"""
        return self._group["landmarks"][()]

    @property
    def source_landmarks(self) -> np.ndarray:
        """(T, 68, 2) float32, pixels of the source video"""
        return self._group["source_landmarks"][()]

    @property
    def transforms(self) -> np.ndarray:
        """(T, 2, 3) float32, source pixels to crop pixels"""
        return self._group["transforms"][()]

    @property
    def audio(self) -> np.ndarray:
        """(640 T,) float32 in [-1, 1], 16 kHz"""
        return self._group["audio"][()].astype(np.float32) / 32768

    @property
    def mfcc(self) -> np.ndarray:
        """(4 T, 12) float32"""
        return self._group["mfcc"][()]

    @property
    def speaker(self) -> str:
        return str(self._group.attrs["speaker"])

    @property
    def transcript(self) -> str:
        return str(self._group.attrs["transcript"])

    @property
    def split(self) -> str:
        """train, val, test or unseen where the corpus says so, else empty"""
        return str(self._group.attrs["split"])

    @property
    def source(self) -> str:
        """The video's path within the raw corpus"""
        return str(self._group.attrs["source"])

    @property
    def source_size(self) -> tuple[int, int]:
        """(width, height) of the video"""
        width, height = self._group.attrs["source_size"]
        return int(width), int(height)

    @property
    def metadata(self) -> dict[str, str]:
        """What else the corpus says about the clip"""
        return json.loads(self._group.attrs["metadata"])

    def encoded(self, indices: Sequence[int] | None = None) -> list[np.ndarray]:
        """The frames' JPEG or PNG bytes, each (bytes,) uint8"""
        ends = self._group["frame_ends"][()]
        starts = np.concatenate([[0], ends[:-1]])
        chosen = np.arange(len(ends)) if indices is None else np.asarray(indices, int)
        first, last = starts[chosen].min(initial=ends[-1]), ends[chosen].max(initial=0)
        data = self._group["frames"][first : max(first, last)]
        return [data[starts[i] - first : ends[i] - first] for i in chosen]

    def frames(self, indices: Sequence[int] | None = None) -> Tensor:
        """Frames, all or those asked for, -> (n, 3, H, W) uint8 RGB"""
        from PIL import Image

        codes = self.encoded(indices)
        if not codes:
            return torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        pictures = [np.asarray(Image.open(BytesIO(code)).convert("RGB")) for code in codes]
        return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))


class ClipStore:
    """Reads a store: a file, or a folder whose *.h5 files together are one.

    >>> store = ClipStore(Path("grid.h5"))
    >>> store["s1/bbaf2n"].landmarks.shape
    (75, 68, 2)

    Files are opened when needed, in each process, so that a store may be handed to DataLoader workers; the last few
    stay open. Raises UserError where one is missing, damaged, not such a store, of another version or other rates, or
    without clips.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._open: dict[Path, h5py.File] = {}
        self._process = os.getpid()
        self._places: dict[str, Path] = {}
        self.splits: dict[str, str] = {}  # id -> train, val, test, unseen or empty
        self.lengths: dict[str, int] = {}  # id -> frames
        for file in self._files():
            self._read_index(file)
        self.ids = sorted(self._places)
        if not self.ids:
            raise UserError(f"{self.path}: a clip store without clips; see its list of skipped clips")

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        files = sorted(file for file in self.path.glob("*.h5") if not file.name.startswith("."))
        if not files:
            raise UserError(
                f"{self.path}: no clip store in this folder; make one with python -m preprocess.lrw"
            )
        return files

    def _read_index(self, path: Path) -> None:
        with open_store(path) as file:
            attributes = read_attributes(file)
            self.attributes = attributes if not self._places else self.attributes
            if attributes["size"] != self.size:
                raise UserError(
                    f"{path}: its crops are {attributes['size']} pixels, the other files' {self.size}"
                )
            ids, splits, lengths = read_index(file)
            self._places.update(dict.fromkeys(ids, path))
            self.splits.update(zip(ids, splits, strict=True))
            self.lengths.update(zip(ids, lengths, strict=True))

    @property
    def size(self) -> int:
        """Side of the crops, in pixels"""
        return self.attributes["size"]

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: str) -> bool:
        return id in self._places

    def __iter__(self) -> Iterator[Clip]:
        return (self[id] for id in self.ids)

    def __getitem__(self, id: str) -> Clip:
        """Raises UserError where there is no such clip."""
        if id not in self._places:
            raise UserError(f"{self.path}: has no clip {id}; the ids look like {self.ids[0]}")
        if self._process != os.getpid():  # an HDF5 file must not cross a fork
            self._open, self._process = {}, os.getpid()
        path = self._places[id]
        file = self._open.pop(path, None) or open_store(path)
        self._open[path] = file  # at the end: the first is what was used longest ago
        if len(self._open) > OPEN_FILES:  # without closing it: clips of it may be in use, and keep it open
            del self._open[next(iter(self._open))]
        return Clip(id, file["clips"][id])

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}


def group_of(id: str) -> str:
    """What the first part of a clip's id names: the speaker in GRID, the word in LRW."""
    return id.split("/")[0]


def open_store(path: Path) -> h5py.File:
    """An open store file. Raises UserError where it is missing, truncated, not a store or of another version."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such clip store; make one with python -m preprocess.grid or preprocess.lrw"
        )
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise UserError(f"{path}: not an HDF5 file, or a damaged one; make it again ({error})") from error
    found, version = file.attrs.get("format"), file.attrs.get("version")
    if found == FORMAT and version == VERSION:
        return file
    file.close()
    if found == FORMAT:
        raise UserError(
            f"{path}: a clip store of version {version}, this code reads {VERSION}; preprocess again"
        )
    raise UserError(f"{path}: an HDF5 file, but not a clip store; make one with python -m preprocess.grid")


def read_attributes(file: h5py.File) -> dict:
    """How a store was made: fps, sample_rate, size, template (68, 2), parameters and versions (dictionaries).

    Raises UserError where one is missing, or where frames or samples come at another rate than all code here expects.
    """
    try:
        for name, expected in (("fps", FPS), ("sample_rate", SAMPLE_RATE)):
            if file.attrs[name] != expected:
                raise UserError(
                    f"{file.filename}: its {name} is {file.attrs[name]}, not {expected}; make it again from the corpus"
                )
        numbers = {name: int(file.attrs[name]) for name in ("fps", "sample_rate", "size")}
        notes = {name: json.loads(file.attrs[name]) for name in ("parameters", "versions")}
        return {**numbers, "template": file.attrs["template"], **notes}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file.filename}: a damaged clip store; make it again ({error})") from error


def read_index(file: h5py.File) -> tuple[list[str], list[str], list[int]]:
    """ids, splits and lengths of the store's clips. Raises UserError where one is missing or of another length."""
    try:
        ids, splits = (file[f"index/{name}"].asstr()[()].tolist() for name in ("ids", "splits"))
        lengths = file["index/lengths"][()].tolist()
        if not len(ids) == len(splits) == len(lengths):
            raise ValueError("its parts differ in length")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file.filename}: a clip store without a whole index; remove it and make it again ({reason(error)})"
        ) from error
    return ids, splits, lengths
