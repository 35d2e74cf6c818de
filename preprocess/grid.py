"""The GRID corpus -> a clip store.

    python -m preprocess.grid RAW STORE.h5 [--workers N]
    torchrun --nproc_per_node 4 -m preprocess.grid RAW STORE.h5 --workers 1     (also over several machines)

RAW is the corpus as people have it: s1/*.mpg, s1/video/mpg_6000/*.mpg, or any container that FFmpeg reads; the sound in
the video or in a .wav of the same name beside it; transcripts and the words' times, where present, in align/*.align. A
clip's id is SPEAKER/NAME, for example s1/bbaf2n. Beside the store the command leaves STORE_contact.png, to look at, and
STORE_skipped.csv, if clips had to be left out. Run it again to go on after an interruption, or after adding clips.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import NamedTuple

from preprocess.clip import RawClip
from preprocess.corpus import add_arguments, check_arguments, make_store
from utils.cli import parser
from utils.errors import UserError, run

VIDEOS = set(".mpg .mpeg .mp4 .m4v .mov .avi .mkv .webm .mts .ts .flv .wmv .vob .ogv".split())
SPEAKER = re.compile(r"s\d+")
SILENCE = {"sil", "sp"}
ALIGN_RATE, MILLISECONDS = (
    25000,
    1000,
)  # units of an .align file in a second: the corpus' own, and some copies'
SHORTEST = (
    0.5  # seconds to the end of a clip's last word; GRID's are three long, so that the unit can be told
)


class Spoken(NamedTuple):
    """A word of a sentence; its start and end in seconds of the video."""

    word: str
    start: float
    end: float


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("raw", type=Path, help="folder of the corpus")
    flags.add_argument("store", type=Path, help="the store to make, a .h5 file")
    add_arguments(flags)
    return flags.parse_args(argv)


def find_clips(raw: Path) -> list[RawClip]:
    """All clips of the corpus, sorted by id; of two videos with one id, the one in the shallower folder.

    Raises UserError where there are none.
    """
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give the one that holds s1, s2, ...")
    videos = (Path(folder, name) for folder, _, names in os.walk(raw, followlinks=True) for name in names)
    videos = [video for video in videos if video.suffix.lower() in VIDEOS and not video.name.startswith(".")]
    clips: dict[str, RawClip] = {}
    for video in sorted(videos, key=lambda video: (len(video.parts), video)):
        clip = describe(video, raw)
        clips.setdefault(clip.id, clip)
    if not clips:
        raise UserError(f"{raw}: no videos in this folder; give the one that holds s1, s2, ...")
    return [clips[id] for id in sorted(clips)]


def describe(video: Path, raw: Path) -> RawClip:
    """What the layout of the corpus says about one video"""
    inside = video.relative_to(raw)
    folders = [*inside.parts[:-1]]
    named = [folder for folder in folders if SPEAKER.fullmatch(folder)]
    own = raw.resolve().name
    speaker = named[0] if named else own if SPEAKER.fullmatch(own) or not folders else folders[0]
    home = raw.joinpath(*folders[: folders.index(speaker) + 1]) if speaker in folders else raw
    sound = next(
        (video.with_suffix(suffix) for suffix in (".wav", ".WAV") if video.with_suffix(suffix).exists()), None
    )
    align = find_align(video.stem, video.parent, home, raw / "alignments" / speaker)
    return RawClip(
        id=f"{speaker}/{video.stem}",
        video=video,
        source=inside.as_posix(),
        speaker=speaker,
        transcript=read_transcript(align) if align else "",
        sound=sound,
        metadata=read_times(align) if align else {},
    )


def find_align(name: str, *homes: Path) -> Path | None:
    """The first file align/NAME.align or NAME.align in these folders, None where there is none"""
    files = (folder / f"{name}.align" for home in homes for folder in (home / "align", home))
    return next((file for file in files if file.is_file()), None)


def read_transcript(file: Path) -> str:
    """The words of an .align file ("start end word" lines)"""
    return " ".join(line[2] for line in _fields(file) if len(line) == 3 and line[2] not in SILENCE)


def read_times(file: Path) -> dict[str, str]:
    """The metadata `words` of an .align file: nothing where it has none, or no times; its transcript serves without"""
    with suppress(UserError):
        if words := read_align(file):
            return {"words": to_text(words)}
    return {}


def read_align(file: Path) -> list[Spoken]:
    """The words of an .align file with their times. Raises UserError where a line has none that make sense."""
    lines = _fields(file)
    words = _timed(lines, ALIGN_RATE, str(file))
    short = max((word.end for word in words), default=SHORTEST) < SHORTEST
    return _timed(lines, MILLISECONDS, str(file)) if short else words


def _fields(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text(errors="replace").splitlines() if line.strip()]


def _timed(lines: list[list[str]], rate: int, place: str) -> list[Spoken]:
    """Lines (start, end, word), with so many units a second; silence is none of the words"""
    words = []
    for line in lines:
        shown = repr(" ".join(line)[:60])
        try:
            start, end, word = float(line[0]) / rate, float(line[1]) / rate, line[2]
        except (IndexError, ValueError):
            raise UserError(f"{place}: {shown} is not a start, an end and a word; mend it") from None
        if not 0 <= start <= end < inf:
            raise UserError(f"{place}: {shown} does not end after it starts; mend it")
        words += [Spoken(word, start, end)] * (word not in SILENCE)
    return words


def to_text(words: list[Spoken]) -> str:
    """Words and times as a clip's metadata hold them: "0.95 1.18 bin; 1.18 1.36 blue", in seconds"""
    return "; ".join(f"{start:g} {end:g} {word}" for word, start, end in words)


def from_text(text: str, place: str) -> list[Spoken]:
    """What `to_text` wrote. Raises UserError, which begins with the place, for anything else."""
    return _timed([line.split() for line in text.split(";")], 1, place)


def main(args: Namespace) -> None:
    check_arguments(args)
    if args.store.suffix not in (".h5", ".hdf5"):
        raise UserError(f"{args.store}: the store is one .h5 file; give a name that ends so")
    make_store(args.store, [(args.store, find_clips(args.raw))], args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
