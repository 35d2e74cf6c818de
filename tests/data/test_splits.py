from argparse import ArgumentParser
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from data.splits import (
    ALL,
    SPLITS,
    add_split_flags,
    check_lists,
    clip_ids,
    held_out,
    ids_hash,
    read_split,
    split_grid,
    spread,
)
from data.store import ClipStore
from data.store_writer import StoreWriter
from tests.data.test_store import SIZE, attributes
from tests.synthetic import make_clip, make_store
from utils.errors import UserError


def grid(speakers, clips=1000) -> list[str]:
    return [f"s{speaker}/clip{number:04}" for speaker in speakers for number in range(clips)]


def assert_apart(chosen: dict[str, list[str]], ids: list[str]) -> None:
    placed = [*chosen["train"], *chosen["val"], *chosen["test"]]
    assert sorted(placed) == sorted(ids)  # so none is in two


def test_grid_by_speaker_holds_out_s29_as_in_the_paper():
    ids = grid(speaker for speaker in range(1, 35) if speaker != 21)  # GRID has no video of s21
    chosen = split_grid(ids)
    assert {split: len(chosen[split]) for split in SPLITS} == dict(
        train=30400, val=1600, test=1000, unseen=1000
    )
    assert_apart(chosen, ids)
    assert {id.split("/")[0] for id in chosen["test"]} == {"s29"}
    assert not any(id.startswith("s29/") for id in chosen["train"] + chosen["val"])


def test_grid_within_a_speaker():
    for speakers in ([1], [29], [1, 2]):
        ids = grid(speakers)
        chosen = split_grid(ids)
        n = len(speakers)
        assert [len(chosen[split]) for split in SPLITS] == [900 * n, 50 * n, 50 * n, 0]
        assert_apart(chosen, ids)


def test_all_is_every_clip_whatever_the_lists_say(tmp_path):
    store = ClipStore(make_store(tmp_path / "store.h5", clips=5, frames=8, size=32))
    for splits in (None, tmp_path / "splits", tmp_path / "absent"):
        assert clip_ids(store, "grid", ALL, splits) == store.ids
    assert len(clip_ids(store, "grid", "train", tmp_path / "splits")) == 3


def test_the_order_of_the_clips_does_not_matter():
    ids = grid([1, 2], 100)
    assert split_grid(ids) == split_grid(reversed(ids))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("store") / "a.h5", clips=4, frames=4, size=SIZE))


def write_lists(folder: Path, **lists: list[str]) -> Path:
    for name, ids in lists.items():
        (folder / f"{name}.txt").write_text("# one id a line\n\n" + "\n".join(ids) + "\n")
    return folder


def test_lists(store, tmp_path, capsys):
    folder = write_lists(tmp_path, train=["s2/clip1", "s1/clip0", "s3/not_in_store"], unseen=["s4/x"])
    assert read_split(folder / "train.txt") == ["s2/clip1", "s1/clip0", "s3/not_in_store"]
    assert clip_ids(store, "grid", "train", folder) == ["s1/clip0", "s2/clip1"]
    assert "train.txt: 1 of 3 clips are not in" in (said := capsys.readouterr().err)
    assert "s3/not_in_store; they are left out" in said
    with pytest.raises(UserError, match=r"val\.txt: no such list"):
        clip_ids(store, "grid", "val", folder)
    with pytest.raises(UserError, match="none of its 4 clips is in the split 'unseen'"):
        clip_ids(store, "grid", "unseen", folder)
    with pytest.raises(UserError, match=r"no train\.txt"):
        clip_ids(store, "grid", "train", tmp_path / "elsewhere")


def test_lists_that_leak_are_refused(store, tmp_path):
    with pytest.raises(UserError, match=r"clip s1/clip0 is in both train\.txt and test\.txt"):
        clip_ids(store, "grid", "train", write_lists(tmp_path, train=["s1/clip0"], test=["s1/clip0"]))
    with pytest.raises(UserError, match=r"unseen\.txt has speaker s1"):
        check_lists(dict(train=["s1/clip0"], unseen=["s1/clip2"]), tmp_path, "grid")


@pytest.mark.parametrize(("one", "other"), [*combinations(SPLITS, 2)])
def test_no_two_lists_share_a_clip_but_test_and_unseen(store, tmp_path, one, other):
    lists = dict(train=["s1/clip0"], val=["s1/clip2"], test=["s2/clip1"], unseen=["s2/clip3"])
    check_lists(lists, tmp_path, "grid")
    lists[other] = [*lists[other], *lists[one]]
    folder = write_lists(tmp_path, **lists)
    if (one, other) == ("test", "unseen"):
        assert clip_ids(store, "grid", "unseen", folder) == ["s2/clip1", "s2/clip3"]
        return
    with pytest.raises(UserError) as refused:
        clip_ids(store, "grid", "test", folder)
    said = str(refused.value)
    assert said.startswith(f"{folder}: ") and "\n" not in said
    assert all(part in said for part in (f"{one}.txt", f"{other}.txt", lists[one][0]))


def test_grid_without_lists(store):
    assert clip_ids(store, "grid", "train") == store.ids  # too few for a twentieth
    with pytest.raises(UserError, match="see --splits"):
        clip_ids(store, "grid", "test")


@pytest.fixture(scope="module")
def lrw(tmp_path_factory) -> ClipStore:
    folder = tmp_path_factory.mktemp("lrw")
    writer = StoreWriter(folder / "ABOUT.h5", attributes())
    for number, split in enumerate(["train", "train", "val", "test"]):
        writer.add(f"ABOUT/{split}/ABOUT_{number:05}", make_clip(number, 3, SIZE, split))
    writer.pack()
    return ClipStore(folder)


def test_lrw_follows_its_own_folders(lrw):
    assert [len(clip_ids(lrw, "lrw", split)) for split in ("train", "val", "test")] == [2, 1, 1]
    assert clip_ids(lrw, "lrw", "val") == ["ABOUT/val/ABOUT_00002"]
    with pytest.raises(UserError, match="see --splits"):
        clip_ids(lrw, "lrw", "unseen")


def test_lrw_has_unseen_clips_of_words_in_training(lrw, tmp_path):
    train, unseen = ["ABOUT/train/ABOUT_00000"], ["ABOUT/train/ABOUT_00001"]
    folder = write_lists(tmp_path, train=train, unseen=unseen)
    assert clip_ids(lrw, "lrw", "unseen", folder) == unseen
    write_lists(tmp_path, unseen=train)
    with pytest.raises(
        UserError, match=r"clip ABOUT/train/ABOUT_00000 is in both train\.txt and unseen\.txt"
    ):
        clip_ids(lrw, "lrw", "unseen", folder)


def test_what_is_held_out(store, tmp_path):
    folder = write_lists(
        tmp_path, train=["s1/clip0"], val=["s1/clip2"], test=["s2/a"], unseen=["s2/a", "s3/b"]
    )
    assert held_out(store, "grid", folder) == {"s1/clip2", "s2/a", "s3/b"}
    assert held_out(store, "grid", None) == set()  # too few for a twentieth


def test_the_hash_of_clips_knows_which_but_not_their_order():
    assert ids_hash(["s1/a", "s1/b"]) == ids_hash(["s1/b", "s1/a"])
    different = [[], ["s1/a"], ["s1/a", "s1/b"], ["s1/as1/b"], ["s1/a", "s1/c"]]
    assert len({ids_hash(ids) for ids in different}) == 5 and len(ids_hash([])) == 16


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_the_flags_of_splits(dashes, tmp_path):
    parser = ArgumentParser()
    add_split_flags(parser, "train.txt", store=True)
    args = parser.parse_args([f"{dashes}dataset", "lrw", f"{dashes}splits", str(tmp_path)])
    assert (args.dataset, args.splits, args.dataset_dir) == ("lrw", tmp_path, Path("store/grid.h5"))
    with pytest.raises(SystemExit):
        parser.parse_args(["--dataset", "timit"])


def test_a_list_with_a_byte_order_mark(store, tmp_path):
    (tmp_path / "train.txt").write_text("s1/clip0\ns2/clip1\n", encoding="utf-8-sig")
    assert clip_ids(store, "grid", "train", tmp_path) == ["s1/clip0", "s2/clip1"]


def test_a_clip_listed_twice_counts_once(store, tmp_path):
    folder = write_lists(tmp_path, train=["s1/clip0", "s2/clip1", "s1/clip0"])
    assert clip_ids(store, "grid", "train", folder) == ["s1/clip0", "s2/clip1"]


def counts(ids: list[str]) -> dict[str, int]:
    return dict(Counter(id.split("/")[0] for id in ids))


def test_clips_are_spread_over_speakers_and_within_each():
    ids = grid([1, 2, 3], clips=10)
    chosen = spread(ids[::-1], 6)
    assert chosen == [f"s{speaker}/clip{number:04}" for speaker in (1, 2, 3) for number in (2, 7)]
    assert spread(ids, None) == spread(ids, 30) == spread(ids, 99) == ids and not spread([], 5)


def test_shares_are_as_even_as_can_be():
    ids = [*grid([1], 2), *grid([2], 1), *grid([3, 4], 50)]
    for most in range(1, len(ids) + 1):
        chosen = spread(ids, most)
        shares = counts(chosen)
        assert len(chosen) == most and chosen == sorted(set(chosen)) and set(chosen) <= set(ids)
        assert len(shares) == min(most, 4)
        full = dict(s1=2, s2=1, s3=50, s4=50)
        wanting = [share for name, share in shares.items() if share < full[name]]
        assert not wanting or max(shares.values()) - min(wanting) <= 1


def test_fewer_clips_than_words_are_of_words_all_over_the_alphabet():
    ids = sorted(f"{letter}WORD/test/{letter}WORD_{n:05}" for letter in "ABCDEFGHIJ" for n in range(9))
    assert [id[0] for id in spread(ids, 3)] == ["B", "F", "I"]
