"""Whose clips lip-to-speech trains, chooses and tests with: the original's --subject.

overlap   all speakers, each with clips of their own in train, val and test (the paper's 33 have no s21)
unseen    16 speakers train, 7 others validate, 10 others test
four      s1, s2, s4 and s29, as in Lip2Wav (Prajwal et al. 2020)
s1        one speaker, any

The original's lists validate and test "overlap" with the same clips; here each speaker's are drawn by a hash, a
twentieth to validate and another to test. With a folder of lists these count instead, and --subject chooses among them.
"""

from __future__ import annotations

import re
from pathlib import Path

from data.splits import ALL, SPLITS, clip_ids, lists_of, split_speaker
from data.store import ClipStore, group_of
from utils.errors import UserError

SUBJECTS = "overlap, unseen, four, or one speaker, such as s1"
FOUR = {"s1", "s2", "s4", "s29"}
UNSEEN = dict(
    train=(1, 3, 5, 6, 7, 8, 10, 12, 14, 16, 17, 22, 24, 26, 28, 32),
    val=(9, 20, 23, 27, 29, 30, 34),
    test=(2, 4, 11, 13, 15, 18, 19, 25, 31, 33),
)


def subject(text: str) -> str:
    """The value of a flag --subject. Raises UserError for one that names nobody."""
    if text in ("overlap", "unseen", "four") or re.fullmatch(r"s\d+", text):
        return text
    raise UserError(f"--subject {text}: give {SUBJECTS}")


def subject_ids(
    store: ClipStore,
    subject: str,
    split: str,
    splits: Path | None = None,
    dataset: str = "grid",
    optional: bool = False,
) -> list[str]:
    """The store's clips of one split, sorted. split: one of data.splits.SPLITS, or ALL; splits: a folder of lists.

    dataset: "lrw" knows no subjects. optional: an empty list will do; otherwise raises UserError, which names what the
    store has.
    """
    if split == ALL or dataset == "lrw":
        return clip_ids(store, dataset, split, splits, optional)
    if splits is not None and split in lists_of(store, "grid", splits):
        ids = clip_ids(store, "grid", split, splits, optional=True)
        if split != "unseen":
            ids = [id for id in ids if speaks(group_of(id), subject)]
    else:
        ids = by_rule(store, subject).get(split, []) if splits is None else []
    if not ids and not optional:
        speakers = sorted({group_of(id) for id in store.ids}, key=lambda name: (len(name), name))
        has = f"it has {len(store)} clips of {', '.join(speakers[:8])}{' ...' * (len(speakers) > 8)}"
        raise UserError(f"{store.path}: no clip for --subject {subject}, split {split}; {has}")
    return sorted(ids)


def speaks(speaker: str, subject: str) -> bool:
    """Whether a speaker belongs to a subject"""
    return subject in ("overlap", "unseen", speaker) or (subject == "four" and speaker in FOUR)


def by_rule(store: ClipStore, subject: str) -> dict[str, list[str]]:
    """The ids of each split where there are no lists"""
    clips: dict[str, list[str]] = {}
    for id in store.ids:
        clips.setdefault(group_of(id), []).append(id)
    if subject == "unseen":
        sides = {split: {f"s{n}" for n in numbers} for split, numbers in UNSEEN.items()}
        chosen = {
            split: [id for name in clips if name in names for id in clips[name]]
            for split, names in sides.items()
        }
        return chosen | dict(unseen=chosen["test"])
    chosen = {split: [] for split in SPLITS}
    for speaker, ids in clips.items():
        if speaks(speaker, subject):
            for split, own in split_speaker(ids).items():
                chosen[split] += own
    return chosen
