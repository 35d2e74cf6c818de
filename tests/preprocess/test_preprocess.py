import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from data.store import ClipStore
from preprocess import grid, lrw
from preprocess.making import corpus
from preprocess.making.clip import RawClip, face_span
from tests.raw_corpus import make_pictures_video, make_video, save_landmarks, tone, write_wav
from tests.utils.test_detector import portrait
from utils.audio.mfcc import windows
from utils.errors import UserError, run
from utils.face.alignment import apply_transform
from utils.face.landmarks import STABLE, TEMPLATE

ARRAYS = ("landmarks", "source_landmarks", "transforms", "audio", "mfcc")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A corpus of drawn faces in GRID's layouts, with its landmarks in raw/../landmarks"""
    folder = tmp_path_factory.mktemp("grid")
    raw, landmarks = folder / "raw", folder / "landmarks"
    for number, name in enumerate(("s1/bbaf2n.mp4", "s1/bbaf3s.mov", "s2/video/mpg_6000/lwae8n.mkv")):
        points = make_video(raw / name, frames=8 + number, seed=number)
        save_landmarks(landmarks, f"{name.split('/')[0]}/{Path(name).stem}", points)
    (raw / "s1" / "align").mkdir()
    (raw / "s1" / "align" / "bbaf2n.align").write_text("0 5 sil\n5 9 bin\n9 12 blue\n12 13 sp\n13 20 sil\n")
    (raw / "s2" / "align").mkdir()
    (raw / "s2" / "align" / "lwae8n.align").write_text("0 5 sil\n5 9 lay\n9 20 white\n")
    return raw


def preprocess(module, raw: Path, store: Path, *options: str) -> None:
    landmarks = ["--landmarks", str(raw.parent / "landmarks")] if (raw.parent / "landmarks").exists() else []
    module.main(module.parse_args([str(raw), str(store), "--workers", "1", *landmarks, *options]))


def assert_equal_stores(one: ClipStore, other: ClipStore) -> None:
    assert one.ids == other.ids
    for a, b in zip(one, other, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert [bytes(code) for code in a.encoded()] == [bytes(code) for code in b.encoded()]


def skipped(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["clip"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def store(raw, tmp_path_factory) -> ClipStore:
    path = tmp_path_factory.mktemp("store") / "grid.h5"
    preprocess(grid, raw, path)
    return ClipStore(path)


def test_grid_clips_are_found_in_every_layout(store):
    assert store.ids == ["s1/bbaf2n", "s1/bbaf3s", "s2/lwae8n"]
    assert [clip.length for clip in store] == [8, 9, 10]
    assert [clip.speaker for clip in store] == ["s1", "s1", "s2"]
    assert [clip.transcript for clip in store] == ["bin blue", "", "lay white"]
    assert [clip.metadata.get("words") for clip in store] == [
        "0.005 0.009 bin; 0.009 0.012 blue",
        None,
        "0.005 0.009 lay; 0.009 0.02 white",
    ]
    assert store["s2/lwae8n"].source == "s2/video/mpg_6000/lwae8n.mkv"
    assert store["s1/bbaf2n"].source_size == (160, 128)
    assert sorted(file.name for file in store.path.parent.iterdir()) == ["grid.h5", "grid_contact.png"]


def test_faces_are_aligned(store):
    for clip in store:
        assert clip.landmarks.shape == clip.source_landmarks.shape == (clip.length, 68, 2)
        np.testing.assert_allclose(
            apply_transform(clip.transforms, clip.source_landmarks), clip.landmarks, atol=1e-3
        )
        assert np.abs(clip.landmarks[:, STABLE] - TEMPLATE[STABLE]).max() < 1.5
        frames = clip.frames().permute(0, 2, 3, 1).numpy().astype(int)
        assert frames.shape == (clip.length, 128, 128, 3)
        for frame, landmarks in zip(frames, clip.landmarks, strict=True):
            x, y = np.round(landmarks[48:60].mean(0)).astype(int)
            assert frame[y - 6 : y + 6, x, 0].max() > frame[y - 6 : y + 6, x, 1].max() + 20  # red lips
            x, y = np.round(landmarks[30]).astype(int)
            assert np.abs(frame[y, x] - (220, 180, 150)).max() < 25  # the nose has the skin's colour


def test_sound_fits_the_pictures(store):
    for clip in store:
        assert len(clip.audio) == 640 * clip.length and clip.mfcc.shape == (4 * clip.length, 12)
        expected = windows(clip.audio, clip.length)[3:-4, 12:16].reshape(-1, 12)
        np.testing.assert_allclose(clip.mfcc[12:-16], expected, atol=0.05)
        assert 0.4 < np.abs(clip.audio).max() < 0.65


def test_the_store_says_how_it_was_made(store):
    notes = store.attributes
    assert (notes["fps"], notes["sample_rate"], notes["size"]) == (25, 16000, 128)
    crops = dict(crop="aligned", size=128, smoothing=2.0, quality=95)
    assert notes["parameters"] == crops | dict(landmarks="precomputed")
    assert set(notes["versions"]) == set(corpus.PACKAGES) and notes["versions"]["numpy"] == np.__version__


def test_again_is_resume(raw, tmp_path, capsys):
    path = tmp_path / "grid.h5"
    preprocess(grid, raw, path, "--limit", "1")
    assert "1 clips, 1 of them new; 0 skipped" in capsys.readouterr().out
    preprocess(grid, raw, path)
    assert "3 clips, 2 of them new" in capsys.readouterr().out
    before = path.stat().st_mtime_ns
    preprocess(grid, raw, path)
    assert "3 clips, 0 of them new" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="was begun with size 128, not 64"):
        preprocess(grid, raw, path, "--size", "64")


def test_a_killed_run_loses_only_the_clip_in_work(raw, store, tmp_path, monkeypatch):
    path, calls, read_clip = tmp_path / "grid.h5", [], corpus.read_clip

    def interrupted(clip, crop, detector):
        calls.append(clip.id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read_clip(clip, crop, detector)

    monkeypatch.setattr(corpus, "read_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        preprocess(grid, raw, path)
    assert not path.exists()
    preprocess(grid, raw, path)
    assert calls == ["s1/bbaf2n", "s1/bbaf3s", "s1/bbaf3s", "s2/lwae8n"]
    assert_equal_stores(ClipStore(path), store)


def test_workers_and_torchrun_make_the_same_store(raw, store, tmp_path):
    command = [raw, tmp_path / "ranks.h5", "--landmarks", raw.parent / "landmarks", "--workers", "1"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, "-m", "preprocess.grid", *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "3 clips, 3 of them new; 0 skipped" in done.stdout
    assert_equal_stores(ClipStore(tmp_path / "ranks.h5"), store)
    preprocess(grid, raw, tmp_path / "workers.h5", "--workers", "2")
    assert_equal_stores(ClipStore(tmp_path / "workers.h5"), store)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_name_that_is_not_utf_8_is_skipped_and_the_others_are_not(raw, tmp_path, capsys):
    odd = os.fsdecode(b"caf\xe9")
    copy, landmarks = tmp_path / "raw" / "s1", tmp_path / "landmarks" / "s1"
    copy.mkdir(parents=True), landmarks.mkdir(parents=True)
    for name in (odd, "line\nbreak", "plain"):
        shutil.copy(raw / "s1" / "bbaf2n.mp4", copy / f"{name}.mp4")
        shutil.copy(raw.parent / "landmarks" / "s1" / "bbaf2n.npy", landmarks / f"{name}.npy")
    path = tmp_path / f"{odd}.h5"
    words = [str(word) for word in (copy.parent, path, "--workers", 1, "--landmarks", landmarks.parent)]
    assert run(grid.main, lambda: grid.parse_args(words)) == 0
    assert ClipStore(path).ids == ["s1/plain"]
    assert "1 clips, 1 of them new; 2 skipped" in capsys.readouterr().out
    reasons = skipped(tmp_path / f"{odd}_skipped.csv")
    assert set(reasons) == {"s1/caf\\udce9", "s1/line\nbreak"} and "not UTF-8" in reasons["s1/caf\\udce9"]
    assert "control characters" in reasons["s1/line\nbreak"]


class Killer(RawClip):
    """A clip that kills the process that gets it to read"""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_clip_that_kills_its_worker_is_skipped_and_listed(raw, tmp_path, capsys):
    options = ["--landmarks", str(raw.parent / "landmarks"), "--workers", "2"]
    args = grid.parse_args([str(raw), str(tmp_path / "grid.h5"), *options])
    first, second, third = grid.find_clips(raw)
    clips = [first, Killer(second.id, second.video, second.source), third]
    corpus.make_store(args.store, [(args.store, clips)], args)
    assert ClipStore(args.store).ids == ["s1/bbaf2n", "s2/lwae8n"]
    (skip,) = skipped(tmp_path / "grid_skipped.csv").items()
    assert skip[0] == "s1/bbaf3s" and "the process that read it died" in skip[1]
    assert "2 clips, 2 of them new; 1 skipped" in capsys.readouterr().out


def test_bad_clips_are_skipped_and_listed(tmp_path, capsys):
    raw, landmarks = tmp_path / "raw", tmp_path / "landmarks"
    points = make_video(raw / "s1" / "good.mp4", frames=12)
    for name in ("gap", "lost", "short", "wrong", "tiny", "wav"):
        make_video(raw / "s1" / f"{name}.mp4", frames=12, sound=name != "wav")
    make_video(raw / "s1" / "mute.mp4", frames=12, sound=False)
    write_wav(raw / "s1" / "wav.wav", tone(12 * 1000, 25000), 25000)
    (raw / "s1" / "damaged.mp4").write_bytes((raw / "s1" / "good.mp4").read_bytes()[:2000])
    (raw / "s1" / "empty.mp4").touch()
    for name in ("good", "mute", "wav", "damaged", "empty"):
        save_landmarks(landmarks, f"s1/{name}", points)
    gap, lost = points.copy(), points.copy()
    gap[3:8], lost[3:9] = np.nan, np.nan
    for name, array in dict(
        gap=gap, lost=lost, short=points[:5], wrong=points[..., 0], tiny=points / 20
    ).items():
        save_landmarks(landmarks, f"s1/{name}", array)
    (landmarks / "s1" / "none.npy").write_text("no landmarks")
    make_video(raw / "s1" / "none.mp4", frames=12)

    preprocess(grid, raw, tmp_path / "grid.h5")
    store, reasons = ClipStore(tmp_path / "grid.h5"), skipped(tmp_path / "grid_skipped.csv")
    assert store.ids == ["s1/gap", "s1/good", "s1/wav"]
    assert "3 clips, 3 of them new; 8 skipped (reasons in" in capsys.readouterr().out
    expected = dict(
        damaged="damaged.mp4",
        empty="the file is empty",
        lost="no face in frame 3 and the 5 after it",
        mute="has no sound",
        none="no landmarks can be read",
        short="(5, 68, 2), not (12, 68, 2)",
        tiny="the face is too small",
        wrong="(12, 68), not",
    )
    assert set(reasons) == {f"s1/{name}" for name in expected}
    for name, part in expected.items():
        assert part in reasons[f"s1/{name}"], name
    between = store["s1/gap"].source_landmarks[2:9]
    np.testing.assert_allclose(np.diff(between, n=2, axis=0), 0, atol=1e-3)
    assert 0.4 < np.abs(store["s1/wav"].audio).max() < 0.6


def test_dlib_finds_and_follows_the_face(tmp_path):
    frames = [portrait(left=t) for t in range(8)]
    frames[4] = np.full_like(frames[4], 90)
    make_pictures_video(tmp_path / "raw" / "s1" / "astronaut.mp4", frames)
    make_pictures_video(tmp_path / "raw" / "s1" / "nobody.mp4", [data.coffee()[:200, :300]] * 7)
    preprocess(grid, tmp_path / "raw", tmp_path / "grid.h5", "--size", "64", "--quality", "101")
    clip = ClipStore(tmp_path / "grid.h5")["s1/astronaut"]
    assert clip.frames().shape == (8, 3, 64, 64) and bytes(clip.encoded()[0][1:4]) == b"PNG"
    moves = np.diff(clip.source_landmarks[:, STABLE].mean(1), axis=0)
    assert np.abs(moves - (1, 0)).max() < 0.7
    assert list(skipped(tmp_path / "grid_skipped.csv").values()) == ["no face in frame 0 and the 5 after it"]


def test_ends_without_a_face_are_cut_off_with_their_sound(tmp_path):
    pictures = [portrait(left=t) for t in range(20)]
    grey = [np.full_like(pictures[0], 130)] * 6
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * 640)
    videos = dict(early=pictures[:-6] + grey, late=grey + pictures[6:], whole=pictures)
    for name, frames in videos.items():
        video = make_pictures_video(tmp_path / "raw" / "s1" / f"{name}.mp4", frames)
        write_wav(video.with_suffix(".wav"), noise)
    preprocess(grid, tmp_path / "raw", tmp_path / "grid.h5")
    early, late, whole = ClipStore(tmp_path / "grid.h5")
    assert whole.metadata == {} and whole.length == 20
    for clip, first in ((early, 0), (late, 6)):
        assert clip.metadata == dict(first_frame=str(first), source_frames="20") and clip.length == 14
        np.testing.assert_array_equal(clip.audio, whole.audio[640 * first :][: 640 * 14])
        assert clip.mfcc.shape == (4 * 14, 12)
        assert np.abs(clip.source_landmarks - whole.source_landmarks[first:][:14]).mean() < 0.5
        assert np.abs(clip.landmarks[:, STABLE] - TEMPLATE[STABLE]).mean() < 3


def spans(seen: list[bool], shots: list[int]) -> slice:
    """What is kept of frames that show the face or not, in shots of these lengths"""
    frames = [
        np.full((8, 8, 3), 60 * (i % 2), np.uint8) for i, length in enumerate(shots) for _ in range(length)
    ]
    points = np.where(np.array(seen)[:, None, None], 1.0, np.nan) * np.ones((len(seen), 68, 2))
    return face_span(frames, points)


def test_a_face_dreamt_of_in_a_damaged_beginning_is_cut_off():
    assert spans([False] * 3 + [True] + [False] + [True] * 15, [5, 15]) == slice(5, 20)
    assert spans([True] * 16 + [False, True, False, False], [16, 4]) == slice(0, 16)
    assert spans([False] * 3 + [True] * 17, [20]) == slice(3, 20)
    assert spans([True] * 20, [5, 15]) == slice(
        0, 20
    )  # a cut alone, or a flash: the face is there all the time
    assert spans([False] * 20, [20]) == slice(0, 20)


def test_too_little_left_of_a_clip_is_none():
    with pytest.raises(UserError, match="frames 8 to 19 of its 20"):
        spans([False] * 8 + [True] * 12, [20])
    with pytest.raises(UserError, match="frames 8 to 19 of its 20"):
        spans([False] + [True] * 19, [8, 12])


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """A corpus in LRW's layout"""
    folder = tmp_path_factory.mktemp("lrw")
    clips = (
        "ABOUT/train/ABOUT_00001",
        "ABOUT/test/ABOUT_00001",
        "ABOUT/val/ABOUT_00001",
        "BEING/train/BEING_00002",
    )
    for seed, id in enumerate(clips):
        save_landmarks(
            folder / "landmarks", id, make_video(folder / "raw" / f"{id}.mp4", frames=6, seed=seed)
        )
    notes = folder / "raw" / "ABOUT" / "train" / "ABOUT_00001.txt"
    notes.write_text("Channel: BBC One\nDuration: 0.24 seconds\n")
    (folder / "raw" / "README.txt").write_text("not a word")
    return folder / "raw"


def test_lrw(words, tmp_path, capsys):
    preprocess(lrw, words, tmp_path / "lrw")
    store = ClipStore(tmp_path / "lrw")
    ids = [
        "ABOUT/test/ABOUT_00001",
        "ABOUT/train/ABOUT_00001",
        "ABOUT/val/ABOUT_00001",
        "BEING/train/BEING_00002",
    ]
    assert store.ids == ids
    assert [clip.split for clip in store] == ["test", "train", "val", "train"]
    assert store["BEING/train/BEING_00002"].transcript == "BEING"
    assert store["ABOUT/train/ABOUT_00001"].metadata == {"Channel": "BBC One", "Duration": "0.24 seconds"}
    assert sorted(file.name for file in store.path.iterdir()) == ["ABOUT.h5", "BEING.h5", "contact.png"]
    assert "4 clips, 4 of them new" in capsys.readouterr().out
    preprocess(lrw, words, tmp_path / "lrw")
    assert "4 clips, 0 of them new" in capsys.readouterr().out


def test_a_chosen_list_of_clips(words, tmp_path):
    (tmp_path / "ids.txt").write_text("BEING/train/BEING_00002\n")
    preprocess(lrw, words, tmp_path / "lrw", "--ids", str(tmp_path / "ids.txt"))
    assert ClipStore(tmp_path / "lrw").ids == ["BEING/train/BEING_00002"]


def test_landmarks_by_name_where_names_are_unique(raw, tmp_path):
    flat = tmp_path / "flat"
    for file in (raw.parent / "landmarks").rglob("*.npy"):
        save_landmarks(flat, file.stem, np.load(file))
    grid.main(
        grid.parse_args([str(raw), str(tmp_path / "grid.h5"), "--workers", "1", "--landmarks", str(flat)])
    )
    assert len(ClipStore(tmp_path / "grid.h5")) == 3


def test_a_transcript_serves_without_times(tmp_path):
    (tmp_path / "s1").mkdir()
    for name, text in dict(bad="0 x bin\n9 12 blue\n", none="0 9 sil\n").items():
        (tmp_path / "s1" / f"{name}.mp4").touch()
        (tmp_path / "s1" / f"{name}.align").write_text(text)
    clips = grid.find_clips(tmp_path)
    assert [(clip.transcript, clip.metadata) for clip in clips] == [("bin blue", {}), ("", {})]


def test_a_speakers_own_folder(raw, tmp_path):
    assert [clip.id for clip in grid.find_clips(raw / "s1")] == ["s1/bbaf2n", "s1/bbaf3s"]
    assert [clip.id for clip in grid.find_clips(raw / "s2")] == ["s2/lwae8n"]
    assert grid.find_clips(raw / "s2")[0].transcript == "lay white"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none", "a.h5"], "none: no such folder"),
        (["empty", "a.h5"], "empty: no videos in this folder"),
        (["raw", "a.txt"], "give a name that ends so"),
        (["raw", "a.h5", "--size", "3"], "--size 3"),
        (["raw", "a.h5", "--quality", "0"], "--quality 0"),
        (["raw", "a.h5", "--landmarks", "none"], "none: no such folder of landmarks"),
        (["raw", "a.h5", "--ids", "none"], "none: no such list"),
        (["raw", "a.h5", "--limit", "0"], "--limit 0"),
        (["raw", "a.h5", "--limit", "-1"], "--limit -1"),
        (["raw", "a.h5", "--workers", "0"], "--workers 0"),
        (["raw", "a.h5", "--workers", "-1"], "--workers -1"),
        (["raw", "a.h5", "--smoothing", "-2"], "--smoothing -2"),
        (["raw", "a.h5", "--smoothing", "nan"], "--smoothing nan"),
        (["raw", "a.h5", "--ids", "text.h5"], "none of its clips is chosen"),
        (["raw", "text.h5"], "text.h5: not an HDF5 file"),
        (["raw", "a.h5"], "all 1 clips were skipped"),
        (["raw", "a.h5/b.h5"], "cannot be written"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "raw" / "s1").mkdir(parents=True)
    (tmp_path / "raw" / "s1" / "bad.mp4").write_text("no video")
    if options[1] == "a.h5/b.h5":
        (tmp_path / "a.h5").write_text("a file where a folder should be")
        points = make_video(tmp_path / "raw" / "s1" / "bad.mp4", frames=6)
        save_landmarks(tmp_path / "landmarks", "s1/bad", points)
        options = [*options, "--landmarks", "landmarks"]
    assert run(grid.main, lambda: grid.parse_args(["--workers", "1", *options])) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and message in lines[-1]
