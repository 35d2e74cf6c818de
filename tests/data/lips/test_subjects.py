"""Whose clips are whose: by the original's subjects, by lists, never on two sides."""

from itertools import combinations

import pytest

from data.lips.subjects import by_rule, subject, subject_ids
from utils.errors import UserError

SPEAKERS = [n for n in range(1, 35) if n != 21]


class Corpus(list):
    """The ids of a whole corpus, in the place of a store"""

    path = "grid.h5"
    ids = property(list)


@pytest.fixture(scope="module")
def corpus():
    return Corpus(sorted(f"s{n}/clip{i:03}" for n in SPEAKERS for i in range(100)))


def speakers(ids) -> set[str]:
    return {id.split("/")[0] for id in ids}


@pytest.mark.parametrize("who", ["overlap", "unseen", "four", "s1"])
def test_no_clip_is_on_two_sides(corpus, who):
    sides = {split: set(by_rule(corpus, who)[split]) for split in ("train", "val", "test")}
    assert all(sides.values())
    assert not any(sides[a] & sides[b] for a, b in combinations(sides, 2))


def test_who_is_whom(corpus):
    sides = by_rule(corpus, "unseen")
    counts = {split: len(speakers(sides[split])) for split in ("train", "val", "test")}
    assert counts == dict(train=16, val=7, test=10)
    assert not speakers(sides["train"]) & (speakers(sides["val"]) | speakers(sides["test"]))
    for who, expected in (("overlap", len(SPEAKERS)), ("four", 4), ("s1", 1)):
        assert len(speakers(by_rule(corpus, who)["test"])) == expected
        assert len(by_rule(corpus, who)["val"]) == 5 * expected  # a twentieth
    assert set(by_rule(corpus, "s29")["test"]) <= set(by_rule(corpus, "four")["test"])


def test_a_store_without_the_subject_says_what_it_has(corpus):
    with pytest.raises(
        UserError, match=r"grid.h5: no clip for --subject s21, split train; it has 3300 clips of s1, s2"
    ):
        subject_ids(corpus, "s21", "train")
    assert subject_ids(corpus, "s21", "train", optional=True) == []


@pytest.mark.parametrize("text", ["s", "everyone", "s1,s2", "S1", ""])
def test_nobody_of_that_name(text):
    with pytest.raises(UserError, match="--subject"):
        subject(text)
