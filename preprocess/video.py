"""A folder of talking videos -> a clip store, by default of fixed crops in which the heads move.

    python -m preprocess.video FOLDER STORE.h5 [--crop static|aligned] [--size 256] [--seconds 20] [--workers N]
    torchrun --nproc_per_node 4 -m preprocess.video FOLDER STORE.h5 --workers 1    (also over several machines)

FOLDER holds videos in any format that FFmpeg reads, in folders or not. A video's path without suffix is the clip's id,
such as id00012/21Uxsk56VDQ/00001 in VoxCeleb's layout, and the first folder is the speaker; a video that lies in no
folder is a speaker of its own, me.mp4 for example the clip me/me. The sound is that of a .wav or .m4a of the same name
beside the video, or of the same path in the folder that --sound names (VoxCeleb2: FOLDER dev/mp4, --sound dev/aac), or
the video's own. The transcript, where there is one, is in NAME.align or align/NAME.align as GRID has it, or NAME.txt.

Videos of more than --seconds become pieces, NAME_000, NAME_001 ..., and so do those of several shots; memory does not
grow with their length. Of each piece the longest stretch with a face is kept, if it is a second or more. Beside the
store the command leaves STORE_contact.png, to look at, and STORE_skipped.csv, if videos or pieces had to be left out,
with the reasons. Run it again to go on after an interruption, or after adding videos.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data.store import STATIC
from preprocess.grid import VIDEOS
from preprocess.making.clip import RawClip
from preprocess.making.corpus import add_arguments, check_arguments, make_store
from preprocess.making.pieces import video_of
from utils.align import find_align, read_times, read_transcript
from utils.cli import parser
from utils.errors import UserError, note, run

SOUNDS = (".wav", ".WAV", ".m4a", ".M4A")
LONGEST_TEXT = 100_000  # characters of a transcript; what is longer is none


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("raw", type=Path, metavar="FOLDER", help="folder of videos")
    flags.add_argument("store", type=Path, metavar="STORE.h5", help="the store to make, a .h5 file")
    add_arguments(flags, crop=STATIC)
    flags.add_argument("--seconds", type=float, default=20.0, help="longest piece of a video (default 20)")
    flags.add_argument(
        "--sound", type=Path, metavar="DIR", help="folder of the videos' sounds, laid out alike"
    )
    return flags.parse_args(argv)


def find_clips(raw: Path, sounds: Path | None = None) -> list[RawClip]:
    """All videos of the folder, sorted by id. Raises UserError where there are none, or two would be mixed up."""
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give one that holds videos")
    found: dict[str, RawClip] = {}
    for video in sorted(_videos(raw), key=lambda video: (len(video.parts), video)):
        clip = describe(video, raw, sounds)
        if clip.id in found:
            note(
                f"{video}: is left out, {found[clip.id].video} has the same id {clip.id}; rename one of them"
            )
        found.setdefault(clip.id, clip)
    if not found:
        raise UserError(f"{raw}: no videos in this folder")
    for id in found:
        _refuse_confusion(id, found)
    return [found[id] for id in sorted(found)]


def _videos(raw: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(raw, followlinks=True):
        for name in names:
            if Path(name).suffix.lower() in VIDEOS and not name.startswith("."):
                yield Path(folder, name)


def _refuse_confusion(id: str, found: dict[str, RawClip]) -> None:
    """Raises UserError where an id could be that of another video's piece, or a folder of the store."""
    whole = video_of(id)
    if whole != id and whole in found:
        raise UserError(
            f"{found[id].video}: is called as a piece of {found[whole].video} would be; rename one of them"
        )
    parts = id.split("/")
    for over in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
        if over in found:
            raise UserError(f"{found[over].video}: is called as the folder {over} is; rename one of them")


def describe(video: Path, raw: Path, sounds: Path | None = None) -> RawClip:
    """What the folder says about one video"""
    inside = video.relative_to(raw)
    speaker = inside.parts[0] if len(inside.parts) > 1 else inside.stem
    homes = [video, *([sounds / inside] if sounds else [])]
    heard = (home.with_suffix(suffix) for home in homes for suffix in SOUNDS)
    align = find_align(video.stem, video.parent)
    return RawClip(
        id=inside.with_suffix("").as_posix() if len(inside.parts) > 1 else f"{speaker}/{speaker}",
        video=video,
        source=inside.as_posix(),
        speaker=speaker,
        transcript=read_transcript(align) if align else read_text(video.with_suffix(".txt")),
        sound=next((sound for sound in heard if sound.is_file()), None),
        metadata=read_times(align) if align else {},
    )


def read_text(path: Path) -> str:
    """The words of a transcript's .txt, nothing where there is none

    LRS's files have them in a line "Text: ...", and VoxCeleb's, which begin with the identity, have none.
    """
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(LONGEST_TEXT + 1)
    lines = text.splitlines()
    if len(text) > LONGEST_TEXT or "\0" in text or (lines and lines[0].startswith("Identity")):
        return ""
    said = next((line.removeprefix("Text:") for line in lines if line.startswith("Text:")), text)
    return " ".join(said.split())


def main(args: Namespace) -> None:
    check_arguments(args)
    if not 1 <= args.seconds <= 600:
        raise UserError(f"--seconds {args.seconds:g}: give 1 to 600 seconds")
    if args.store.suffix not in (".h5", ".hdf5"):
        raise UserError(f"{args.store}: the store is one .h5 file; give a name that ends so")
    if args.sound and not args.sound.is_dir():
        raise UserError(f"{args.sound}: no such folder of sounds")
    make_store(args.store, [(args.store, find_clips(args.raw, args.sound))], args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
