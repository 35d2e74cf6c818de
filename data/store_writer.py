"""Makes clip stores of the layout that `data.store` documents.

While a store is being made, each clip is a small file of the same layout (without the index) in STORE.h5.parts/, so
that processes and machines can write at the same time, and a killed run loses only the clips in work. At the end the
parts are packed into one file.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from data.store import FORMAT, VERSION, crop_of, open_store, read_attributes, read_index
from data.stores.clip import open_clip, write_checksums
from data.stores.hdf5 import blaming, own
from utils.errors import UserError
from utils.files import replacing

TEXT = h5py.string_dtype()


@dataclass
class ClipArrays:
    """One clip on its way into a store: arrays as in the layout, but each frame by itself, as JPEG or PNG bytes."""

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


class StoreWriter:
    """Writes a store clip by clip; several processes may do so at the same time.

    >>> writer = StoreWriter(Path("grid.h5"), attributes)
    >>> writer.add("s1/bbaf2n", arrays)
    >>> writer.pack()

    attributes: as `read_attributes` returns them. Raises UserError where a store is there already that was made with
    other parameters, is not a store, or is damaged.
    """

    def __init__(self, path: Path, attributes: dict) -> None:
        self.path = path
        self.parts = path.with_name(f"{path.name}.parts")
        self.attributes = attributes
        for file in [path] * path.exists() + list(self._written().values())[:1]:
            with open_store(file) as store:
                self._check(read_attributes(store)["parameters"])

    def _check(self, parameters: dict) -> None:
        begun = parameters | {"crop": crop_of(parameters)}
        for name, value in self.attributes["parameters"].items():
            if begun.get(name) != value:
                raise UserError(
                    f"{self.path}: was begun with {name} {begun.get(name)}, not {value}; "
                    f"give another name, or remove it and {self.parts.name}"
                )

    def _written(self) -> dict[str, Path]:
        """id -> file of each clip that is written, but not packed"""
        files = (file for file in self.parts.rglob("*.h5") if not file.name.startswith("."))
        return {file.relative_to(self.parts).as_posix().removesuffix(".h5"): file for file in files}

    def finished(self) -> set[str]:
        """The ids of all clips that are written, packed or not"""
        done = set(self._written())
        if self.path.exists():
            with open_store(self.path) as store:
                done.update(read_index(store)[0])
        return done

    def metadata(self, id: str) -> dict[str, str]:
        """Of a clip that is written, packed or not. Raises UserError where it is damaged."""
        part = self.parts / f"{id}.h5"
        with open_store(part if part.exists() else self.path) as file:
            return open_clip(id, file, 0, self.attributes["size"]).metadata

    def add(self, id: str, clip: ClipArrays) -> None:
        """Writes one clip, whole or not at all. Raises UserError where the disk does not let it, or for NaN."""
        refuse_nonsense(id, clip)
        with replacing(self.parts / f"{id}.h5") as part, h5py.File(part, "w") as file:
            write_attributes(file, self.attributes)
            write_clip(file.create_group(f"clips/{id}"), clip)

    def pack(self) -> int:
        """Gathers all clips into the one file, replaces it in one go, removes the parts; -> how many clips it holds.

        Raises UserError where the store is damaged, or a part (after removing it), or the disk is full.
        """
        written = self._written()
        if not written:
            return len(self.finished())
        with replacing(self.path) as whole, h5py.File(whole, "w") as target:
            write_attributes(target, self.attributes)
            if self.path.exists():
                with (
                    open_store(self.path) as old,
                    blaming(f"{self.path}", "move it away and preprocess again"),
                ):
                    old.copy("clips", target)
            for id, file in written.items():
                self._copy(id, file, target)
            count = write_index(target)
        shutil.rmtree(self.parts)
        return count

    def _copy(self, id: str, file: Path, target: h5py.File) -> None:
        clips = target.require_group("clips")
        if id in clips:  # packed by a run that was killed before it removed the parts
            return
        try:
            with open_store(file) as part:
                with blaming(f"{file}", "run the same command again"):
                    frames = len(own(part, f"clips/{id}/frame_ends"))
                open_clip(id, part, frames, self.attributes["size"]).check(decode=False)
                part.copy(f"clips/{id}", clips, id)
        except (UserError, KeyError, RuntimeError) as error:
            file.unlink(missing_ok=True)
            raise UserError(f"{file}: was damaged and is removed; run the same command again") from error


def write_attributes(file: h5py.File, attributes: dict) -> None:
    """The root attributes; dictionaries as JSON"""
    file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
    for name, value in attributes.items():
        file.attrs[name] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def write_clip(group: h5py.Group, clip: ClipArrays) -> None:
    """The arrays and attributes of one clip"""
    group["frames"] = np.frombuffer(b"".join(clip.pictures), np.uint8)
    group["frame_ends"] = np.cumsum([len(picture) for picture in clip.pictures], dtype=np.int64)
    for name in ("landmarks", "source_landmarks", "transforms", "mfcc"):
        group[name] = np.asarray(getattr(clip, name), np.float32)
    group["audio"] = np.clip(np.round(clip.audio * 32768), -32768, 32767).astype(np.int16)
    for name in ("speaker", "transcript", "source", "source_size", "split"):
        group.attrs[name] = getattr(clip, name)
    group.attrs["metadata"] = json.dumps(clip.metadata)
    write_checksums(group)


def refuse_nonsense(id: str, clip: ClipArrays) -> None:
    """Raises UserError where a clip's numbers are not finite."""
    for name in ("landmarks", "source_landmarks", "transforms", "audio", "mfcc"):
        if not np.isfinite(getattr(clip, name)).all():
            raise UserError(f"{id}: its {name} has numbers that are not finite; leave it out")


def write_index(file: h5py.File) -> int:
    """Lists the clips of a store, so that opening it need not visit them all; -> their number."""
    groups: dict[str, h5py.Group] = {}

    def note(id: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group) and "frame_ends" in item:
            groups[id] = item

    file["clips"].visititems(note)
    ids = sorted(groups)
    file.create_dataset("index/ids", data=ids, dtype=TEXT)
    file.create_dataset("index/splits", data=[groups[id].attrs["split"] for id in ids], dtype=TEXT)
    file["index/lengths"] = np.array([len(groups[id]["frame_ends"]) for id in ids], np.int64)
    return len(ids)
