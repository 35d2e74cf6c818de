"""The poses of a store's heads: STORE_pose.h5, which `preprocess.pose` makes beside the store. Layout, version 1:

attributes     format, version
poses/<id>     (T, 6) float32, a row a frame: rotation vector (radians), translation (pixels), scale (pixels per
               face width), as `utils.face.pose.Pose` has them. Pixels are those of the crop where the store's crops
               stand still in the video (--crop static), and those of the video where they follow the face.
faces/<id>     (68, 3) float32, the person's face as seen from the front, in face widths
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from data.stores.hdf5 import FAULTS, blaming, own, own_array
from utils.errors import UserError, reason
from utils.face.pose import Pose, motion_of
from utils.files import replacing

FORMAT, VERSION = "talking-face poses", 1
ADVICE = "make it again with python -m preprocess.pose"


class PoseStore:
    """Reads such a file into memory: an hour of video takes 2 MB.

    >>> poses = PoseStore(default_path(Path("store/grid.h5")))
    >>> poses["s1/bbaf2n"].rotation.shape, poses.face("s1/bbaf2n").shape
    ((75, 3), (68, 3))

    Raises UserError where the file is missing, damaged or none of these.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: no such poses; make them with python -m preprocess.pose STORE")
        try:
            file = h5py.File(self.path, "r", locking=False)
        except FAULTS as error:
            raise UserError(
                f"{path}: no HDF5 file, or a damaged one; {ADVICE} ({reason(error, 160)})"
            ) from error
        with file, blaming(f"{path}", ADVICE):
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise UserError(f"{path}: holds no poses of version {VERSION}; {ADVICE}")
            self._poses = dict(_arrays(own(file, "poses"), (None, 6)))
            self._faces = dict(_arrays(own(file, "faces"), (68, 3)))
            if self._poses.keys() != self._faces.keys() or not self._poses:
                raise ValueError("its poses and its faces are not of the same clips")

    @property
    def ids(self) -> list[str]:
        return sorted(self._poses)

    def __contains__(self, id: str) -> bool:
        return id in self._poses

    def __getitem__(self, id: str) -> Pose:
        """The poses of a clip's frames. Raises UserError where there is no such clip."""
        return Pose.of(self._find(self._poses, id))

    def face(self, id: str) -> np.ndarray:
        """(68, 3): the face of the clip's person, as seen from the front, in face widths"""
        return self._find(self._faces, id)

    def motion(self, id: str) -> np.ndarray:
        """(T, 6) float32: head motion about the clip's rest pose, see `utils.face.pose.motion_of`"""
        return motion_of(self[id])

    def _find(self, table: dict[str, np.ndarray], id: str) -> np.ndarray:
        if id not in table:
            raise UserError(f"{self.path}: has no clip {id}; {ADVICE}")
        return table[id].astype(np.float64)

    def check(self, lengths: dict[str, int]) -> None:
        """Raises UserError where the poses are not of these clips, of so many frames."""
        for id, length in lengths.items():
            found = len(self._find(self._poses, id))
            if found != length:
                raise UserError(f"{self.path}: {id} has {found} poses, the store {length} frames; {ADVICE}")


def _arrays(group: h5py.Group, shape: tuple[int | None, ...]) -> Iterable[tuple[str, np.ndarray]]:
    """All arrays below a group, by their paths in it. Raises ValueError, KeyError."""
    size = group.file.id.get_filesize()
    for name in group:
        if not name.isprintable():  # ids become names of files, and parts of lines
            raise ValueError(f"{name!a} is no part of a clip's id")
        item = own(group, name)
        if isinstance(item, h5py.Group):
            yield from ((f"{name}/{rest}", values) for rest, values in _arrays(item, shape))
            continue
        values = own_array(group, name, size, "float32", shape)[()]
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has numbers that are not finite")
        yield name, values


def check_target(path: Path) -> None:
    """Raises UserError where poses would replace a file that holds none, such as a clip store."""
    if not path.exists():
        return
    try:
        with h5py.File(path, "r", locking=False) as file:
            ours = file.attrs.get("format") == FORMAT
    except FAULTS:
        ours = False
    if not ours:
        raise UserError(f"{path}: is there already, and holds no poses; give another name for them")


def write_poses(path: Path, clips: dict[str, tuple[Pose, np.ndarray]]) -> None:
    """{id: (poses, the person's face)} -> the file, whole or not at all"""
    with replacing(path) as part, h5py.File(part, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        for id, (pose, face) in clips.items():
            file[f"poses/{id}"] = pose.table().astype(np.float32)
            file[f"faces/{id}"] = face.astype(np.float32)


def default_path(store: Path) -> Path:
    """grid.h5 -> grid_pose.h5; a folder -> its name with _pose.h5, beside it, for inside it would be a clip store"""
    return store.with_name(f"{store.stem if store.suffix in ('.h5', '.hdf5') else store.name}_pose.h5")
