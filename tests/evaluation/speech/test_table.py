"""Pooled word errors, intervals, and the mean of a speaker's other clips."""

import csv
import math

import numpy as np
import torch

from data.store import ClipStore
from evaluation.definitions import FIGURES, GROUPS
from evaluation.intervals import pooled, split_intervals
from evaluation.speech.rows import AverageMels, Measured, count
from evaluation.speech.table import SpeechTable
from tests.synthetic import make_store
from utils.audio.mel import mel_of


def test_errors_are_pooled_over_words_not_over_clips():
    value, low, high = pooled([(100, 1), (0, 9), (300, 10)])
    assert value == 20 and 0 <= low < value < high <= 100
    assert pooled([(100, 1), (math.nan, 1), (0, 0)])[0] == 100  # nan and no words do not count
    assert all(math.isnan(one) for one in pooled([(math.nan, 1), (0, 0)]))


def test_an_interval_covers_what_other_clips_would_give():
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        _, low, high = pooled([(value, 1) for value in random.normal(5, 2, 40)])
        hits += low < 5 < high
    assert 85 <= hits <= 99


def test_words_count_where_they_are_known():
    assert count("wer", "bin blue at f two now", "bin blue at f two now") == (0, 6)
    assert count("wer", "bin blue at f now", "bin blue at f two now") == (1, 6)
    assert count("wer", "bin", "about") == (0, 0)  # pocketsphinx knows GRID alone
    assert count("wer_whisper", "Been. 2", "about two") == (1, 2)
    assert count("wer_whisper", "something", "") == (0, 0)


def table() -> SpeechTable:
    table = SpeechTable()
    for number, wrong in enumerate((0, 3)):
        ours = Measured({"stoi": 0.5 + 0.1 * number, "pesq": math.nan}, {"wer": (wrong, 6)}, {"wer": "bin"})
        truth = Measured({"stoi": 1.0, "pesq": math.nan}, {}, {})
        table.add(f"s1/{number}", {"ours": ours, "recording": truth})
    return table


def test_the_table(tmp_path):
    lines = table().markdown().splitlines()
    assert lines[0] == "|  | STOI | PESQ | WER, % |"
    assert lines[2] == "| ours | 0.550 (0.500 to 0.600) | - | 25.0 (0.0 to 50.0) |"
    assert lines[3] == "| recording | 1.000 (1.000 to 1.000) | - | - |"
    paths = table().write(tmp_path, "two clips")
    rows = list(csv.DictReader(paths[0].open()))
    assert [(row["clip"], row["row"], row["wer_errors"], row["wer_words"], row["wer_heard"]) for row in rows[::2]] == [
        ("s1/0", "ours", "0", "6", "bin"), ("s1/1", "ours", "3", "6", "bin")]  # fmt: skip
    assert "- WER, %: words that" in paths[1].read_text() and "offset" not in paths[1].read_text()
    results = split_intervals(table().summary())
    assert results["rows"]["ours"]["wer"] == 25 and results["intervals"]["ours"]["wer"] == [0, 50]


def test_the_average_is_of_the_speakers_other_clips(tmp_path):
    store = ClipStore(make_store(tmp_path / "store.h5", clips=4, frames=12, size=32))
    mels = {id: mel_of(store[id].audio) for id in store.ids}
    averages = AverageMels(store, ["s1/clip0", "s1/clip2", "s2/clip1"])
    torch.testing.assert_close(
        averages.without("s1/clip0", mels["s1/clip0"]), mels["s1/clip2"], atol=1e-4, rtol=0
    )
    alone = averages.without("s2/clip1", mels["s2/clip1"])
    assert alone.shape == mels["s2/clip1"].shape and (alone == alone[:, :1]).all()
    torch.testing.assert_close(alone[:, 0], mels["s2/clip1"].mean(1))


def test_a_longer_clip_ends_in_silence(tmp_path):
    store = ClipStore(make_store(tmp_path / "store.h5", clips=1, frames=12, size=32))
    averages = AverageMels(store, store.ids)
    mel = mel_of(store["s1/clip0"].audio)
    averages.sums["s1"][:-1, :20] += mel[:, 8:28]  # as of another clip, of five frames
    averages.sums["s1"][-1, :20] += 1
    found = averages.without("s1/clip0", mel)
    torch.testing.assert_close(found[:, :20], mel[:, 8:28], atol=1e-4, rtol=0)
    assert (found[:, 20:] == -1).all()


def test_no_figure_of_speech_has_the_name_of_one_of_faces():
    """A group's table is printed where a row has any of its figures."""
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names)) == len(FIGURES)
