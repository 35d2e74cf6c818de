"""The lip reader's results: accuracy, each word's mistakes, and words that look alike side by side."""

import csv

import numpy as np
import pytest
import torch

from evaluation.matrices import CELL, INK
from evaluation.noise import CLEAN, SPEECH_ALONE
from evaluation.reading.noise import RATIOS, WHITE, WordsInNoise
from evaluation.reading.read import Outcome
from evaluation.reading.slots import WordSlots
from evaluation.reading.table import CHANCE, ReadingTable, neighbours
from models.reading.memory import Addresses, usage

CLASSES = ["BAT", "DOG", "MAT", "PAT", "SUN", "TOP", "YES"]
READ = [(0, 3), (0, 0), (0, 3), (2, 2), (3, 0), (4, 4), (4, 4), (4, 1)]  # said, read


def outcome(said: int, read: int, **more) -> Outcome:
    others = [n for n in range(len(CLASSES)) if n not in (said, read)]
    order = [read, *others, said] if said != read else [read, *others]
    return Outcome(said, tuple(order[:5]), order.index(said) + 1, 0.5, **more)


def table(**more) -> ReadingTable:
    made = ReadingTable(CLASSES, "video")
    for number, pair in enumerate(READ):
        made.add(f"{CLASSES[pair[0]]}/test/{number}", outcome(*pair, **more))
    return made


def test_accuracy_and_chance():
    rows = table().summary()
    assert list(rows) == ["lip reader, video", CHANCE]
    value, low, high = rows["lip reader, video"]["accuracy"]
    assert value == 4 / 8 and low < value < high
    assert rows["lip reader, video"]["top5"][0] == 4 / 8  # the wrong ones have the right word last
    assert rows[CHANCE]["accuracy"][0] == 3 / 8 and rows[CHANCE]["top5"][0] == 1


def test_words_and_their_mistakes():
    words = {line["word"]: line for line in table().words()}
    assert list(words) == ["BAT", "MAT", "PAT", "SUN"]  # DOG was read, and never said
    assert words["BAT"] == dict(word="BAT", count=3, right=1, accuracy=1 / 3, mistake="PAT", times=2)
    assert words["MAT"] == dict(word="MAT", count=1, right=1, accuracy=1.0)
    assert words["SUN"]["mistake"] == "DOG"
    names, counts = table().confusion()
    assert names == ["BAT", "DOG", "MAT", "PAT", "SUN"] and counts.sum() == 8 and counts[0, 3] == 2


def test_words_that_are_confused_lie_side_by_side():
    pairs = [(0, 5), (1, 8), (2, 9), (3, 6), (4, 7)]
    counts = 20 * np.eye(10, dtype=int)
    for one, other in pairs:
        counts[one, other] = 6
    place = {word: n for n, word in enumerate(neighbours(counts))}
    assert sorted(place) == list(range(10))
    assert all(abs(place[one] - place[other]) == 1 for one, other in pairs)
    assert neighbours(counts[:2, :2]) == [0, 1] and neighbours(counts[:1, :1]) == [0]


def test_files(tmp_path):
    places = {("video", SPEECH_ALONE, CLEAN): 1, ("audio", SPEECH_ALONE, CLEAN): 2}
    places |= {("audio", WHITE, ratio): 3 for ratio in RATIOS}
    addresses = Addresses(*torch.randn(2, 29, 6).log_softmax(-1))
    paths = table(addresses=addresses, places=places).write(tmp_path, "eight clips")
    names = "clips.csv classes.csv reading.md noise.csv confusion.png slots.png noise.png".split()
    assert [path.name for path in paths] == names and sorted(tmp_path.iterdir()) == sorted(paths)
    lines = list(csv.DictReader(paths[0].open()))
    assert [line["right"] for line in lines] == list("01010110")
    assert lines[0] == dict(clip="BAT/test/0", word="BAT", read="PAT", right="0", place="7", probability="0.5",
                            top="PAT DOG MAT SUN TOP")  # fmt: skip
    page = paths[2].read_text()
    assert page.startswith("eight clips\n") and "| lip reader, video | 0.5000 (" in page
    assert "| white noise | clean | 20 dB |" in page and "of 6 (perplexity)" in page
    bare = table().write(tmp_path / "bare", "eight clips")
    assert [path.name for path in bare] == ["clips.csv", "classes.csv", "reading.md", "confusion.png"]


def test_slots_are_counted_by_word():
    random = torch.Generator().manual_seed(0)
    clips = [
        (word, Addresses(*torch.randn(2, 29, 2, 6, generator=random).log_softmax(-1)))
        for word in ("A", "B", "A")
    ]
    slots = WordSlots()
    for word, addresses in clips:
        slots.add(word, addresses)
    both = usage(torch.cat([clips[0][1].seen, clips[2][1].seen]))
    np.testing.assert_allclose(slots.means("seen", ["B", "A"])[1], both.mean, atol=1e-6)
    heard = usage(torch.cat([addresses.heard for _, addresses in clips]))
    expected = dict(perplexity=pytest.approx(heard.perplexity), dead=heard.dead, slots=6)
    assert slots.facts()["heard"] == expected


def test_the_slots_picture_follows_the_words():
    """Each word's mouths find one slot; in whatever order the words are, the dark squares fall from left to right."""
    slots = WordSlots()
    for word, slot in (("A", 4), ("B", 0), ("C", 2)):
        sharp = (20 * torch.eye(6)[slot]).log_softmax(-1).expand(29, 6)
        slots.add(word, Addresses(sharp, sharp))
    for words in (["A", "B", "C"], ["C", "A", "B"]):
        picture = slots.picture(words)
        rows, columns = (np.abs(picture[:, : picture.shape[1] // 2].astype(int) - INK).sum(-1) == 0).nonzero()
        squares = {int(row): int(columns[rows == row].min()) for row in np.unique(rows)[::CELL]}
        assert len(squares) == 3 and list(squares.values()) == sorted(set(squares.values()))


def test_noise_goes_by_input_kind_and_ratio():
    noise = WordsInNoise()
    for place in (1, 2):
        noise.add({("video", SPEECH_ALONE, CLEAN): 1, ("both", SPEECH_ALONE, CLEAN): place,
                   ("both", "pink", 0): 2, ("both", WHITE, 0): place})  # fmt: skip
    assert noise.kinds == [WHITE, "pink"] and noise.inputs == ["video", "both"]
    assert noise.accuracy("both", WHITE, 0)[0] == noise.accuracy("both", "pink", CLEAN)[0] == 0.5
    assert noise.accuracy("video", WHITE, 0) is None and noise.accuracy("both", "pink", 0)[0] == 0
    assert [(line["input"], line["noise"], line["snr"]) for line in noise.lines()][1:3] == [
        ("both", "none", "clean"), ("both", "pink", "0")]  # fmt: skip
    assert noise.markdown().splitlines()[2].startswith("| video | 1.000 (1.000 to 1.000) | - | - |")
