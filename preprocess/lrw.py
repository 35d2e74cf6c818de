"""The LRW corpus (Lip Reading in the Wild) -> a clip store, one file for each word.

    python -m preprocess.lrw LRW STORE_DIR [--workers N]
    torchrun --nproc_per_node 4 -m preprocess.lrw LRW STORE_DIR --workers 1     (also over several machines)

LRW holds WORD/{train,val,test}/WORD_00001.mp4 and, where present, WORD_00001.txt with notes on the clip. A clip's id is
WORD/SPLIT/NAME, for example ABOUT/train/ABOUT_00001, for the numbers begin anew in each split. STORE_DIR gets WORD.h5
for each word, contact.png, to look at, and skipped.csv, if clips had to be left out. Only the clips of the word in work
are in loose files. Run it again to go on after an interruption, or after adding clips.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from preprocess.making.clip import RawClip
from preprocess.making.corpus import add_arguments, check_arguments, make_store
from utils.cli import parser
from utils.errors import UserError, run
from utils.files import writable_folder

SPLITS = ("train", "val", "test")


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("raw", type=Path, help="folder of the corpus, with one folder for each word")
    flags.add_argument("store", type=Path, help="folder for the store")
    add_arguments(flags)
    return flags.parse_args(argv)


def find_words(raw: Path) -> list[Path]:
    """The folders of all words, sorted. Raises UserError where there are none."""
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give the one that holds ABOUT, ABSOLUTELY, ...")
    words = sorted(folder for folder in raw.iterdir() if any((folder / split).is_dir() for split in SPLITS))
    if not words:
        raise UserError(
            f"{raw}: no WORD/train, WORD/val or WORD/test in it; give the folder that holds ABOUT, ..."
        )
    return words


def find_clips(word: Path) -> list[RawClip]:
    """All clips of one word, sorted by id"""
    videos = [video for split in SPLITS for video in sorted((word / split).glob("*.mp4"))]
    return sorted((describe(video) for video in videos), key=lambda clip: clip.id)


def describe(video: Path) -> RawClip:
    """What the layout of the corpus says about one video"""
    word, split = video.parts[-3:-1]
    sound = video.with_suffix(".wav")
    return RawClip(
        id=f"{word}/{split}/{video.stem}",
        video=video,
        source=f"{word}/{split}/{video.name}",
        transcript=word,
        split=split,
        sound=sound if sound.exists() else None,
        metadata=read_notes(video.with_suffix(".txt")),
    )


def read_notes(path: Path) -> dict[str, str]:
    """The "name: value" lines of a clip's .txt, nothing where there is none"""
    if not path.is_file():
        return {}
    pairs = (line.partition(":") for line in path.read_text(errors="replace").splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def shards(words: list[Path], store: Path) -> Iterator[tuple[Path, list[RawClip]]]:
    for word in words:
        yield store / f"{word.name}.h5", find_clips(word)


def main(args: Namespace) -> None:
    check_arguments(args)
    words = find_words(args.raw)
    make_store(writable_folder(args.store), shards(words, args.store), args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
