import csv
import json
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.store import ClipStore
from preprocess import grid, lrw, video
from preprocess.making import pieces
from preprocess.making.pieces import Ahead, Behind, stretch, video_of
from tests.raw_corpus import (
    FACE,
    make_pictures_video,
    make_video,
    save_landmarks,
    tone,
    write_wav,
)
from tests.synthetic import draw_face, talking_landmarks
from tests.utils.test_detector import portrait
from utils.errors import UserError, run
from utils.face.alignment import apply_transform, denoise_moving
from utils.media.write import VideoWriter

ARRAYS = ("landmarks", "source_landmarks", "transforms", "audio", "mfcc")


def make_film(path: Path, frames: int, fps: int = 25, shots: int = 1) -> np.ndarray:
    """Writes a video of a head that sways, its sound ever louder -> its landmarks (T, 68, 2), source pixels"""
    landmarks, _ = talking_landmarks(frames, 0, FACE)
    shifts = np.stack([40 + 15 * np.sin(np.arange(frames) / 6), 40 + 10 * np.cos(np.arange(frames) / 8)], -1)
    shifts = np.round(shifts).astype(int)
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = tone(frames * 16000 // fps) * np.linspace(0, 1, frames * 16000 // fps)
    with VideoWriter(path, (200, 200), fps, audio=16000) as film:
        for number, (points, (x, y)) in enumerate(zip(landmarks, shifts, strict=True)):
            shade = 40 + 180 * (number * shots // frames % 2)
            picture = np.full((200, 200, 3), shade, np.uint8)
            picture[y : y + FACE, x : x + FACE] = np.maximum(draw_face(points, (220, 180, 150), FACE), shade)
            film.write(picture)
            film.write_audio(sound[number * 16000 // fps : (number + 1) * 16000 // fps])
    return landmarks + shifts[:, None].astype(np.float32)


def preprocess(raw: Path, store: Path, *options: object, module=video) -> ClipStore:
    landmarks = raw.parent / "landmarks"
    given = ["--landmarks", landmarks] if landmarks.exists() else []
    words = [str(word) for word in (raw, store, "--workers", 1, *given, *options)]
    module.main(module.parse_args(words))
    return ClipStore(store)


def skipped(store: Path) -> dict[str, str]:
    path = store.with_name(f"{store.stem}_skipped.csv")
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["clip"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """One film of 110 frames, of a speaker named id1, with its landmarks in raw/../landmarks"""
    folder = tmp_path_factory.mktemp("videos")
    points = make_film(folder / "raw" / "id1" / "clip" / "film.mp4", 110)
    save_landmarks(folder / "landmarks", "id1/clip/film", points)
    text = "0 12500 bin\n12500 37500 blue\n37500 50000 sil\n50000 62500 at\n80000 100000 now\n"
    (folder / "raw" / "id1" / "clip" / "film.align").write_text(text)
    return folder / "raw"


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory) -> ClipStore:
    return preprocess(raw, tmp_path_factory.mktemp("whole") / "whole.h5")


@pytest.fixture(scope="module")
def cut(raw, tmp_path_factory) -> ClipStore:
    return preprocess(raw, tmp_path_factory.mktemp("cut") / "cut.h5", "--seconds", 2)


def test_heads_move_in_a_crop_that_does_not(whole):
    (clip,) = whole
    assert (clip.id, clip.speaker, clip.length, clip.metadata.get("first_frame")) == (
        "id1/clip/film",
        "id1",
        110,
        None,
    )
    assert whole.crop == "static" and "smoothing" not in whole.attributes["parameters"]
    transforms = clip.transforms
    np.testing.assert_array_equal(transforms, transforms[[0] * 110])
    assert transforms[0, 0, 0] == transforms[0, 1, 1] and transforms[0, 0, 1] == transforms[0, 1, 0] == 0
    steady = apply_transform(transforms, denoise_moving(clip.source_landmarks))
    np.testing.assert_allclose(clip.landmarks, steady, atol=1e-3)
    assert np.ptp(clip.landmarks.mean(1), axis=0).min() > 6  # pixels that the face moves
    assert clip.landmarks.min() > 0 and clip.landmarks.max() < 127
    frames = clip.frames().permute(0, 2, 3, 1).numpy().astype(int)
    assert frames.max(-1).min() > 25  # nothing black
    for frame, points in zip(frames[::9], clip.landmarks[::9], strict=True):
        x, y = np.round(points[30]).astype(int)
        assert np.abs(frame[y, x] - (220, 180, 150)).max() < 25  # the nose is where it should be


def test_pieces_are_the_whole_in_parts(whole, cut):
    (one,) = whole
    assert cut.ids == ["id1/clip/film_000", "id1/clip/film_001"]
    assert skipped(cut.path) == {"id1/clip/film_002": "10 frames with a face, of its 10; 25 would be needed"}
    for number, clip in enumerate(cut):
        part = slice(50 * number, 50 * number + 50)
        assert clip.length == 50 and clip.metadata["first_frame"] == str(50 * number)
        np.testing.assert_array_equal(clip.source_landmarks, one.source_landmarks[part])
        np.testing.assert_array_equal(clip.audio, one.audio[640 * part.start : 640 * part.stop])
        back = clip.frames().float().mean((1, 2, 3)) - one.frames(range(part.start, part.stop)).float().mean(
            (1, 2, 3)
        )
        assert back.abs().max() < 25


def test_pieces_have_the_words_that_are_said_in_them(whole, cut):
    assert whole["id1/clip/film"].transcript == "bin blue at now"
    assert [clip.transcript for clip in cut] == ["bin blue", "at now"]
    assert [clip.metadata["words"] for clip in cut] == ["0 0.5 bin; 0.5 1.5 blue", "2 2.5 at; 3.2 4 now"]


def test_the_last_piece_counts_them_and_a_finished_video_is_not_read_again(
    raw, tmp_path, monkeypatch, capsys
):
    store = preprocess(raw, tmp_path / "a.h5", "--seconds", 1.5)
    assert [clip.metadata.get("pieces") for clip in store] == [None, None, "3"]
    monkeypatch.setattr(pieces, "read_video", None)
    preprocess(raw, tmp_path / "a.h5", "--seconds", 1.5)
    assert "3 clips, 0 of them new; 0 skipped" in capsys.readouterr().out


def test_a_killed_run_goes_on_in_the_midst_of_a_video(raw, cut, tmp_path, monkeypatch):
    calls, cut_out = [], pieces.cut_out

    def interrupted(clip, *arguments):
        calls.append(clip.metadata["first_frame"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return cut_out(clip, *arguments)

    monkeypatch.setattr(pieces, "cut_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        preprocess(raw, tmp_path / "a.h5", "--seconds", 2)
    store = preprocess(raw, tmp_path / "a.h5", "--seconds", 2)
    assert calls == ["0", "50", "50"] and store.ids == cut.ids
    for one, other in zip(store, cut, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert [bytes(code) for code in one.encoded()] == [bytes(code) for code in other.encoded()]


def test_workers_make_the_same_pieces(raw, cut, tmp_path):
    store = preprocess(raw, tmp_path / "a.h5", "--seconds", 2, "--workers", 2)
    assert store.ids == cut.ids
    for one, other in zip(store, cut, strict=True):
        assert [bytes(code) for code in one.encoded()] == [bytes(code) for code in other.encoded()]


def test_memory_holds_few_pictures(raw, tmp_path, monkeypatch):
    alive, most, read_video = 0, 0, pieces.read_video

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def watched(path: Path):
        nonlocal alive, most
        for frame in read_video(path):
            frame = frame.copy()
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame

    monkeypatch.setattr(pieces, "read_video", watched)
    preprocess(raw, tmp_path / "a.h5")
    assert most <= 8


def test_shots_are_pieces(tmp_path):
    points = make_film(tmp_path / "raw" / "news.mp4", 90, shots=3)
    save_landmarks(tmp_path / "landmarks", "news/news", points)
    store = preprocess(tmp_path / "raw", tmp_path / "a.h5")
    assert [(clip.id, clip.length) for clip in store] == [(f"news/news_{n:03}", 30) for n in range(3)]
    assert [clip.metadata["first_frame"] for clip in store] == ["0", "30", "60"]


def test_other_rates_become_25_frames_a_second(tmp_path):
    points = make_film(tmp_path / "raw" / "a.mp4", 90, fps=30)
    save_landmarks(tmp_path / "landmarks", "a/a", points[np.round(np.arange(75) * 1.2).astype(int)])
    store = preprocess(tmp_path / "raw", tmp_path / "a.h5", "--seconds", 2)
    assert [(clip.id, clip.length) for clip in store] == [("a/a_000", 50), ("a/a_001", 25)]
    peak = [np.abs(clip.audio[-640:]).max() for clip in store]
    assert peak == pytest.approx([0.5 * 2 / 3, 0.5], abs=0.03)  # the sound grows evenly up to 3 s


def test_the_longest_stretch_with_a_face_is_kept(tmp_path):
    points = make_film(tmp_path / "raw" / "a.mp4", 80)
    points[2:5] = points[20:40] = np.nan
    save_landmarks(tmp_path / "landmarks", "a/a", points)
    (clip,) = preprocess(tmp_path / "raw", tmp_path / "a.h5")
    assert (clip.id, clip.length) == ("a/a", 40)
    assert clip.metadata == dict(first_frame="40", source_frames="80")
    np.testing.assert_array_equal(clip.source_landmarks, points[40:])


def test_stretches():
    seen = np.ones(50, bool)
    seen[[3, 4, 5, 6, 7, 20, 21, 22, 23, 24, 25, 49]] = False
    points = np.where(seen[:, None, None], 1.0, np.nan) * np.ones((50, 68, 2))
    assert stretch(points, 10) == slice(26, 49)
    with pytest.raises(UserError, match="23 frames with a face, of its 50; 25 would be needed"):
        stretch(points, 25)
    with pytest.raises(UserError, match="no face in its 50 frames"):
        stretch(points * np.nan, 1)


def test_dlib_finds_moving_heads_and_their_absence(tmp_path):
    faces, nobody = [portrait(left=2 * t) for t in range(26)], [np.full_like(portrait(), 90)] * 6
    make_pictures_video(tmp_path / "raw" / "a.mp4", [*faces, *nobody])
    make_pictures_video(tmp_path / "raw" / "b.mp4", nobody)
    store = preprocess(tmp_path / "raw", tmp_path / "a.h5", "--size", 64)
    (clip,) = store
    assert clip.id == "a/a_000" and clip.length == 26 and clip.frames().shape[-2:] == (64, 64)
    assert np.diff(clip.landmarks.mean(1)[:, 0]).min() > 0
    assert clip.landmarks.min() > 0 and clip.landmarks.max() < 63
    reason = "no face in its 6 frames"
    assert skipped(store.path) == {"a/a_001": reason, "b/b": reason}


def test_a_damaged_video_keeps_what_came_before(raw, tmp_path, monkeypatch):
    read_video = pieces.read_video

    def damaged(path: Path):
        for number, frame in enumerate(read_video(path)):
            if number == 70:
                raise UserError(f"{path}: frame 70 is damaged")
            yield frame

    monkeypatch.setattr(pieces, "read_video", damaged)
    store = preprocess(raw, tmp_path / "a.h5", "--seconds", 2)
    assert store.ids == ["id1/clip/film_000"]
    assert "frame 70 is damaged" in skipped(store.path)["id1/clip/film"]


def test_bad_videos_are_skipped_and_listed(tmp_path):
    raw, landmarks = tmp_path / "raw", tmp_path / "landmarks"
    points = make_film(raw / "a" / "good.mp4", 30)
    for name in ("few", "many", "far"):
        (raw / "a" / f"{name}.mp4").write_bytes((raw / "a" / "good.mp4").read_bytes())
    (raw / "a" / "text.mp4").write_text("no video")
    make_video(raw / "a" / "mute.mp4", 30, sound=False)
    far = points + np.linspace(0, 600, 30, dtype=np.float32)[:, None, None]
    given = dict(good=points, few=points[:20], many=np.concatenate([points, points]), far=far, mute=points)
    for name, array in (given | dict(text=points)).items():
        save_landmarks(landmarks, f"a/{name}", array)
    store = preprocess(raw, tmp_path / "a.h5")
    assert store.ids == ["a/good"]
    expected = dict(
        few="holds 20 frames, not 30",
        many="holds 60 frames, not 30",
        far="the head moves so far",
        mute="has no sound",
        text="neither video nor sound",
    )
    reasons = skipped(store.path)
    assert set(reasons) == {f"a/{name}" for name in expected}
    for name, part in expected.items():
        assert part in reasons[f"a/{name}"], name


def test_ahead_and_behind_see_the_same():
    frames = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 0, 0, 200, 200, 200, 200, 200)]
    ahead, behind = Ahead(iter(frames), 3), Behind(iter(frames))
    lengths = []
    while not ahead.over:
        lengths.append(sum(1 for _ in ahead.piece()))
    assert lengths == [3, 3, 2]
    assert [frame.max() for frame in behind.between(2, 4)] == [0, 200]
    assert len(list(behind.between(5, 8))) == 3


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_any_folder(tmp_path, capsys):
    raw = touch(
        tmp_path / "raw", "id1/c/00001.mp4", "id1/c/00002.MP4", "b/deep/er/x.mkv", "me.mov", "me.wav",
        "notes.pdf", ".hidden.mp4", "b/deep/er/x.mp4",
    )  # fmt: skip
    sounds = touch(tmp_path / "aac", "id1/c/00001.m4a", "me.m4a")
    clips = {clip.id: clip for clip in video.find_clips(raw, sounds)}
    assert list(clips) == ["b/deep/er/x", "id1/c/00001", "id1/c/00002", "me/me"]
    assert [clip.speaker for clip in clips.values()] == ["b", "id1", "id1", "me"]
    assert clips["id1/c/00001"].sound == sounds / "id1/c/00001.m4a" and clips["id1/c/00002"].sound is None
    assert clips["me/me"].sound == raw / "me.wav" and clips["me/me"].source == "me.mov"
    assert clips["b/deep/er/x"].video == raw / "b/deep/er/x.mkv"
    assert "x.mp4: is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/x.mp4", "a/x_001.mp4"], "x_001.mp4: is called as a piece of .*x.mp4 would be"),
        (["a/x.mp4", "a/x/y.mp4"], "x.mp4: is called as the folder a/x is"),
        (["x.pdf"], "no videos in this folder"),
    ],
)
def test_names_that_would_be_mixed_up(tmp_path, names, message):
    with pytest.raises(UserError, match=message):
        video.find_clips(touch(tmp_path, *names))


def test_names_that_end_in_numbers_are_no_pieces(tmp_path):
    assert [clip.id for clip in video.find_clips(touch(tmp_path, "a/x_001.mp4", "a/x_002.mp4"))] == [
        "a/x_001",
        "a/x_002",
    ]
    assert [video_of(id) for id in ("a/x_001", "a/x_1000", "a/x_01", "a/00001")] == [
        "a/x",
        "a/x",
        "a/x_01",
        "a/00001",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("So it\nbegins. ", "So it begins."),
        ("Text:  HELLO YOU\nConf:  5\n\nWORD START END ASDSCORE\nHELLO 0.1 0.4 3.5\n", "HELLO YOU"),
        ("Identity  : \tid00012\nReference : \tx\n", ""),
        ("x" * 200_000, ""),
        ("\0\0", ""),
        ("", ""),
    ],
)
def test_transcripts_in_text_files(tmp_path, text, said):
    (tmp_path / "a.txt").write_text(text)
    assert video.read_text(tmp_path / "a.txt") == said
    assert video.read_text(tmp_path / "none.txt") == ""


def test_a_sound_beside_the_video(tmp_path):
    points = make_film(tmp_path / "raw" / "a" / "x.mp4", 30)
    write_wav(tmp_path / "raw" / "a" / "x.wav", 0.1 * np.ones(25 * 640))
    save_landmarks(tmp_path / "landmarks", "a/x", points)
    (clip,) = preprocess(tmp_path / "raw", tmp_path / "a.h5")
    assert clip.audio[: 25 * 640] == pytest.approx(0.1, abs=1e-3) and not clip.audio[25 * 640 :].any()


def test_grid_and_lrw_have_static_crops_too(raw, whole, tmp_path):
    folder = tmp_path / "WORD" / "train"
    folder.mkdir(parents=True)
    source = raw / "id1" / "clip" / "film.mp4"
    (folder / "WORD_00001.mp4").write_bytes(source.read_bytes())
    points = np.load(raw.parent / "landmarks" / "id1" / "clip" / "film.npy")
    for name in ("film", "WORD_00001"):
        save_landmarks(tmp_path / "given", name, points)
    landmarks = ["--crop", "static", "--landmarks", tmp_path / "given"]
    stores = [
        preprocess(raw, tmp_path / "grid.h5", *landmarks, module=grid),
        preprocess(tmp_path, tmp_path / "lrw", *landmarks, module=lrw),
    ]
    (one,) = whole
    for store in stores:
        (clip,) = store
        assert store.crop == "static"
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(clip, name), getattr(one, name))


def test_aligned_faces_of_any_folder(raw, tmp_path):
    store = preprocess(raw, tmp_path / "a.h5", "--crop", "aligned")
    (clip,) = store
    assert store.crop == "aligned" and np.ptp(clip.landmarks.mean(1), axis=0).max() < 6
    assert np.ptp(clip.transforms[:, 0, 2]) > 10


def test_one_store_has_crops_of_one_kind(raw, tmp_path):
    preprocess(raw, tmp_path / "a.h5", "--seconds", 2)
    with pytest.raises(UserError, match="was begun with crop static, not aligned"):
        preprocess(raw, tmp_path / "a.h5", "--crop", "aligned")
    with pytest.raises(UserError, match=r"was begun with seconds 2\.0, not 20\.0"):
        preprocess(raw, tmp_path / "a.h5")
    landmarks = ["--landmarks", raw.parent / "landmarks" / "id1" / "clip"]
    preprocess(raw, tmp_path / "b.h5", *landmarks, module=grid)
    with pytest.raises(UserError, match="was begun with crop aligned, not static"):
        preprocess(raw, tmp_path / "b.h5", "--crop", "static", *landmarks, module=grid)


def test_a_store_from_before_crops_had_kinds_is_aligned(raw, tmp_path, capsys):
    options = [tmp_path / "a.h5", "--landmarks", raw.parent / "landmarks" / "id1" / "clip"]
    preprocess(raw, *options, module=grid)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        parameters = json.loads(file.attrs["parameters"])
        assert parameters.pop("crop") == "aligned"
        file.attrs["parameters"] = json.dumps(parameters)
    assert preprocess(raw, *options, module=grid).crop == "aligned"
    assert "1 clips, 0 of them new" in capsys.readouterr().out
    with pytest.raises(UserError, match="was begun with crop aligned, not static"):
        preprocess(raw, *options, "--crop", "static", module=grid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none", "a.h5"], "none: no such folder"),
        (["raw", "a"], "give a name that ends so"),
        (["raw", "a.h5", "--seconds", "0"], "--seconds 0"),
        (["raw", "a.h5", "--seconds", "nan"], "--seconds nan"),
        (["raw", "a.h5", "--sound", "none"], "none: no such folder of sounds"),
        (["raw", "a.h5", "--smoothing", "2"], "a static crop does not move"),
        (["raw", "a.h5", "--crop", "wide"], "invalid choice: 'wide'"),
        (["raw", "a.h5"], "all 1 clips were skipped"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "bad.mp4").write_text("no video")
    assert run(video.main, lambda: video.parse_args(["--workers", "1", *options])) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and message in lines[-1]
