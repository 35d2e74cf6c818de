"""Samples of the lip reader: the layout of words, their boundaries, and what is hidden in training."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data.lips.words import (
    WholeWords,
    WordSamples,
    blur_time,
    boundary_of,
    hide,
    labels,
    word_classes,
    word_clip,
    word_ids,
)
from data.store import ClipStore
from tests.synthetic import make_lrw_store, make_store
from utils.audio.log_mel import log_mel
from utils.errors import UserError
from utils.face.mouth import cut_mouths, mouth_window

WORDS = ["ABOUT", "BEING", "CASES"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_lrw_store(tmp_path_factory.mktemp("lrw") / "store"))


def samples(store, **options) -> WordSamples:
    return WordSamples(store, word_ids(store, "train"), WORDS, 32, 0.7, seed=3, **options)


def test_classes_and_splits_are_in_the_ids(store):
    assert word_classes(store) == WORDS
    assert len(word_ids(store, "train")) == 6 and len(word_ids(store, "val")) == 3
    assert all(id.split("/")[1] == "test" for id in word_ids(store, "test"))
    numbers = labels(store.ids, WORDS, store.path)
    assert {id.split("/")[0]: number for id, number in numbers.items()} == dict(ABOUT=0, BEING=1, CASES=2)


def test_a_whole_word_is_its_clips_mouth_and_sound(store):
    id = word_ids(store, "test")[1]
    clip, sample = store[id], samples(store).__class__(store, [id], WORDS, 32, 0.7, seed=0).whole(id)
    mouths = cut_mouths(clip.frames(), mouth_window(clip.landmarks, 32, 0.7), 32)
    assert torch.equal(sample["mouths"], mouths) and sample["mouths"].shape == (29, 32, 32)
    assert torch.equal(sample["mel"], log_mel(clip.audio)) and sample["mel"].shape == (80, 116)
    assert sample["label"] == 1 and torch.equal(sample["boundary"], torch.ones(29))


def test_samples_are_drawn_by_number_and_seed(store):
    first, again = samples(store), samples(store)
    drawn = [first[number] for number in range(12)]
    assert {int(sample["label"]) for sample in drawn} == {0, 1, 2}
    assert all(torch.equal(drawn[5][name], again[5][name]) for name in drawn[5])
    assert len({tuple(sample["changes"].tolist()) for sample in drawn}) == 12
    plain = samples(store, augment=False)[5]
    assert "changes" not in plain and torch.equal(plain["mouths"], drawn[5]["mouths"])


def test_whole_words_come_in_order(store):
    ids = word_ids(store, "train")
    whole = WholeWords(samples(store), ids)
    assert len(whole) == 6 and [int(whole[n]["label"]) for n in range(6)] == [0, 0, 1, 1, 2, 2]


def test_clips_of_other_lengths_are_cut_or_padded(tmp_path):
    """A store of the same layout whose clips are longer or shorter than 29 frames"""
    path = make_store(tmp_path / "grid.h5", clips=2, frames=40, size=64)
    store = ClipStore(path)
    data = WordSamples(store, store.ids, ["s1", "s2"], 32, 0.7, seed=0)
    long = data.clips[store.ids[0]]
    assert torch.equal(data.whole(store.ids[0])["mouths"], long.mouths[5:34])
    assert torch.equal(data.whole(store.ids[0])["mel"], long.mel[:, 20:136])
    data.clips.kept[store.ids[1]] = type(long)(long.mouths[:10], long.mel[:, :40], long.boundary[:10])
    short = data.whole(store.ids[1])
    assert (
        torch.equal(short["mouths"][10:20], long.mouths[:10])
        and (short["mouths"][:10] == long.mouths[0]).all()
    )
    assert (short["mouths"][20:] == long.mouths[9]).all()
    assert (
        not short["mel"][:, :40].any() and not short["mel"][:, 80:].any() and short["mel"].shape == (80, 116)
    )
    assert short["boundary"].nonzero().flatten().tolist() == list(range(10, 20))


def test_a_clip_without_its_ends_keeps_the_word_in_place(store):
    """LRW's 29 frames, of which the first four showed no face"""
    id = word_ids(store, "train")[0]
    whole = word_clip(store[id], 32, 0.7)
    cut = SimpleNamespace(landmarks=store[id].landmarks[4:], length=25, audio=store[id].audio[4 * 640 :])
    cut.frames, cut.metadata = (lambda: store[id].frames()[4:]), dict(first_frame="4", source_frames="29")
    made, notes = word_clip(cut, 32, 0.7), cut.metadata
    assert made.mouths.shape == whole.mouths.shape and made.mel.shape == whole.mel.shape
    window = mouth_window(cut.landmarks, 32, 0.7)
    assert torch.equal(made.mouths[4:], cut_mouths(cut.frames(), window, 32))
    assert (made.mouths[:4] == made.mouths[4]).all()
    assert torch.equal(made.mel[:, 16:], log_mel(cut.audio)) and not made.mel[:, :16].any()
    assert made.boundary.tolist() == [0] * 4 + [1] * 25
    given = boundary_of(notes | dict(Duration="0.40 seconds"), 25)
    assert given.nonzero().flatten().tolist() == list(range(5, 16))


def test_boundaries():
    assert boundary_of({}, 29).sum() == 29
    given = boundary_of(dict(word_first="10", word_last="17"), 29)
    assert given.nonzero().flatten().tolist() == list(range(10, 18))
    lrw = boundary_of(dict(Duration="0.40 seconds"), 29)  # ten frames about the middle of frame 14
    assert lrw.nonzero().flatten().tolist() == list(range(9, 20))
    assert boundary_of(dict(Duration="3 seconds"), 29).sum() == 29


def test_hidden_bands_and_columns():
    mel, bands, columns = torch.ones(80, 116), set(), set()
    for seed in range(300):
        hidden = hide(mel, np.random.default_rng(seed))
        bands.add(int((hidden.sum(1) == 0).sum()))
        columns.add(int((hidden.sum(0) == 0).sum()))
    assert mel.all() and bands == set(range(11)) and columns == set(range(21))


def test_blurred_time_is_the_mean_frame():
    mouths = torch.randint(0, 255, (29, 4, 4), dtype=torch.uint8)
    widths = set()
    for seed in range(200):
        blurred = blur_time(mouths, np.random.default_rng(seed), 5)
        changed = (blurred != mouths).any(2).any(1).nonzero().flatten()
        widths.add(len(changed))
        if len(changed):
            assert changed[-1] - changed[0] + 1 == len(changed)
            assert torch.equal(blurred[changed[0]], mouths.float().mean(0).round().to(torch.uint8))
    assert widths == set(range(6))


def test_mistakes(store, tmp_path):
    with pytest.raises(UserError, match="BEING is none of the network's 2 words"):
        labels(store.ids, ["ABOUT", "CASES"], store.path)
    grid = ClipStore(make_store(tmp_path / "grid.h5", clips=2, size=64))
    with pytest.raises(UserError, match=r"holds no words .*preprocess\.words"):
        word_classes(grid)
    with pytest.raises(UserError):
        word_ids(store, "unseen")
