"""The clip store: one HDF5 file (or a folder of them) that holds aligned faces, landmarks and sound. Layout, version 1:

    attributes          format, version, fps, sample_rate, size, template (68, 2), parameters and versions (JSON);
                        parameters' crop is "aligned" (each frame by itself: the face stands still; also where it is
                        missing) or "static" (one square a clip, in which the head moves: transforms are all the same,
                        and landmarks are denoised, source_landmarks as they were found)
    index/ids           (C,) text, the clips' ids, sorted; index/splits (C,) text; index/lengths (C,) frames of each
    clips/<id>/         an id is a path such as s1/bbaf2n or ABOUT/train/ABOUT_00001
      frames            (bytes,) uint8, all pictures back to back, JPEG or PNG; frame_ends (T,) int64, where each ends
      landmarks         (T, 68, 2) float32, crop pixels; source_landmarks (T, 68, 2) float32, pixels of the video
      transforms        (T, 2, 3) float32, video pixels to crop pixels
      audio             (640 T,) int16, 16 kHz; mfcc (4 T, 12) float32
      frame_checksums   (T,) uint32, zlib.crc32 of each frame's bytes
      attributes        speaker, transcript, source (file, relative to the raw corpus), source_size (width, height),
                        split (train, val, test, unseen or empty), metadata (JSON; of a clip whose ends showed no
                        face, first_frame and source_frames tell what of the video is kept; words, where the
                        corpus has them, are "start end word; ..." in seconds of the whole video),
                        checksums (8,) uint32, zlib.crc32 of the bytes of frame_ends, frame_checksums, landmarks,
                        source_landmarks, transforms, audio and mfcc, and of the texts

`data.store_writer` makes such files. What is read is checked: nothing is taken from other files, shapes and types must
be those above, numbers finite, and bytes as their checksums say, so that a flipped bit ends in one line instead of in
the training. Stores from before there were checksums are read too, and checked for all else. To check a whole store:

    python -m data.store STORE --check

reads everything, prints a line for each damaged clip, and ends with exit status 2 where there is one.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from data.stores.clip import Clip, open_clip
from data.stores.hdf5 import FAULTS, blaming, own_array, table, texts
from data.stores.heaps import check_texts
from utils.audio import FPS, SAMPLE_RATE
from utils.cli import parser
from utils.errors import UserError, reason, run

FORMAT, VERSION = "talking-face clip store", 1
ALIGNED, STATIC = (
    "aligned",
    "static",
)  # how a store's crops were cut: following the face, or one square a clip
LARGEST = 1 << 14  # side of a picture, in pixels
OPEN_FILES = (
    16  # of a folder, in each process: an open one takes half a megabyte, opening it half a millisecond
)


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
        self._known: set[str] = set()  # clips whose layout was looked at
        self.splits: dict[str, str] = {}  # id -> train, val, test, unseen or empty
        self.lengths: dict[str, int] = {}  # id -> frames
        for file in store_files(self.path):
            self._read_index(file)
        self.ids = sorted(self._places)
        if not self.ids:
            raise UserError(f"{self.path}: a clip store without clips; see its list of skipped clips")

    def _read_index(self, path: Path) -> None:
        with open_store(path) as file:
            attributes = read_attributes(file)
            self.attributes = attributes if not self._places else self.attributes
            size, crop = attributes["size"], crop_of(attributes["parameters"])
            if (size, crop) != (self.size, self.crop):
                others = f"{self.size} pixels, {self.crop}"
                raise UserError(f"{path}: its crops are {size} pixels, {crop}, the other files' {others}")
            ids, splits, lengths = read_index(file)
            self._places.update(dict.fromkeys(ids, path))
            self.splits.update(zip(ids, splits, strict=True))
            self.lengths.update(zip(ids, lengths, strict=True))

    @property
    def size(self) -> int:
        """Side of the crops, in pixels"""
        return self.attributes["size"]

    @property
    def crop(self) -> str:
        """ALIGNED or STATIC"""
        return crop_of(self.attributes["parameters"])

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: str) -> bool:
        return id in self._places

    def __iter__(self) -> Iterator[Clip]:
        return (self[id] for id in self.ids)

    def __getitem__(self, id: str) -> Clip:
        """Raises UserError where there is no such clip, or it lacks something."""
        if id not in self._places:
            raise UserError(f"{self.path}: has no clip {id}; the ids look like {self.ids[0]}")
        if self._process != os.getpid():  # an HDF5 file must not cross a fork
            self._open, self._process = {}, os.getpid()
        path = self._places[id]
        file = self._open.pop(path, None) or open_store(path)
        self._open[path] = file  # at the end: the first is what was used longest ago
        if len(self._open) > OPEN_FILES:  # without closing it: clips of it may be in use, and keep it open
            del self._open[next(iter(self._open))]
        clip = open_clip(id, file, self.lengths[id], self.size)
        if id not in self._known:
            clip.check_layout()
            self._known.add(id)
        return clip

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}


def crop_of(parameters: dict) -> str:
    """How a store's crops were cut; older stores do not say, and are aligned."""
    return str(parameters.get("crop", ALIGNED))


def aligned_store(path: Path | str) -> ClipStore:
    """The store, for what was made for faces that stand still. Raises UserError for one whose heads move."""
    store = ClipStore(path)
    if store.crop != ALIGNED:
        raise UserError(
            f"{path}: its crops are {store.crop}, and this needs aligned faces; make a store with --crop aligned"
        )
    return store


def group_of(id: str) -> str:
    """What the first part of a clip's id names: the speaker in GRID, the word in LRW."""
    return id.split("/")[0]


def store_files(path: Path) -> list[Path]:
    """The store itself, or the files of a folder. Raises UserError where there are none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.h5") if not file.name.startswith("."))
    if not files:
        raise UserError(f"{path}: no clip store in this folder; make one with python -m preprocess.lrw")
    return files


def open_store(path: Path) -> h5py.File:
    """An open store file. Raises UserError where it is missing, truncated, not a store or of another version."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such clip store; make one with python -m preprocess.grid or preprocess.lrw"
        )
    try:
        file = h5py.File(path, "r", locking=False)
    except FAULTS as error:
        why = reason(error, 160)
        raise UserError(f"{path}: not an HDF5 file, or a damaged one; make it again ({why})") from error
    with blaming(f"{path}", "make it again"):
        check_texts(path, file)
        found, version = file.attrs.get("format"), file.attrs.get("version")
    if isinstance(found, str) and found == FORMAT and _is_number(version, VERSION):
        return file
    file.close()
    if isinstance(found, str) and found == FORMAT:
        raise UserError(
            f"{path}: a clip store of version {version}, this code reads {VERSION}; preprocess again"
        )
    raise UserError(f"{path}: an HDF5 file, but not a clip store; make one with python -m preprocess.grid")


def _is_number(value: object, expected: int) -> bool:
    return isinstance(value, (int, float, np.number)) and value == expected


def read_attributes(file: h5py.File) -> dict:
    """How a store was made: fps, sample_rate, size, template (68, 2), parameters and versions (dictionaries).

    Raises UserError where one is missing, or where frames or samples come at another rate than all code here expects.
    """
    with blaming(f"{file.filename}: a clip store", "make it again"):
        for name, expected in (("fps", FPS), ("sample_rate", SAMPLE_RATE)):
            if not _is_number(file.attrs[name], expected):
                found = reason(ValueError(file.attrs[name]), 40)
                raise UserError(
                    f"{file.filename}: its {name} is {found}, not {expected}; make it again from the corpus"
                )
        size, template = file.attrs["size"], np.asarray(file.attrs["template"], float)
        if not (isinstance(size, np.integer) and 0 < size <= LARGEST):
            raise ValueError("its size is no side of pictures")
        if template.shape != (68, 2) or not np.isfinite(template).all():
            raise ValueError("its template is no face")
        numbers = dict(fps=FPS, sample_rate=SAMPLE_RATE, size=int(size), template=file.attrs["template"])
        return numbers | {name: table(file, name) for name in ("parameters", "versions")}


def read_index(file: h5py.File) -> tuple[list[str], list[str], list[int]]:
    """ids, splits and lengths of the store's clips. Raises UserError where one is missing or of another length."""
    try:
        size = file.id.get_filesize()
        ids, splits = (texts(file, f"index/{name}", size) for name in ("ids", "splits"))
        lengths = own_array(file, "index/lengths", size, "int64", (None,))[()].tolist()
        if not len(ids) == len(splits) == len(lengths):
            raise ValueError("its parts differ in length")
        if len(set(ids)) < len(ids):
            raise ValueError("some ids are there twice")
        wrong = [id for id in ids if not _is_id(id)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no id of a clip")
        if not all(0 < length <= size for length in lengths):  # a frame takes more than a byte
            raise ValueError("some lengths are no numbers of frames")
    except FAULTS as error:
        raise UserError(
            f"{file.filename}: a clip store without a whole index; remove it and make it again ({reason(error)})"
        ) from error
    return ids, splits, lengths


def _is_id(id: str) -> bool:
    """Ids become names of files and parts of lines: nothing in one may lead out of a folder, or break a line."""
    return id.isprintable() and all(part not in ("", ".", "..") for part in id.split("/"))


def damages(path: Path) -> Iterator[tuple[str, int, int]]:
    """Of each clip of a store's file: what is wrong, "" where nothing is; its frames; whether it has checksums"""
    try:
        with closing(ClipStore(path)) as store:
            for id in tqdm(store.ids, path.name, unit="clip"):
                try:
                    clip = store[id]
                    clip.check()
                    yield "", clip.length, clip.checked
                except UserError as error:
                    yield str(error), 0, 0
    except UserError as error:
        yield str(error), 0, 0


def check(path: Path) -> str:
    """Reads all of a store, and prints what is damaged -> a line of summary. Raises UserError where anything is."""
    clips = wrong = frames = checked = 0
    for file in store_files(path):
        for damage, length, has in damages(file):
            clips, frames, checked = clips + 1, frames + length, checked + has
            if damage:
                wrong += 1
                tqdm.write(damage, file=sys.stdout)
    if wrong:
        raise UserError(
            f"{path}: {wrong} of {clips} clips are damaged; make the store again, or do without them"
        )
    ClipStore(path).close()  # the files of a folder must fit each other
    return f"{path}: {clips} clips of {frames} frames are whole; {checked} of them have checksums"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, metavar="STORE", help="clip store, a file or a folder")
    flags.add_argument("--check", action="store_true", help="read everything and list what is damaged")
    return flags.parse_args(argv)


def main(args: Namespace) -> None:
    if args.check:
        print(check(args.store))
        return
    store = ClipStore(args.store)
    print(
        f"{store.path}: {len(store)} clips of {sum(store.lengths.values())} frames, {store.size} pixels wide"
    )


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
