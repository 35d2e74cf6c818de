"""Damaged and hostile stores: every clip is refused in one line that names it, and no other file is read."""

import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.store import ClipStore, check
from data.store_writer import StoreWriter
from tests.synthetic import make_clip, make_store
from utils.errors import UserError

SIZE, ID = 32, "s1/clip0"
CLIP = f"clips/{ID}"
ARRAYS = "landmarks source_landmarks transforms audio mfcc".split()
TEXTS = "speaker transcript source split source_size metadata".split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    return make_store(tmp_path_factory.mktemp("whole") / "a.h5", 2, 4, SIZE).read_bytes()


@pytest.fixture
def path(whole, tmp_path) -> Path:
    (tmp_path / "a.h5").write_bytes(whole)
    return tmp_path / "a.h5"


def read(path: Path) -> None:
    """All that a clip says"""
    clip = ClipStore(path)[ID]
    clip.frames()
    for name in (*ARRAYS, *TEXTS):
        getattr(clip, name)


def without_checksums(file: h5py.File) -> None:
    for group in (file[f"clips/{id}"] for id in file["index/ids"].asstr()):
        del group["frame_checksums"], group.attrs["checksums"]


def refused(path: Path, match: str | None = None) -> None:
    """Reading and checking end in one line of the file, and of the clip where it is one"""
    for attempt in (read, check):
        with pytest.raises(UserError, match=match) as said:
            attempt(path)
        assert "a.h5" in str(said.value) and "\n" not in str(said.value)


def replace(group: h5py.Group, name: str, **made) -> h5py.Dataset:
    old = group[name]
    options = dict(shape=old.shape, dtype=old.dtype) | made
    del group[name]
    return group.create_dataset(name, **options)


WRONG = dict(
    missing=lambda clip, name: clip.__delitem__(name),
    group=lambda clip, name: (clip.__delitem__(name), clip.create_group(name)),
    longer=lambda clip, name: replace(clip, name, shape=(clip[name].shape[0] + 1, *clip[name].shape[1:])),
    scalar=lambda clip, name: replace(clip, name, shape=()),
    empty=lambda clip, name: (clip.__delitem__(name), clip.create_dataset(name, data=h5py.Empty("f4"))),
    text=lambda clip, name: replace(clip, name, dtype=h5py.string_dtype()),
    complex=lambda clip, name: replace(clip, name, dtype="complex128"),
    exabytes=lambda clip, name: replace(clip, name, shape=(2**52, *clip[name].shape[1:])),
    pieces=lambda clip, name: replace(clip, name, compression="gzip"),
)


@pytest.mark.parametrize("name", [*ARRAYS, "frames", "frame_ends"])
@pytest.mark.parametrize("wrong", WRONG)
def test_arrays_of_another_kind(path, name, wrong):
    with h5py.File(path, "a") as file:
        without_checksums(file)
        WRONG[wrong](file[CLIP], name)
    with pytest.raises(UserError, match=rf"a\.h5: clip {ID}: damaged \(.*; preprocess this clip again"):
        read(path)
    with pytest.raises(UserError, match="1 of 2 clips are damaged"):
        check(path)


def link_out(clip: h5py.Group, name: str, target: Path) -> None:
    clip[name] = h5py.ExternalLink(str(target), f"{CLIP}/{name}")


def lie_outside(clip: h5py.Group, name: str, target: Path) -> None:
    clip.create_dataset(name, (4, 68, 2), "f4", external=[(str(target), 0, h5py.h5f.UNLIMITED)])


def lie_virtually(clip: h5py.Group, name: str, target: Path) -> None:
    layout = h5py.VirtualLayout((4, 68, 2), "f4")
    layout[:] = h5py.VirtualSource(str(target), f"{CLIP}/{name}", (4, 68, 2))
    clip.create_virtual_dataset(name, layout)


def link_softly(clip: h5py.Group, name: str, target: Path) -> None:
    clip[name] = h5py.SoftLink(f"/{CLIP}/source_landmarks")


@pytest.mark.parametrize("leave", [link_out, lie_outside, lie_virtually, link_softly])
def test_nothing_is_read_from_elsewhere(path, whole, tmp_path, leave):
    (tmp_path / "secret.h5").write_bytes(whole)
    with h5py.File(path, "a") as file:
        without_checksums(file)
        del file[CLIP]["landmarks"]
        leave(file[CLIP], "landmarks", tmp_path / "secret.h5")
    with pytest.raises(UserError, match=rf"clip {ID}: damaged \(.*(link to elsewhere|in another file)"):
        ClipStore(path)[ID]


@pytest.mark.parametrize("place", ["clips", "clips/s1", CLIP, "index", "index/ids", "index/lengths"])
def test_groups_are_not_followed_to_other_files(path, whole, tmp_path, place):
    (tmp_path / "other.h5").write_bytes(whole)
    with h5py.File(path, "a") as file:
        del file[place]
        file[place] = h5py.ExternalLink(str(tmp_path / "other.h5"), place)
    refused(path)


def flip(path: Path, name: str, id: str = ID) -> None:
    """Changes one bit of what a data set holds"""
    with h5py.File(path) as file:
        data = file[f"clips/{id}/{name}"]
        place = data.id.get_offset() + data.nbytes // 2
    held = bytearray(path.read_bytes())
    held[place] ^= 1
    path.write_bytes(held)


@pytest.mark.parametrize("name", [*ARRAYS, "frames", "frame_ends", "frame_checksums"])
def test_a_flipped_bit_is_found(path, name):
    flip(path, name)
    with pytest.raises(UserError, match=rf"a\.h5: clip {ID}: damaged \(.*checksum"):
        read(path)


def test_a_flipped_bit_in_a_text_is_found_by_the_check(path):
    held = path.read_bytes()
    assert b"bin blue" in held
    path.write_bytes(held.replace(b"bin blue", b"bin glue"))
    with pytest.raises(UserError, match="2 of 2 clips are damaged"):
        check(path)


def test_a_frame_s_damage_spares_the_others(path):
    flip(path, "frames")
    clip = ClipStore(path)[ID]
    ends = clip._array("frame_ends")
    hit = int(np.searchsorted(ends, ends[-1] // 2, side="right"))
    sound = [number for number in range(4) if number != hit]
    assert all(clip.frames([number]).shape == (1, 3, SIZE, SIZE) for number in sound)
    with pytest.raises(UserError, match=f"frame {hit} is not what its checksum says"):
        clip.frames([hit])


@pytest.mark.parametrize("name", ["landmarks", "source_landmarks", "transforms", "mfcc"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(path, name, value):
    with h5py.File(path, "a") as file:
        without_checksums(file)
        file[CLIP][name][1, 1] = value
    refused(path, "not finite|1 of 2 clips")
    clip = make_clip(0, 4, SIZE)
    setattr(clip, name, getattr(clip, name).copy())
    getattr(clip, name)[1, 1] = value
    with pytest.raises(UserError, match=f"s1/x: its {name} has numbers that are not finite"):
        StoreWriter(path.with_name("b.h5"), ClipStore(path).attributes).add("s1/x", clip)


@pytest.mark.parametrize(
    "ends", [[0, 0, 0, 0], [9, 8, 7, 6], [-5, 10, 20, 30], [1, 2, 3, 2**62], [1, 2, 3, 4]]
)
def test_ends_that_do_not_fit_the_frames(path, ends):
    with h5py.File(path, "a") as file:
        without_checksums(file)
        file[CLIP]["frame_ends"][:] = ends
    refused(path, "frame_ends do not fit its frames|1 of 2 clips")


def test_pictures_of_another_size_or_none_at_all(path):
    for picture in (make_clip(0, 1, 64).pictures[0], b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with h5py.File(path, "a") as file:
            if "frame_checksums" in file[CLIP]:
                without_checksums(file)
            replace(file[CLIP], "frames", shape=(4 * len(picture),))[:] = np.frombuffer(picture * 4, np.uint8)
            file[CLIP]["frame_ends"][:] = len(picture) * np.arange(1, 5)
        refused(path, "a frame is|1 of 2 clips")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "value", [None, 3.5, np.arange(7), "[" * 100000, '{"first_frame": "x"}', '{"a": []}']
)
def test_texts_that_are_none(path, name, value):
    with h5py.File(path, "a") as file:
        del file[CLIP].attrs[name]
        if value is not None and not (isinstance(value, str) and len(value) > 60000):
            file[CLIP].attrs[name] = value
    if isinstance(value, str) and value.startswith("{") and name not in ("metadata", "source_size"):
        read(path)  # these may say anything
    else:
        refused(path)


@pytest.mark.parametrize("id", ["../../x", "/etc/x", "s1//x", "s1/./x", "two\nlines", "", "s2/clip1"])
def test_ids_that_lead_elsewhere_or_are_there_twice(path, id):
    with h5py.File(path, "a") as file:
        ids = file["index/ids"]
        ids[0] = id
    refused(path, "without a whole index|1 of 1")


@pytest.mark.parametrize("length", [-1, 0, 3, 2**60])
def test_lengths_that_are_none(path, length):
    with h5py.File(path, "a") as file:
        file["index/lengths"][0] = length
    refused(path)


ROOTS = dict(size=[0, -5, 2.5, "x", 2**40], fps=["x", [1, 2]], template=[np.zeros((68, 2)) * np.nan, 3, "x"])
ROOTS |= dict(parameters=["[]", "{", 3], versions=["3"], format=[3, [1, 2]], version=["x", [1, 1]])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ROOTS for value in ROOTS[name]])
def test_root_attributes_that_are_none(path, name, value):
    with h5py.File(path, "a") as file:
        file.attrs[name] = value
    refused(path)


@pytest.mark.parametrize("damage", ["empty", "folder", "zeros", "half", "text"])
def test_files_that_are_no_stores(path, whole, damage):
    path.unlink()
    if damage == "folder":
        path.mkdir()
        (path / "a.h5").mkdir()
    held = dict(empty=b"", zeros=bytes(512) + whole[512:], half=whole[: len(whole) // 2], text=b"a text")
    if damage in held:
        path.write_bytes(held[damage])
    refused(path)


def test_a_zeroed_block_of_texts_does_not_hang(path):
    """HDF5 looks for the next text where the last one ends: for ever, behind one of no length."""
    whole = path.read_bytes()
    places = [at for at in range(len(whole)) if whole[at : at + 4] == b"GCOL"]
    assert places
    for at in places:
        path.write_bytes(whole[: at + 100] + bytes(512) + whole[at + 612 :])
        command = [sys.executable, "-m", "data.store", path, "--check"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "Traceback" not in done.stderr


def test_stores_without_checksums_are_read_as_ever(path, capsys):
    with h5py.File(path, "a") as file:
        without_checksums(file)
    read(path)
    assert check(path) == f"{path}: 2 clips of 8 frames are whole; 0 of them have checksums"


def test_checksums_are_those_that_the_layout_says(path):
    with h5py.File(path) as file:
        clip = file[CLIP]
        names = "frame_ends frame_checksums landmarks source_landmarks transforms audio mfcc".split()
        sums = [zlib.crc32(clip[name][()].tobytes()) for name in names]
        assert clip.attrs["checksums"][:-1].tolist() == sums and clip.attrs["checksums"].dtype == np.uint32
        end = clip["frame_ends"][0]
        assert zlib.crc32(clip["frames"][:end].tobytes()) == clip["frame_checksums"][0]


def test_packing_refuses_a_flipped_part_and_a_damaged_store(path):
    writer = StoreWriter(path, ClipStore(path).attributes)
    writer.add("s9/x", make_clip(0, 4, SIZE))
    part = writer.parts / "s9" / "x.h5"
    flip(part, "audio", "s9/x")
    with pytest.raises(UserError, match=r"x\.h5: was damaged and is removed; run the same"):
        writer.pack()
    assert not part.exists() and len(ClipStore(path)) == 2


def test_check_is_a_command_that_lists_each_damaged_clip(path):
    def run(*flags: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "data.store", path, *flags]
        return subprocess.run(command, capture_output=True, text=True)

    good = run("--check")
    assert good.returncode == 0
    assert good.stdout == f"{path}: 2 clips of 8 frames are whole; 2 of them have checksums\n"
    flip(path, "landmarks")
    flip(path, "frames", "s2/clip1")
    bad = run("--check")
    assert bad.returncode == 2 and "Traceback" not in bad.stderr
    lines = bad.stdout.splitlines()
    assert (
        len(lines) == 2
        and f"{path}: clip {ID}: damaged (landmarks" in lines[0]
        and "clip s2/clip1" in lines[1]
    )
    last = bad.stderr.splitlines()[-1]
    assert last.startswith(f"error: {path}: 2 of 2 clips are damaged;")
    assert run().stdout == f"{path}: 2 clips of 8 frames, {SIZE} pixels wide\n"
