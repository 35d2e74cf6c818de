import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.splits import lists_of, split_grid
from data.store import ClipStore
from data.store_writer import ClipArrays, StoreWriter
from preprocess import words
from preprocess.making.clip import clip_mfcc
from tests.synthetic import make_clip
from utils.align import from_text, read_align, to_text
from utils.errors import UserError, run
from utils.face.landmarks import TEMPLATE
from utils.grammar import GRID_WORDS

SIZE, LENGTH = 32, 60
TIMES = (
    "0.04 0.2 bin; 0.2 0.4 blue; 0.4 0.44 at; 0.8 1.3 f; 1.31 1.95 two; 1.95 2.4 now"  # s; a frame takes 0.04
)


def sentence(seed: int = 0, first: int = 0, **metadata: str) -> ClipArrays:
    """60 frames, each with its number in landmark 0; those before `first` are cut off"""
    clip = make_clip(seed, LENGTH, SIZE)
    clip.landmarks[:, 0, 0] = np.arange(LENGTH)
    clip.audio = np.round(clip.audio * 32768) / 32768  # as a store gives it back
    arrays = {
        name: getattr(clip, name)[first:]
        for name in ("pictures", "landmarks", "source_landmarks", "transforms")
    }
    arrays |= dict(audio=clip.audio[640 * first :], mfcc=clip_mfcc(clip.audio)[4 * first :])
    notes = dict(first_frame=str(first), source_frames=str(LENGTH)) if first else {}
    return replace(clip, **arrays, metadata=notes | metadata)


def make_store(path: Path, clips: dict[str, ClipArrays]) -> ClipStore:
    notes = dict(parameters=dict(size=SIZE, landmarks="drawn"), versions={})
    writer = StoreWriter(path, dict(fps=25, sample_rate=16000, size=SIZE, template=TEMPLATE, **notes))
    for id, clip in clips.items():
        writer.add(id, clip)
    writer.pack()
    return ClipStore(path)


def make_words(store: ClipStore, path: Path, *options: str) -> ClipStore:
    words.main(words.parse_args([str(store.path), str(path), *options]))
    return ClipStore(path)


def skipped(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["clip"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    clips = {f"s{1 + n % 2}/clip{n}": sentence(n, words=TIMES, take="2") for n in range(4)}
    return make_store(tmp_path_factory.mktemp("words") / "grid.h5", clips)


@pytest.fixture(scope="module")
def cut(store) -> ClipStore:
    return make_words(store, store.path.with_name("words.h5"))


def test_the_middle_of_each_word_is_in_the_middle(store, cut):
    assert len(cut) == 4 * 6
    for clip in cut:
        source = store[clip.metadata["clip"]]
        number = int(clip.id.rsplit("_", 1)[1]) - 1
        spoken = from_text(TIMES, "")[number]
        assert clip.transcript == spoken.word == clip.id.split("/")[0]
        start = int((spoken.start + spoken.end) / 2 * 25 + 1e-6) - 14
        frames = np.clip(start + np.arange(29), 0, LENGTH - 1)
        np.testing.assert_array_equal(clip.landmarks[:, 0, 0], frames)
        first, last = (start + int(clip.metadata[name]) for name in ("word_first", "word_last"))
        assert first / 25 <= spoken.start + 1e-6 < (first + 1) / 25
        assert last / 25 < spoken.end - 1e-6 <= (last + 1) / 25
        for name in ("landmarks", "source_landmarks", "transforms"):
            np.testing.assert_array_equal(getattr(clip, name), getattr(source, name)[frames])
        codes = source.encoded()
        assert [bytes(code) for code in clip.encoded()] == [bytes(codes[frame]) for frame in frames]


def test_the_sound_is_that_of_the_frames_and_silent_beyond_the_clip(store, cut):
    beyond = 0
    for clip in cut:
        source = store[clip.metadata["clip"]]
        start = round(float(clip.landmarks[14, 0, 0])) - 14
        assert clip.audio.shape == (18560,) and clip.mfcc.shape == (116, 12)
        for frame, sound in enumerate(clip.audio.reshape(29, 640), start):
            inside = 0 <= frame < LENGTH
            beyond += not inside
            np.testing.assert_array_equal(
                sound, source.audio[640 * frame :][:640] if inside else np.zeros(640)
            )
        inner = max(start, 0) + 1, min(start + 29, LENGTH) - 1
        np.testing.assert_allclose(
            clip.mfcc[4 * (inner[0] - start) : 4 * (inner[1] - start)],
            source.mfcc[4 * inner[0] : 4 * inner[1]],
            atol=1e-3,
        )
    assert beyond > 0


def test_words_are_a_store_as_of_lrw(store, cut):
    expected = split_grid(store.ids)
    found = lists_of(cut, "lrw", None)
    for split in ("train", "val", "test"):
        assert len(found[split]) == 6 * len(expected[split])
        assert {cut[id].metadata["clip"] for id in found[split]} == set(expected[split])
        assert all(id.split("/")[1] == split == cut[id].split for id in found[split])
    clip = cut["two/train/s1_clip0_5"]
    assert clip.speaker == "s1" and clip.source == "s1/clip0.mpg" and clip.length == 29
    assert set(clip.metadata) == {"clip", "word_first", "word_last", "take"}
    assert cut.size == SIZE and cut.attributes["parameters"]["frames"] == 29
    assert {path.name for path in cut.path.parent.iterdir()} == {"grid.h5", "words.h5", "words_contact.png"}
    assert all(clip.checked for clip in cut)


def test_splits_of_lists(store, tmp_path, capsys):
    lists = dict(train="s1/clip0", val="s1/clip2", test="s2/clip1", unseen="s2/clip1\ns2/clip3")
    for name, ids in lists.items():
        (tmp_path / f"{name}.txt").write_text(ids)
    cut = make_words(store, tmp_path / "words.h5", "--splits", str(tmp_path))
    splits = {clip.metadata["clip"]: clip.split for clip in cut}
    assert splits == {"s1/clip0": "train", "s1/clip2": "val", "s2/clip1": "test", "s2/clip3": "unseen"}
    assert "24 clips of 6 words: 6 train, 6 val, 6 test, 6 unseen; 0 skipped;" in capsys.readouterr().out
    (tmp_path / "unseen.txt").write_text("s2/clip1")
    assert len(make_words(store, tmp_path / "words.h5", "--splits", str(tmp_path))) == 18
    assert skipped(tmp_path / "words_skipped.csv") == {"s2/clip3": f"in none of the lists of {tmp_path}"}


def test_times_are_those_of_the_whole_video(tmp_path):
    """A clip whose beginning shows no face gives the same cuts, but where they would need it, and loses words there"""
    clips = {"s1/late": sentence(first=9, words=TIMES), "s1/whole": sentence(words=TIMES)}
    cut = make_words(make_store(tmp_path / "grid.h5", clips), tmp_path / "words.h5")
    late, whole = ({clip.transcript: clip for clip in cut if name in clip.id} for name in ("late", "whole"))
    assert set(whole) - set(late) == {"bin", "blue"}
    assert set(skipped(tmp_path / "words_skipped.csv")) == {"bin/train/s1_late_1", "blue/train/s1_late_2"}
    for word, clip in late.items():
        assert clip.metadata == whole[word].metadata | dict(clip="s1/late")
        kept = np.maximum(whole[word].landmarks[:, 0, 0], 9)
        np.testing.assert_array_equal(clip.landmarks[:, 0, 0], kept)
        quiet = 640 * int(np.sum(kept == 9) - 1)
        np.testing.assert_array_equal(clip.audio[quiet:], whole[word].audio[quiet:])


@pytest.mark.parametrize("layout", ["s1/{}.align", "s1/align/{}.align"])
def test_align_files_and_times_in_the_store_give_the_same(tmp_path, layout):
    lines = ["0 1000 sil"] + [
        f"{start * 25000:.0f} {end * 25000:.0f} {word}" for word, start, end in from_text(TIMES, "")
    ]
    lines[3:3] = ["10000 10000 sp"]
    file = tmp_path / "align" / layout.format("a")
    file.parent.mkdir(parents=True)
    file.write_text("\n".join([*lines, "60000 74500 sil", ""]))
    assert from_text(to_text(read_align(file)), "") == read_align(file) == from_text(TIMES, "")
    stores = {name: make_store(tmp_path / f"{name}.h5", {"s1/a": sentence(words=times)})
              for name, times in dict(right=TIMES, wrong="1 2 red").items()}  # fmt: skip
    right = make_words(stores["right"], tmp_path / "words.h5")
    wrong = make_words(stores["wrong"], tmp_path / "aligned.h5", "--align", str(tmp_path / "align"))
    assert right.ids == wrong.ids and len(right) == 6
    for one, other in zip(right, wrong, strict=True):
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        assert one.metadata == other.metadata


def test_an_unknown_word_in_a_file_ends_the_command(tmp_path, capsys):
    store = make_store(tmp_path / "grid.h5", {"s1/good": sentence(words=TIMES), "s1/strange": sentence()})
    (tmp_path / "corpus/align/s1").mkdir(parents=True)
    file = tmp_path / "corpus/align/s1/strange.align"
    file.write_text("0 5000 sil\n5000 10000 bin\n10000 13000 purple\n")
    flags = [str(store.path), str(tmp_path / "words.h5"), "--align", str(tmp_path / "corpus")]
    assert run(words.main, lambda: words.parse_args(flags)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {file}: its word 'purple' is none of GRID's 51; mend it")
    assert not (tmp_path / "words.h5").exists()
    file.write_text("0 5000 sil\n5000 10000 bin\n")
    assert run(words.main, lambda: words.parse_args(flags)) == 0


def test_a_clip_that_cannot_be_cut_is_skipped_and_listed(tmp_path, capsys):
    clips = dict(
        good=TIMES, strange="0.1 0.5 bin; 0.5 0.8 purple", back="0.5 0.1 bin", text="bin blue", empty=""
    )
    clips = {f"s1/{name}": sentence(words=times) for name, times in clips.items()} | {"s1/mute": sentence()}
    store = make_store(tmp_path / "grid.h5", clips)
    assert {clip.metadata["clip"] for clip in make_words(store, tmp_path / "words.h5")} == {"s1/good"}
    reasons = skipped(tmp_path / "words_skipped.csv")
    expected = dict(
        strange="its word 'purple' is none of GRID's 51",
        back="'0.5 0.1 bin' does not end after it starts",
        text="'bin blue' is not a start, an end and a word",
        empty="'' is not a start",
        mute="no times of its words; see --align",
    )
    assert set(reasons) == {f"s1/{name}" for name in expected}
    for name, reason in expected.items():
        assert reason in reasons[f"s1/{name}"], name
    assert "; 5 skipped (reasons in" in capsys.readouterr().out
    (tmp_path / "align").mkdir()
    make_words(store, tmp_path / "words.h5", "--align", str(tmp_path / "align"))
    assert skipped(tmp_path / "words_skipped.csv")["s1/mute"] == f"no {tmp_path}/align/s1/mute.align"


def test_an_interrupted_run_leaves_what_was_there(store, tmp_path, monkeypatch):
    make_words(store, tmp_path / "words.h5")
    for path in tmp_path.iterdir():
        if path.name != "words.h5":
            path.unlink()
    before = (tmp_path / "words.h5").read_bytes()
    calls = []

    def interrupted(group, clip):
        calls.append(group)
        if len(calls) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(words, "write_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_words(store, tmp_path / "words.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["words.h5"]
    assert (tmp_path / "words.h5").read_bytes() == before


def test_there_are_51_words():
    assert len(GRID_WORDS) == 51 and {"zero", "z", "bin", "again"} <= GRID_WORDS and "w" not in GRID_WORDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["timed.h5", "words"], "words: the store is one .h5 file"),
        (["timed.h5", "./timed.h5"], "timed.h5: is the clip store to read"),
        (["none.h5", "words.h5"], "none.h5: no such clip store"),
        (["mute.h5", "words.h5"], "mute.h5: does not tell when words are said; give the .align files with --align"),
        (["mute.h5", "words.h5", "--align", "none"], "none: no such folder of .align files"),
        (["mute.h5", "words.h5", "--align", "lists"], "the first: s1/clip: no lists/s1/clip.align"),
        (["timed.h5", "words.h5", "--splits", "none"], "none: no train.txt, val.txt or test.txt"),
        (["timed.h5", "words.h5", "--splits", "lists"], "the first: s1/clip: in none of the lists of lists"),
        (["foreign.h5", "words.h5"], "no word can be cut, see words_skipped.csv"),
        (["outside.h5", "words.h5"], "its middle is not in the 60 frames of s1/clip"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    Path("lists").mkdir()
    Path("lists", "train.txt").write_text("s1/other\n")
    notes = dict(timed=TIMES, foreign="0 1 bonjour", outside="7 8 bin", mute=None)
    for name in {Path(option).stem for option in options[:1]} & set(notes):
        make_store(
            Path(f"{name}.h5"), {"s1/clip": sentence(**({"words": notes[name]} if notes[name] else {}))}
        )
    assert run(words.main, lambda: words.parse_args(options)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert not Path("words.h5").exists()


def test_align_files_without_sense(tmp_path):
    file = tmp_path / "a.align"
    for text in ("5 nan bin", "5 inf bin", "-1 2 bin", "1 2"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"a\.align: "):
            read_align(file)


def test_milliseconds_are_told_from_the_corpus_units(tmp_path):
    ticks, milliseconds = tmp_path / "ticks.align", tmp_path / "ms.align"
    ticks.write_text("0 23750 sil\n23750 29500 bin\n29500 34000 blue\n")
    milliseconds.write_text("0 950 sil\n950 1180 bin\n1180 1360 blue\n")
    assert read_align(ticks) == read_align(milliseconds)


def test_another_store_is_not_overwritten(tmp_path, capsys):
    store, other = (make_store(tmp_path / name, {"s1/a": sentence()}) for name in ("a.h5", "b.h5"))
    before = other.path.read_bytes()
    assert run(words.main, lambda: words.parse_args([str(store.path), str(other.path)])) == 2
    assert "b.h5: is a store, but not of words" in capsys.readouterr().err
    assert other.path.read_bytes() == before
