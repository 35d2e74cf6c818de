"""The lip reader as judge: what share of a clip's words it reads off made frames."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.store import ClipStore
from data.store_writer import StoreWriter
from evaluation.reading import judge as judges
from evaluation.reading.judge import LipJudge
from evaluation.rows import Truth, measure, summary
from models.reading.reader import LipReader
from tests.synthetic import make_clip
from utils.align import Spoken
from utils.errors import UserError
from utils.face.landmarks import TEMPLATE
from utils.face.mouth import cut_mouths, mouth_window

SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)
TIMES = "0.2 0.4 bin; 0.4 0.6 blue; 0.6 0.7 at; 0.7 0.9 f; 0.9 1 two; 1 1.1 now"


def reader(*classes: str) -> LipReader:
    """It takes every mouth for the first word."""
    torch.manual_seed(0)
    model = LipReader(classes, **SMALL)
    with torch.no_grad():
        model.backend.out.weight.zero_()
        model.backend.out.bias.copy_(-torch.arange(len(classes)).float())
    return model


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    """One clip that tells when its words are said, one that does not, one that lost its first frames"""
    path = tmp_path_factory.mktemp("judge") / "store.h5"
    writer = StoreWriter(
        path, dict(fps=25, sample_rate=16000, size=128, template=TEMPLATE, parameters={}, versions={})
    )
    for name, metadata in (
        ("timed", dict(words=TIMES)),
        ("plain", {}),
        ("late", dict(words=TIMES, first_frame="5")),
    ):
        clip = make_clip(0, 30)
        writer.add(f"s1/{name}", replace(clip, metadata=clip.metadata | metadata))
    writer.pack()
    return ClipStore(path)


def frames_of(store: ClipStore, id: str) -> np.ndarray:
    return store[id].frames().movedim(1, -1).numpy()


def test_words_that_are_right_are_counted(store):
    clip, frames = store["s1/timed"], frames_of(store, "s1/timed")
    judge = LipJudge(reader("now", "bin", "blue", "at", "f", "two"))
    assert judge.scores(frames, clip) == dict(words_read=pytest.approx(1 / 6), words_judged=6)
    assert LipJudge(reader("now", "two")).scores(frames, clip) == dict(words_read=0.5, words_judged=2)
    assert LipJudge(reader("red", "two")).scores(frames[:1], clip) == dict(words_read=0.0, words_judged=1)


def test_nothing_is_judged_where_no_times_are_known(store, tmp_path):
    clip, frames, network = store["s1/plain"], frames_of(store, "s1/plain"), reader("now", "bin")
    scores = LipJudge(network).scores(frames, clip)
    assert math.isnan(scores["words_read"]) and scores["words_judged"] == 0
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/plain.align").write_text("0 5000 sil\n5000 10000 bin\n10000 15000 now\n")
    assert LipJudge(network, tmp_path).scores(frames, clip) == dict(words_read=0.5, words_judged=2)


def test_made_mouths_are_cut_where_the_true_ones_are(store, monkeypatch):
    seen = []

    class Spy:
        def __init__(self, network, pieces, unseen, mirrored, name) -> None:
            seen.append((torch.cat(list(pieces)), mirrored))

        def words_at(self, spoken: list[Spoken], offset: int) -> list:
            seen.append((spoken, offset))
            return [type("Word", (), dict(word="x", said="y"))] * len(spoken)

    monkeypatch.setattr(judges, "SeenMouth", Spy)
    for id, offset in (("s1/timed", 0), ("s1/late", 5)):
        clip, frames = store[id], frames_of(store, id)
        true = cut_mouths(clip.frames(), mouth_window(clip.landmarks, 32, 0.7), 32)
        judge = LipJudge(reader("bin", "now"))
        judge.scores(frames, clip)
        judge.scores(frames[3:4], clip)
        (whole, mirrored), (spoken, first), (still, _), _ = seen
        assert torch.equal(whole, true) and torch.equal(still, true[3:4].expand(30, -1, -1)) and mirrored
        assert [word.word for word in spoken] == ["bin", "now"] and first == offset
        seen.clear()


def test_a_damaged_file_is_said_and_not_left_out(store, tmp_path):
    (tmp_path / "s1").mkdir()
    for text, words in (("0 5000 bin\n5000 9000 purple\n", "purple"), ("0 bin\n", "is not a start")):
        (tmp_path / "s1/plain.align").write_text(text)
        with pytest.raises(UserError, match=words):
            LipJudge(reader("bin"), tmp_path).words(store["s1/plain"])


def test_words_are_pooled_over_clips_not_averaged_by_clip():
    true = Truth(
        np.zeros((8, 68, 2)) + np.arange(68)[:, None], np.zeros((68, 2)), np.zeros(8 * 640, np.float32)
    )
    shares = ((1.0, 1), (0.5, 6), (math.nan, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clips = [
            measure(true, true.landmarks, dict(words_read=share, words_judged=count))
            for share, count in shares
        ]
        total = summary(clips)
    assert total["words_read"] == pytest.approx(4 / 7) and total["words_judged"] == 7


def test_words_beyond_the_clip_are_not_judged(store, tmp_path):
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/plain.align").write_text("0 10000 bin\n29000 32000 now\n")  # the clip ends at 30000
    assert [word.word for word in LipJudge(reader("bin", "now"), tmp_path).words(store["s1/plain"])] == [
        "bin"
    ]


def test_weights_of_other_words_judge_nothing(store):
    assert LipJudge(reader("ABOUT", "BEING")).words(store["s1/timed"]) == []
