"""Which clips train, choose and test: lists of clip ids as text files, or the corpora's own rules.

A folder of lists holds train.txt, val.txt, test.txt and, for people that no training may see, unseen.txt: one clip id a
line. No clip may be in two of them, but test and unseen may share some. Without such lists LRW follows its own folders,
and GRID is split

- by speaker, as in the paper, where the store holds s29 and others: s29 is "test"; of every other speaker a twentieth
  of the clips is "val", the rest "train";
- within each speaker otherwise: a twentieth is "val", another "test", the rest "train".

The twentieths are drawn by a hash of the id, so that they are the same everywhere.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from zlib import crc32

from data.store import ClipStore, group_of
from utils.cli import add_flag
from utils.errors import UserError, note

DATASETS = ("grid", "lrw")  # the corpora whose ids and splits are known
SPLITS = ("train", "val", "test", "unseen")
ALL = "all"  # every clip of a store, whatever lists or rules say
MAY_OVERLAP = ("test", "unseen")  # as the paper's s29 is both
PAPER_TEST_SPEAKER = "s29"
SHARE = 20  # one clip in so many


def add_split_flags(parser: ArgumentParser, lists: str, store: bool = False) -> None:
    """-dataset and -splits, and with `store` -dataset_dir. lists: the files that the script reads, for its help."""
    add_flag(parser, "dataset", choices=DATASETS, default="grid", help="whose splits to use (default grid)")
    lists = f"folder with {lists}, one clip id a line (default: the corpus' own splits)"
    add_flag(parser, "splits", type=Path, metavar="DIR", help=lists)
    if store:
        default = Path("store/grid.h5")
        help = f"clip store, a file or a folder (default {default})"
        add_flag(parser, "dataset_dir", type=Path, default=default, help=help)


def clip_ids(
    store: ClipStore, dataset: str, split: str, splits: Path | None = None, optional: bool = False
) -> list[str]:
    """The store's clips of one split, or ALL of them, sorted. dataset: one of `DATASETS`; splits: a folder of lists.

    optional: an empty list will do. Raises UserError where there are none otherwise, or where the lists have a clip,
    or an unseen speaker, on two sides.
    """
    if split == ALL:
        return list(store.ids)
    lists = lists_of(store, dataset, splits)
    if splits is not None and split not in lists and not optional:
        raise UserError(f"{Path(splits) / split}.txt: no such list of clips")
    wanted = lists.get(split, [])
    chosen = [id for id in wanted if id in store]
    absent = [id for id in wanted if id not in store]
    if absent:
        place, count = f"{splits}/{split}.txt", f"{len(absent)} of {len(wanted)} clips"
        note(f"{place}: {count} are not in {store.path}, such as {absent[0]}; they are left out")
    if not chosen and not optional:
        raise UserError(
            f"{store.path}: none of its {len(store)} clips is in the split {split!r}; see --splits"
        )
    return sorted(chosen)


def lists_of(store: ClipStore, dataset: str, splits: Path | None) -> dict[str, list[str]]:
    """The ids of each split: of the folder of lists, where there is one, or by the corpus' own rule for this store"""
    if splits is not None:
        return check_lists(read_lists(Path(splits)), Path(splits), dataset)
    if dataset == "lrw":
        return {split: [id for id, own in store.splits.items() if own == split] for split in SPLITS}
    return split_grid(store.ids)


def held_out(store: ClipStore, dataset: str, splits: Path | None) -> set[str]:
    """The ids of all clips that no training may see: of val, test and unseen"""
    lists = lists_of(store, dataset, splits)
    return {id for split in SPLITS[1:] for id in lists.get(split, [])}


def ids_hash(ids: Iterable[str]) -> str:
    """16 hexadecimal digits that stand for a set of clips, in whatever order"""
    return sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


def split_grid(ids: Iterable[str]) -> dict[str, list[str]]:
    """Clip ids SPEAKER/NAME -> the ids of train, val, test and unseen (which is test where that is a speaker apart)"""
    speakers: dict[str, list[str]] = {}
    for id in ids:
        speakers.setdefault(group_of(id), []).append(id)
    by_speaker = PAPER_TEST_SPEAKER in speakers and len(speakers) > 1
    chosen: dict[str, list[str]] = {split: [] for split in SPLITS}
    for speaker, clips in speakers.items():
        if by_speaker and speaker == PAPER_TEST_SPEAKER:
            chosen["test"] += clips
            chosen["unseen"] += clips
            continue
        for split, own in split_speaker(clips, tests=not by_speaker).items():
            chosen[split] += own
    return {split: sorted(clips) for split, clips in chosen.items()}


def split_speaker(ids: list[str], tests: bool = True) -> dict[str, list[str]]:
    """One speaker's clips -> those of train, val and, with `tests`, test"""
    shuffled = sorted(ids, key=lambda id: (crc32(id.encode()), id))
    share = max(round(len(ids) / SHARE), int(len(ids) >= 3))
    tested = share if tests else 0
    parts = dict(val=shuffled[:share], test=shuffled[share : share + tested])
    return parts | dict(train=shuffled[share + tested :])


def read_lists(folder: Path) -> dict[str, list[str]]:
    """The lists of a folder, by split. Raises UserError where it holds none."""
    files = {split: folder / f"{split}.txt" for split in SPLITS}
    lists = {split: read_split(file) for split, file in files.items() if file.is_file()}
    if not lists:
        raise UserError(f"{folder}: no train.txt, val.txt or test.txt; give the folder of such lists")
    return lists


def read_split(path: Path) -> list[str]:
    """One clip id a line; empty lines, repetitions and what follows a # do not count.

    Raises UserError for a missing file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no list of clips that can be read ({error})") from error
    ids = (line.split("#")[0].strip() for line in lines)
    return [id for id in dict.fromkeys(ids) if id]


def check_lists(lists: dict[str, list[str]], folder: Path, dataset: str) -> dict[str, list[str]]:
    """The lists as they are. Raises UserError for a clip on two sides, or an unseen speaker of GRID in train or val.

    LRW's ids tell words, not speakers; who is unseen there is for the makers of the lists to know.
    """
    for one, other in combinations(SPLITS, 2):
        both = sorted(set(lists.get(one, [])) & set(lists.get(other, [])))
        if both and (one, other) != MAY_OVERLAP:
            raise UserError(f"{folder}: clip {both[0]} is in both {one}.txt and {other}.txt; keep it in one")
    if dataset == "grid":
        seen = {group_of(id): split for split in ("train", "val") for id in lists.get(split, [])}
        both = sorted(seen.keys() & {group_of(id) for id in lists.get("unseen", [])})
        if both:
            where = f"{seen[both[0]]}.txt"
            raise UserError(f"{folder}: unseen.txt has speaker {both[0]}, who is in {where} too; keep to one")
    return lists


def spread(ids: Iterable[str], most: int | None) -> list[str]:
    """At most so many of the clips (None: all), sorted, out of every speaker's or word's, and evenly out of each's.

    Shares differ by one at most, but where somebody has no more clips. Nothing is random.
    """
    groups: dict[str, list[str]] = {}
    for id in sorted(ids):
        groups.setdefault(group_of(id), []).append(id)
    shares = dict.fromkeys(groups, 0)
    left = sum(map(len, groups.values())) if most is None else most
    while left > 0:
        wanting = [name for name, clips in groups.items() if shares[name] < len(clips)]
        if not wanting:
            break
        for name in _evenly(wanting, left):
            shares[name] += 1
            left -= 1
    return sorted(id for name, clips in groups.items() for id in _evenly(clips, shares[name]))


def _evenly(items: list[str], count: int) -> list[str]:
    """So many of the items, all where there are no more, the middles of stretches of equal length"""
    count = min(count, len(items))
    return [items[(2 * n + 1) * len(items) // (2 * count)] for n in range(count)]
