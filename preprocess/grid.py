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
from pathlib import Path

from preprocess.making.clip import RawClip
from preprocess.making.corpus import add_arguments, check_arguments, make_store
from utils.align import find_align, read_times, read_transcript
from utils.cli import parser
from utils.errors import UserError, run

VIDEOS = set(".mpg .mpeg .mp4 .m4v .mov .avi .mkv .webm .mts .ts .flv .wmv .vob .ogv".split())
SPEAKER = re.compile(r"s\d+")


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


def main(args: Namespace) -> None:
    check_arguments(args)
    if args.store.suffix not in (".h5", ".hdf5"):
        raise UserError(f"{args.store}: the store is one .h5 file; give a name that ends so")
    make_store(args.store, [(args.store, find_clips(args.raw))], args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
