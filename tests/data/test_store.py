import multiprocessing
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from data.store import ClipStore, aligned_store, read_attributes
from data.store_writer import StoreWriter
from tests.synthetic import make_clip, make_store
from utils.errors import UserError
from utils.face.landmarks import TEMPLATE

SIZE = 32


def attributes(**parameters) -> dict:
    facts = dict(fps=25, sample_rate=16000, size=SIZE, template=TEMPLATE, versions=dict(numpy="2"))
    return dict(**facts, parameters=dict(size=SIZE, **parameters))


def clip(seed=0, frames=5, split=""):
    return make_clip(seed, frames, SIZE, split)


def test_a_clip_comes_back_as_it_went_in(tmp_path):
    arrays = clip()
    arrays.metadata = dict(Channel="one")
    writer = StoreWriter(tmp_path / "a.h5", attributes())
    writer.add("s1/a", arrays)
    assert writer.pack() == 1
    store = ClipStore(tmp_path / "a.h5")
    read = store["s1/a"]
    for name in ("landmarks", "source_landmarks", "transforms", "mfcc"):
        np.testing.assert_array_equal(getattr(read, name), getattr(arrays, name))
    assert np.abs(read.audio - arrays.audio).max() <= 0.5 / 32768 and read.audio.dtype == np.float32
    for name in ("speaker", "transcript", "source", "source_size", "split", "metadata"):
        assert getattr(read, name) == getattr(arrays, name), name
    assert [bytes(code) for code in read.encoded()] == arrays.pictures
    assert (store.size, read.length, store.lengths["s1/a"], store.attributes["fps"]) == (SIZE, 5, 5, 25)
    assert store.attributes["parameters"] == dict(size=SIZE) and store.attributes["versions"] == dict(
        numpy="2"
    )
    np.testing.assert_array_equal(store.attributes["template"], TEMPLATE)


def test_what_needs_aligned_faces_refuses_others(tmp_path):
    for name, notes in dict(old={}, aligned=dict(crop="aligned"), static=dict(crop="static")).items():
        writer = StoreWriter(tmp_path / f"{name}.h5", attributes(**notes))
        writer.add(f"s1/{name}", clip())
        writer.pack()
    assert ClipStore(tmp_path / "static.h5").crop == "static"
    assert [aligned_store(tmp_path / f"{name}.h5").crop for name in ("old", "aligned")] == ["aligned"] * 2
    with pytest.raises(UserError, match=r"static\.h5: its crops are static, and this needs aligned faces"):
        aligned_store(tmp_path / "static.h5")
    with pytest.raises(UserError, match=r"32 pixels, static, the other files' 32 pixels, aligned"):
        ClipStore(tmp_path)


def test_a_clips_metadata_packed_or_not(tmp_path):
    arrays, writer = clip(), StoreWriter(tmp_path / "a.h5", attributes())
    arrays.metadata = dict(pieces="3")
    writer.add("s1/a", arrays)
    assert writer.metadata("s1/a") == dict(pieces="3")
    writer.pack()
    assert writer.metadata("s1/a") == dict(pieces="3")


def test_frames_in_any_order(tmp_path):
    store = ClipStore(make_store(tmp_path / "a.h5", clips=2, frames=6, size=SIZE))
    clip = store["s1/clip0"]
    frames = clip.frames()
    assert frames.shape == (6, 3, SIZE, SIZE) and frames.dtype == torch.uint8
    for indices in ([3], [4, 1, 1], range(2, 5)):
        torch.testing.assert_close(clip.frames(indices), frames[list(indices)], rtol=0, atol=0)
    assert clip.frames([]).shape[0] == 0


def test_the_files_of_a_folder_are_one_store(tmp_path):
    for word, seed in (("ABOUT", 0), ("BEING", 1)):
        writer = StoreWriter(tmp_path / f"{word}.h5", attributes())
        writer.add(f"{word}/train/{word}_00001", clip(seed, split="train"))
        writer.add(f"{word}/test/{word}_00001", clip(seed + 5, frames=4, split="test"))
        writer.pack()
    store = ClipStore(tmp_path)
    assert len(store) == 4 and store.ids[0] == "ABOUT/test/ABOUT_00001"
    assert store.splits["BEING/train/BEING_00001"] == "train" and store.lengths["BEING/test/BEING_00001"] == 4
    assert [clip.split for clip in store] == ["test", "train"] * 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at Linux's list of open files")
def test_a_store_of_many_files_keeps_few_open(tmp_path, monkeypatch):
    monkeypatch.setattr("data.store.OPEN_FILES", 2)
    for number in range(6):
        writer = StoreWriter(tmp_path / f"W{number}.h5", attributes())
        writer.add(f"W{number}/train/a", clip(number))
        writer.pack()

    def opened() -> int:
        links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return sum(link.startswith(str(tmp_path)) for link in links)

    store = ClipStore(tmp_path)
    kept = store["W0/train/a"]
    before = kept.landmarks
    for id in store.ids * 2:
        store[id].frames([0])
    np.testing.assert_array_equal(kept.landmarks, before)  # a clip in use keeps its file
    assert opened() == 3
    del kept
    assert opened() == 2


def test_writing_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "a.h5"
    writer = StoreWriter(path, attributes())
    writer.add("s1/a", clip(0))
    del writer  # killed
    (tmp_path / "a.h5.parts" / "s1" / ".b.part77.h5").write_bytes(b"half a clip")
    writer = StoreWriter(path, attributes())
    assert writer.finished() == {"s1/a"}
    writer.add("s1/b", clip(1))
    assert writer.pack() == 2
    writer = StoreWriter(path, attributes())
    assert writer.finished() == {"s1/a", "s1/b"}
    writer.add("s2/c", clip(2))
    assert writer.finished() == {"s1/a", "s1/b", "s2/c"} and ClipStore(path).ids == ["s1/a", "s1/b"]
    assert writer.pack() == 3 and ClipStore(path).ids == ["s1/a", "s1/b", "s2/c"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]
    assert writer.pack() == 3


def test_killed_between_packing_and_clearing_up(tmp_path):
    writer = StoreWriter(tmp_path / "a.h5", attributes())
    writer.add("s1/a", clip(0))
    writer.pack()
    writer.add("s1/a", clip(0))
    assert writer.pack() == 1 and not writer.parts.exists()


def test_a_damaged_part_is_made_again(tmp_path):
    writer = StoreWriter(tmp_path / "a.h5", attributes())
    writer.add("s1/a", clip(0))
    writer.add("s1/b", clip(1))
    part = tmp_path / "a.h5.parts" / "s1" / "b.h5"
    part.write_bytes(part.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"b\.h5: was damaged and is removed; run the same"):
        writer.pack()
    assert writer.finished() == {"s1/a"} and not (tmp_path / "a.h5").exists()
    writer.add("s1/b", clip(1))
    assert writer.pack() == 2


def test_other_parameters_do_not_mix(tmp_path):
    writer = StoreWriter(tmp_path / "a.h5", attributes(quality=95))
    writer.add("s1/a", clip())
    for packed in (False, True):
        if packed:
            writer.pack()
        with pytest.raises(UserError, match="was begun with quality 95, not 50"):
            StoreWriter(tmp_path / "a.h5", attributes(quality=50))


def test_stores_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no such clip store"):
        ClipStore(tmp_path / "none.h5")
    with pytest.raises(UserError, match="no clip store in this folder"):
        ClipStore(tmp_path)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(UserError, match=r"text\.h5: not an HDF5 file"):
        ClipStore(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match=r"other\.h5: an HDF5 file, but not a clip store"):
        ClipStore(tmp_path / "other.h5")


def test_truncated_incomplete_and_foreign_stores(tmp_path):
    path = make_store(tmp_path / "a.h5", clips=2, frames=4, size=SIZE)
    whole = path.read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.h5: not an HDF5 file, or a damaged one"):
        ClipStore(tmp_path / "half.h5")
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 7
    with pytest.raises(UserError, match="version 7, this code reads 1"):
        ClipStore(path)
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 1
        del file["index/lengths"]
    with pytest.raises(UserError, match=r"a\.h5: a clip store without a whole index; remove it"):
        ClipStore(path)
    with h5py.File(path, "a") as file:
        del file["index"]
    with pytest.raises(UserError, match=r"a\.h5: a clip store without a whole index; remove it"):
        ClipStore(path)
    with h5py.File(path) as file:
        parameters = read_attributes(file)["parameters"]
    with pytest.raises(UserError, match="without a whole index"):
        StoreWriter(path, attributes() | dict(parameters=parameters)).finished()
    with h5py.File(path, "a") as file:
        del file.attrs["size"]
    with pytest.raises(UserError, match="damaged"):
        ClipStore(path)


@pytest.mark.parametrize(
    ("name", "value"), [("fps", 30), ("fps", 25.5), ("sample_rate", 8000), ("fps", [25, 25])]
)
def test_other_rates_are_refused_in_every_file(tmp_path, name, value):
    for word in ("ABOUT", "BEING"):
        writer = StoreWriter(tmp_path / f"{word}.h5", attributes())
        writer.add(f"{word}/train/{word}_00001", clip())
        writer.pack()
    with h5py.File(tmp_path / "BEING.h5", "a") as file:
        file.attrs[name] = value
    for open_it in (lambda: ClipStore(tmp_path), lambda: StoreWriter(tmp_path / "BEING.h5", attributes())):
        with pytest.raises(UserError, match=r"BEING\.h5: ") as refused:
            open_it()
        assert "\n" not in str(refused.value)
    assert len(ClipStore(tmp_path / "ABOUT.h5")) == 1


def test_a_clip_that_is_not_there(tmp_path):
    store = ClipStore(make_store(tmp_path / "a.h5", clips=2, frames=4, size=SIZE))
    with pytest.raises(UserError, match="has no clip s9/x; the ids look like s1/clip0"):
        store["s9/x"]


def first_landmark(store: ClipStore, answers) -> None:
    answers.put(float(store["s1/clip0"].landmarks[0, 0, 0]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_is_usable_in_other_processes(tmp_path, method):
    store = ClipStore(make_store(tmp_path / "a.h5", clips=2, frames=4, size=SIZE))
    here = float(store["s1/clip0"].landmarks[0, 0, 0])
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    worker = context.Process(target=first_landmark, args=(store, answers))
    worker.start()
    assert answers.get(timeout=60) == here
    worker.join()
    assert pickle.loads(pickle.dumps(store)).ids == store.ids
