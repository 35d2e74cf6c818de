"""The clip store: one HDF5 file (or a folder of them) that holds aligned faces, landmarks and sound. Layout, version 1:

    attributes          format, version, fps, sample_rate, size, template (68, 2), parameters and versions (JSON)
    index/ids           (C,) text, the clips' ids, sorted; index/splits (C,) text; index/lengths (C,) frames of each
    clips/<id>/         an id is a path such as s1/bbaf2n or ABOUT/train/ABOUT_00001
      frames            (bytes,) uint8, all pictures back to back, JPEG or PNG; frame_ends (T,) int64, where each ends
      landmarks         (T, 68, 2) float32, crop pixels; source_landmarks (T, 68, 2) float32, pixels of the video
      transforms        (T, 2, 3) float32, video pixels to crop pixels
      audio             (640 T,) int16, 16 kHz; mfcc (4 T, 12) float32
      attributes        speaker, transcript, source (file, relative to the raw corpus), source_size (width, height),
                        split (train, val, test or empty), metadata (JSON)

While a store is being made, each clip is a small file of the same layout (without an index) in STORE.h5.parts/, so
that processes and machines can write at the same time and a killed run loses only the clips in work.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError

FORMAT, VERSION = "talking-face clip store", 1
ARRAYS = ("frames", "frame_ends", "landmarks", "source_landmarks", "transforms", "audio", "mfcc")
NOTES = ("speaker", "transcript", "source", "source_size", "split", "metadata")


@dataclass
class ClipArrays:
    """One clip on its way into a store; arrays as in the layout above, `pictures` encoded one by one."""

    pictures: list[bytes]
    landmarks: np.ndarray
    source_landmarks: np.ndarray
    transforms: np.ndarray
    audio: np.ndarray
    mfcc: np.ndarray
    speaker: str = ""
    transcript: str = ""
    source: str = ""
    source_size: tuple[int, int] = (0, 0)
    split: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


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
        """train, val or test where the corpus says so, else empty"""
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
        from torchvision.io import ImageReadMode, decode_image

        pictures = [decode_image(torch.from_numpy(code), ImageReadMode.RGB) for code in self.encoded(indices)]
        return torch.stack(pictures) if pictures else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)


class ClipStore:
    """Reads a store: a file, or a folder whose *.h5 files together are one.

    >>> store = ClipStore(Path("grid.h5"))
    >>> store["s1/bbaf2n"].landmarks.shape
    (75, 68, 2)

    Files are opened when first needed, once per process, so that a store may be handed to DataLoader workers. Raises
    UserError where a file is missing, damaged, not such a store, of another version, or without clips.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._open: dict[Path, h5py.File] = {}
        self._process = os.getpid()
        self._places: dict[str, Path] = {}
        self.splits: dict[str, str] = {}  # id -> train, val, test or empty
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
            ids, splits = (file[f"index/{name}"].asstr()[()] for name in ("ids", "splits"))
            self._places.update(dict.fromkeys(ids, path))
            self.splits.update(zip(ids, splits, strict=True))
            self.lengths.update(zip(ids, file["index/lengths"][()].tolist(), strict=True))

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
        if path not in self._open:
            self._open[path] = open_store(path)
        return Clip(id, self._open[path]["clips"][id])

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}


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
    """How a store was made: fps, sample_rate, size, template (68, 2), parameters and versions (dictionaries)."""
    numbers = {name: int(file.attrs[name]) for name in ("fps", "sample_rate", "size")}
    notes = {name: json.loads(file.attrs[name]) for name in ("parameters", "versions")}
    return {**numbers, "template": file.attrs["template"], **notes}


class StoreWriter:
    """Writes a store clip by clip; see the module's docstring for how several processes share the work.

    >>> writer = StoreWriter(Path("grid.h5"), attributes)
    >>> writer.add("s1/bbaf2n", arrays)
    >>> writer.pack()

    attributes: as `read_attributes` returns them. Raises UserError where a store is there already that was made with
    other parameters, is not a store, or is damaged.
    """

    def __init__(self, path: Path, attributes: dict) -> None:
        self.path = path
        self.parts = path.with_name(path.name + ".parts")
        self.attributes = attributes
        existing = [file for file in (path, next(self._part_files(), None)) if file and file.exists()]
        for file in existing:
            with open_store(file) as store:
                self._check(read_attributes(store)["parameters"])

    def _check(self, parameters: dict) -> None:
        for name, value in self.attributes["parameters"].items():
            if parameters.get(name) != value:
                raise UserError(
                    f"{self.path}: was begun with {name} = {parameters.get(name)}, not {value}; "
                    f"give another name, or remove it and {self.parts.name}"
                )

    def _part_files(self) -> Iterator[Path]:
        return (file for file in self.parts.rglob("*.h5") if not file.name.startswith("."))

    def _part(self, id: str) -> Path:
        return self.parts / f"{id}.h5"

    def finished(self) -> set[str]:
        """The ids of clips that are written already, packed or not"""
        done = {file.relative_to(self.parts).with_suffix("").as_posix() for file in self._part_files()}
        if self.path.exists():
            with open_store(self.path) as store:
                done |= set(store["index/ids"].asstr()[()])
        return done

    def add(self, id: str, clip: ClipArrays) -> None:
        """Writes one clip, whole or not at all."""
        target = self._part(id)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part{os.getpid()}")
        try:
            with h5py.File(partial, "w") as file:
                write_attributes(file, self.attributes)
                write_clip(file.require_group("clips").create_group(id), clip)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def pack(self) -> int:
        """Gathers all clips into the one file, replaces it in one go, removes the parts; -> how many clips it holds.

        Raises UserError where a part turns out to be damaged (after removing it).
        """
        parts = {file.relative_to(self.parts).with_suffix("").as_posix(): file for file in self._part_files()}
        if not parts:
            return len(self.finished())
        partial = self.path.with_name(f".{self.path.name}.part{os.getpid()}")
        try:
            with h5py.File(partial, "w") as target:
                write_attributes(target, self.attributes)
                if self.path.exists():
                    with open_store(self.path) as old:
                        old.copy("clips", target)
                for id, part in parts.items():
                    self._copy_part(id, part, target.require_group("clips"))
                count = write_index(target)
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)
        shutil.rmtree(self.parts)
        return count

    def _copy_part(self, id: str, part: Path, clips: h5py.Group) -> None:
        if id in clips:
            return
        try:
            with open_store(part) as source:
                parent, name = os.path.split(id)
                source.copy(f"clips/{id}", clips.require_group(parent) if parent else clips, name)
        except (UserError, OSError, KeyError) as error:
            part.unlink(missing_ok=True)
            raise UserError(f"{part}: was damaged and is removed; run the same command again") from error


def write_attributes(file: h5py.File, attributes: dict) -> None:
    file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
    for name, value in attributes.items():
        file.attrs[name] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def write_clip(group: h5py.Group, clip: ClipArrays) -> None:
    group["frames"] = np.frombuffer(b"".join(clip.pictures), np.uint8)
    group["frame_ends"] = np.cumsum([len(picture) for picture in clip.pictures], dtype=np.int64)
    for name in ("landmarks", "source_landmarks", "transforms", "mfcc"):
        group[name] = np.asarray(getattr(clip, name), np.float32)
    group["audio"] = np.clip(np.round(clip.audio * 32768), -32768, 32767).astype(np.int16)
    for name in NOTES:
        value = getattr(clip, name)
        group.attrs[name] = json.dumps(value) if name == "metadata" else value


def write_index(file: h5py.File) -> int:
    """Lists the clips of a store, so that opening it need not visit them all; -> their number."""
    ids: list[str] = []
    file["clips"].visititems(
        lambda name, item: ids.append(name) if isinstance(item, h5py.Group) and "frame_ends" in item else None
    )
    ids.sort()
    text = h5py.string_dtype()
    file.create_dataset("index/ids", data=ids, dtype=text)
    file.create_dataset("index/splits", data=[file["clips"][id].attrs["split"] for id in ids], dtype=text)
    file["index/lengths"] = np.array([len(file["clips"][id]["frame_ends"]) for id in ids], np.int64)
    return len(ids)
