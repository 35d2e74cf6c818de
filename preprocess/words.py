"""A store of GRID's clips -> a store of its words, in the form of LRW: 29 frames, each word in the middle.

    python -m preprocess.words STORE.h5 WORDS.h5 [--align GRID] [--splits DIR]

Each word of a sentence becomes a clip of 29 frames with their 1.16 s of sound, whose frame 14 shows the middle of the
word; where the sentence's clip ends before that, its last frame is repeated in silence, and so before it begins. The
id is WORD/SPLIT/SPEAKER_CLIP_N, for example bin/train/s1_bbaf2n_1, N the word's place in its sentence; its transcript
is the word; its metadata hold the clip that it is cut from and the word's first and last frame, of the 29: clip,
word_first, word_last. The split is that of the sentence: of the lists in DIR, or as training splits a store.

Times of words are in stores that preprocess.grid made with the corpus' .align files at hand; for others --align names
the folder that holds s1/align/*.align, s1/*.align or align/s1/*.align. Frames are copied as they are, not encoded
again. Beside the store the command leaves WORDS_contact.png, to look at, and WORDS_skipped.csv, if clips or words had
to be left out.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from data.lips.words import FRAMES, UnknownWordError, grid_words, word_window
from data.splits import SPLITS, clip_ids
from data.store import Clip, ClipStore, aligned_store, group_of
from data.store_writer import ClipArrays, write_attributes, write_clip, write_index
from preprocess.making.clip import clip_mfcc
from preprocess.making.contact_sheet import draw_contact_sheet
from preprocess.making.corpus import beside, list_skipped
from utils.align import Spoken
from utils.audio import SAMPLES_PER_FRAME
from utils.cli import add_flag, parser
from utils.errors import UserError, run
from utils.files import replacing

OF_THE_SENTENCE = {"words", "first_frame", "source_frames"}  # metadata that do not hold for a word's clip


@dataclass(frozen=True)
class Cut:
    """Where a word lies: the clip's frame, perhaps before its first, that becomes frame 0, and the word's own frames"""

    id: str
    word: str
    start: int
    first: int  # of the 29
    last: int


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, metavar="STORE.h5", help="clip store of GRID, a file or a folder")
    flags.add_argument("words", type=Path, metavar="WORDS.h5", help="the store to make, a .h5 file")
    add_flag(flags, "align", type=Path, metavar="GRID", help="folder of s1/align/*.align or s1/*.align")
    help = "folder with train.txt, val.txt, test.txt, unseen.txt, one clip id a line (default: GRID's own splits)"
    add_flag(flags, "splits", type=Path, metavar="DIR", help=help)
    return flags.parse_args(argv)


def plan(store: ClipStore, args: Namespace) -> tuple[dict[str, list[Cut]], dict[str, str]]:
    """What to cut out of each clip, and why clips, or single words, are left out.

    Raises UserError where neither store nor folder tells when words are said, and for a file with an unknown word.
    """
    if args.align is None and not any("words" in clip.metadata for clip in store):
        raise UserError(
            f"{store.path}: does not tell when words are said; give the .align files with --align"
        )
    names = reversed(SPLITS)  # what is test and unseen is test
    splits = {id: name for name in names for id in clip_ids(store, "grid", name, args.splits, optional=True)}
    cuts: dict[str, list[Cut]] = {}
    skipped: dict[str, str] = {}
    for clip in store:
        try:
            if clip.id not in splits:
                raise UserError(f"in none of the lists of {args.splits}")
            found = sentence(clip, splits[clip.id], grid_words(clip, args.align))
        except UnknownWordError:
            raise
        except UserError as error:
            skipped[clip.id] = str(error)
            continue
        cuts[clip.id] = [one for one in found if 0 <= one.start + FRAMES // 2 < clip.length]
        lost = (one.id for one in found if one not in cuts[clip.id])
        skipped |= dict.fromkeys(lost, f"its middle is not in the {clip.length} frames of {clip.id}")
    return cuts, skipped


def sentence(clip: Clip, split: str, words: list[Spoken]) -> list[Cut]:
    """All words of a clip, also those whose frames it lacks"""
    offset, name = int(clip.metadata.get("first_frame", 0)), clip.id.replace("/", "_")
    return [
        cut(f"{word.word}/{split}/{name}_{number}", word, offset)
        for number, word in enumerate(words, start=1)
    ]


def cut(id: str, spoken: Spoken, offset: int) -> Cut:
    """offset: of the clip's first frame in the video that the times are of"""
    begin, first, last = word_window(spoken.start, spoken.end, offset)
    return Cut(id, spoken.word, begin, first, last)


def word_clips(clip: Clip, cuts: list[Cut]) -> list[ClipArrays]:
    """The clips of a sentence's words; each array of the sentence is read once"""
    codes, sound = clip.encoded(), clip.audio
    arrays = {name: getattr(clip, name) for name in ("landmarks", "source_landmarks", "transforms")}
    edge = FRAMES * SAMPLES_PER_FRAME
    padded = np.pad(sound, edge)  # a word's middle is in the clip, so that no cut reaches farther
    notes = {name: value for name, value in clip.metadata.items() if name not in OF_THE_SENTENCE}
    clips = []
    for one in cuts:
        frames = np.clip(one.start + np.arange(FRAMES), 0, clip.length - 1)
        audio = padded[edge + one.start * SAMPLES_PER_FRAME :][:edge]
        place = dict(clip=clip.id, word_first=str(one.first), word_last=str(one.last))
        clips.append(
            ClipArrays(
                pictures=[codes[frame].tobytes() for frame in frames],
                **{name: array[frames] for name, array in arrays.items()},
                audio=audio,
                mfcc=clip_mfcc(audio),
                speaker=clip.speaker,
                transcript=one.word,
                source=clip.source,
                source_size=clip.source_size,
                split=one.id.split("/")[1],
                metadata=notes | place,
            )
        )
    return clips


def write(path: Path, store: ClipStore, cuts: dict[str, list[Cut]]) -> None:
    """Writes the store of words, whole or not at all"""
    attributes = store.attributes | dict(parameters=store.attributes["parameters"] | dict(frames=FRAMES))
    with replacing(path) as part, h5py.File(part, "w") as file:
        write_attributes(file, attributes)
        for id in tqdm(cuts, "words", unit="clip"):
            for one, clip in zip(cuts[id], word_clips(store[id], cuts[id]), strict=True):
                write_clip(file.create_group(f"clips/{one.id}"), clip)
        write_index(file)


def main(args: Namespace) -> None:
    if args.words.suffix not in (".h5", ".hdf5"):
        raise UserError(f"{args.words}: the store is one .h5 file; give a name that ends so")
    if args.words.resolve() == args.store.resolve():
        raise UserError(f"{args.words}: is the clip store to read; choose another name for that of its words")
    if args.words.exists() and any(id.count("/") != 2 for id in ClipStore(args.words).ids):
        raise UserError(f"{args.words}: is a store, but not of words; choose another name")
    if args.align and not args.align.is_dir():
        raise UserError(f"{args.align}: no such folder of .align files")
    store = aligned_store(args.store)
    cuts, skipped = plan(store, args)
    listing, sheet = list_skipped(args.words, skipped), beside(args.words, "contact.png")
    ids = [one.id for found in cuts.values() for one in found]
    if not ids:
        id, reason = next(iter(skipped.items()))
        raise UserError(
            f"{args.words}: not made, no word can be cut, see {listing}; the first: {id}: {reason}"
        )
    write(args.words, store, cuts)
    draw_contact_sheet(ClipStore(args.words), sheet)
    counts = Counter(id.split("/")[1] for id in ids)
    parts = ", ".join(f"{counts[name]} {name}" for name in SPLITS if counts[name])
    why = f" (reasons in {listing})" if skipped else ""
    classes = len({group_of(id) for id in ids})
    print(
        f"{args.words}: {len(ids)} clips of {classes} words: {parts}; {len(skipped)} skipped{why}; look at {sheet}"
    )


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
