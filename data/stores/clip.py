"""One clip of a store: every array is checked as it is read, and refused by the clip's name where it is damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO

import h5py
import numpy as np
import torch
from torch import Tensor

from data.stores.hdf5 import blaming, own, own_array, table, text
from data.stores.heaps import check_texts
from utils.audio import SAMPLES_PER_FRAME

# The arrays of a clip of T frames: their type, how many rows a frame has, and a row's shape.
ARRAYS = {
    "frame_ends": ("int64", 1, ()),
    "frame_checksums": ("uint32", 1, ()),
    "landmarks": ("float32", 1, (68, 2)),
    "source_landmarks": ("float32", 1, (68, 2)),
    "transforms": ("float32", 1, (2, 3)),
    "audio": ("int16", SAMPLES_PER_FRAME, ()),
    "mfcc": ("float32", 4, (12,)),
}
TEXTS = ("speaker", "transcript", "source", "split", "metadata")
WHOLE_NUMBERS = ("first_frame", "source_frames", "pieces", "word_first", "word_last")  # of the metadata
ADVICE = "preprocess this clip again; python -m data.store STORE --check lists all damage"


class Clip:
    """One clip of an open store; arrays are read when they are asked for.

    frames, side: how many pictures, and their width, the store says it has. Raises UserError, also of every property,
    where the clip is damaged: something is missing, of another shape, not a number, or not what its checksum says.
    """

    def __init__(self, id: str, group: h5py.Group, frames: int, side: int) -> None:
        self.id, self.length = id, frames
        self._group, self._side = group, side
        self._size = group.file.id.get_filesize()
        self._sums: dict[str, int] | None = None
        self._checked: bool | None = None

    def check_layout(self) -> None:
        """Raises UserError where an array or a text is missing or of another kind; reads no array."""
        with self._blamed():
            check_texts(self._group.file.filename, self._group)
            for name in (name for name in ARRAYS if name != "frame_checksums"):
                self._dataset(name)
            own_array(self._group, "frames", self._size, "uint8", (None,))
            missing = [name for name in (*TEXTS, "source_size") if name not in self._group.attrs]
            if missing:
                raise ValueError(f"{missing[0]} is missing")

    def _blamed(self) -> AbstractContextManager:
        return blaming(f"{self._group.file.filename}: clip {self.id}", ADVICE)

    def _dataset(self, name: str) -> h5py.Dataset:
        kind, rows, row = ARRAYS[name]
        return own_array(self._group, name, self._size, kind, (rows * self.length, *row))

    def _array(self, name: str) -> np.ndarray:
        with self._blamed():
            values = self._dataset(name)[()]
            if self.checked and zlib.crc32(np.ascontiguousarray(values)) != self._checksums()[name]:
                raise ValueError(f"{name} is not what its checksum says")
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"{name} has numbers that are not finite")
        return values

    @property
    def checked(self) -> bool:
        """Whether it has checksums; clips of older stores have none"""
        if self._checked is None:
            with self._blamed():
                self._checked = "checksums" in self._group.attrs
        return self._checked

    def _checksums(self) -> dict[str, int]:
        if self._sums is None:
            found = self._group.attrs["checksums"]
            if not isinstance(found, np.ndarray) or found.shape != (len(ARRAYS) + 1,):
                raise ValueError("its checksums are incomplete")
            self._sums = dict(zip([*ARRAYS, "texts"], found.tolist(), strict=True))
        return self._sums

    def _text(self, name: str) -> str:
        with self._blamed():
            return text(self._group, name)

    @property
    def landmarks(self) -> np.ndarray:
        """(T, 68, 2) float32, crop pixels"""
        return self._array("landmarks")

    @property
    def source_landmarks(self) -> np.ndarray:
        """(T, 68, 2) float32, pixels of the source video"""
        return self._array("source_landmarks")

    @property
    def transforms(self) -> np.ndarray:
        """(T, 2, 3) float32, source pixels to crop pixels"""
        return self._array("transforms")

    @property
    def audio(self) -> np.ndarray:
        """(640 T,) float32 in [-1, 1], 16 kHz"""
        return self._array("audio").astype(np.float32) / 32768

    @property
    def mfcc(self) -> np.ndarray:
        """(4 T, 12) float32"""
        return self._array("mfcc")

    @property
    def speaker(self) -> str:
        return self._text("speaker")

    @property
    def transcript(self) -> str:
        return self._text("transcript")

    @property
    def split(self) -> str:
        """train, val, test or unseen where the corpus says so, else empty"""
        return self._text("split")

    @property
    def source(self) -> str:
        """The video's path within the raw corpus"""
        return self._text("source")

    @property
    def source_size(self) -> tuple[int, int]:
        """(width, height) of the video"""
        with self._blamed():
            width, height = (int(side) for side in self._group.attrs["source_size"])
            if not (0 <= width < 2**31 and 0 <= height < 2**31):
                raise ValueError(f"its source_size is {width}, {height}")
        return width, height

    @property
    def metadata(self) -> dict[str, str]:
        """What else the corpus says about the clip"""
        with self._blamed():
            found = table(self._group, "metadata")
            if not all(isinstance(value, str) for value in found.values()):
                raise ValueError("its metadata are no texts")
            for name in (name for name in WHOLE_NUMBERS if name in found):
                if not -(2**31) < int(found[name]) < 2**31:
                    raise ValueError(f"its {name} is {found[name]}")
        return found

    def encoded(self, indices: Sequence[int] | None = None) -> list[np.ndarray]:
        """The frames' JPEG or PNG bytes, each (bytes,) uint8"""
        ends = self._array("frame_ends")
        starts = np.concatenate([[0], ends[:-1]])
        chosen = np.arange(len(ends)) if indices is None else np.asarray(indices, int)
        first, last = starts[chosen].min(initial=ends[-1]), ends[chosen].max(initial=0)
        with self._blamed():
            frames = own_array(self._group, "frames", self._size, "uint8", (None,))
            if starts[0] > ends[0] or (starts >= ends).any() or ends[-1] != len(frames):
                raise ValueError("its frame_ends do not fit its frames")
            data = frames[first : max(first, last)]
        codes = [data[starts[i] - first : ends[i] - first] for i in chosen]
        if self.checked and codes:
            self._compare(codes, chosen)
        return codes

    def _compare(self, codes: list[np.ndarray], chosen: np.ndarray) -> None:
        """Raises UserError where a frame's bytes are not those that were written."""
        sums = self._array("frame_checksums")[chosen].tolist()
        with self._blamed():
            for number, code, wanted in zip(chosen.tolist(), codes, sums, strict=True):
                if zlib.crc32(code) != wanted:
                    raise ValueError(f"frame {number} is not what its checksum says")

    def frames(self, indices: Sequence[int] | None = None) -> Tensor:
        """Frames, all or those asked for, -> (n, 3, H, W) uint8 RGB"""
        codes = self.encoded(indices)
        if not codes:
            return torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        pictures = [self._picture(code) for code in codes]
        return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))

    def _picture(self, code: np.ndarray) -> np.ndarray:
        from PIL import Image

        with self._blamed():
            try:
                picture = Image.open(BytesIO(code), formats=("JPEG", "PNG"))
                if picture.size == (self._side, self._side):  # before it is decoded: it may claim gigabytes
                    return np.asarray(picture.convert("RGB"))
            except Exception as error:  # PIL raises nearly anything for a damaged picture
                raise ValueError(f"a frame is no picture: {error}") from error
            raise ValueError(f"a frame is {picture.size} pixels, not {self._side} square")

    def check(self, decode: bool = True) -> None:
        """Reads all that there is. Raises UserError where any of it is damaged. decode: the pictures too"""
        self.check_layout()
        for name in ARRAYS if self.checked else [name for name in ARRAYS if name != "frame_checksums"]:
            self._array(name)
        for code in self.encoded():
            if decode:
                self._picture(code)
        self.source_size, self.metadata  # noqa: B018 - reading them checks them
        written = [self._text(name) for name in TEXTS]
        if self.checked:
            with self._blamed():
                if checksum_of_texts(written) != self._checksums()["texts"]:
                    raise ValueError("its texts are not what their checksum says")


def checksum_of_texts(texts: Sequence[str]) -> int:
    """Of a clip's texts, in the order of `TEXTS`"""
    return zlib.crc32(json.dumps(list(texts)).encode())


def write_checksums(group: h5py.Group) -> None:
    """Adds checksums to a clip that is written: of each frame, and of each array and the texts."""
    ends, frames = group["frame_ends"][()].tolist(), group["frames"][()]
    starts = [0, *ends[:-1]]
    sums = [zlib.crc32(frames[start:end]) for start, end in zip(starts, ends, strict=True)]
    group["frame_checksums"] = np.array(sums, np.uint32)
    sums = [zlib.crc32(np.ascontiguousarray(group[name][()])) for name in ARRAYS]
    sums.append(checksum_of_texts([str(group.attrs[name]) for name in TEXTS]))
    group.attrs["checksums"] = np.array(sums, np.uint32)


def open_clip(id: str, file: h5py.File, frames: int, side: int) -> Clip:
    """Raises UserError where the clip is missing or damaged."""
    with blaming(f"{file.filename}: clip {id}", ADVICE):
        group = own(file, f"clips/{id}")
        if not isinstance(group, h5py.Group):
            raise ValueError("it is no group")
    return Clip(id, group, frames, side)
