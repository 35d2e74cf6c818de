"""NR-net's noise file: recordings of your own, or noises made here, at 8 kHz.

    python -m preprocess.noise FOLDER NOISE.h5                           the sound files of FOLDER and its sub-folders
    python -m preprocess.noise --generate STORE NOISE.h5 --splits DIR    babble of a clip store's voices, and others

A file below a folder named "test" is kept from training; the name of the folder that a file lies in is its kind.
Generated are, for training, babble (several voices of the training split at once), modulated pink noise and machine
hum; for tests other recordings of these (babble of the test split's voices), and chords, clicks and sirens, which
training never hears.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import h5py
import numpy as np
from tqdm import tqdm

from data.nrnet import Noise
from data.splits import add_split_flags, clip_ids
from data.store import ClipStore, group_of
from utils.audio import SAMPLE_RATE
from utils.audio.noise import GENERATORS, SEEN, SILENCE, UNSEEN, power
from utils.audio.raw_speech import SPEECH_RATE, SPEECH_WINDOW
from utils.cli import parser
from utils.errors import UserError, run
from utils.files import replacing
from utils.media.read import AUDIO_SUFFIXES, read_audio, resample

LONGEST = 3600  # seconds of a generated recording
VOICES = 60  # clips that a babble is made of, at most


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument(
        "source", type=Path, metavar="FOLDER|STORE", help="sound, or with --generate a clip store"
    )
    flags.add_argument("noise", type=Path, metavar="NOISE.h5", help="file to write")
    flags.add_argument("--generate", action="store_true", help="make noises, with voices of the clip store")
    add_split_flags(flags, "train.txt and test.txt")
    flags.add_argument("--seconds", type=float, default=60, help="of each generated recording (default 60)")
    flags.add_argument("--recordings", type=int, default=4, help="generated of each kind (default 4)")
    flags.add_argument("--seed", type=int, default=0, help="of what is generated (default 0)")
    return flags.parse_args(argv)


def recordings(folder: Path) -> Iterator[tuple[str, Noise]]:
    """(name, recording) of every sound file that can be used; says which cannot"""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES and f.is_file())
    for file in tqdm(files, "noises", unit="file"):
        try:
            samples = read_audio(file, SPEECH_RATE)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if len(samples) < SPEECH_WINDOW or power(samples) < SILENCE:
            print(f"left out: {file}: shorter than 280 ms, or silent", file=sys.stderr)
            continue
        place = file.relative_to(folder)
        kind = file.parent.name if len(place.parts) > 1 else file.stem
        yield place.as_posix().replace("/", ":"), Noise(samples, kind, "test" not in place.parts[:-1])


def generated(args: Namespace) -> Iterator[tuple[str, Noise]]:
    """(name, recording) of the kinds that training may hear, and of those, and others, that only tests do"""
    store = ClipStore(args.source)
    voices = {seen: read_voices(store, args, "train" if seen else "test") for seen in (True, False)}
    length = int(args.seconds * SPEECH_RATE)
    jobs = [(kind, side, n) for side, kinds in (("train", SEEN), ("test", SEEN + UNSEEN)) for kind in kinds
            for n in range(args.recordings)]  # fmt: skip
    for kind, side, number in tqdm(jobs, "noises", unit="recording"):
        name, seen = f"{side}_{kind}_{number}", side == "train"
        random = np.random.default_rng((args.seed, crc32(name.encode())))
        more = (voices[seen],) if kind == "babble" else ()
        yield name, Noise(GENERATORS[kind](length, random, *more), kind, seen)


def read_voices(store: ClipStore, args: Namespace, split: str) -> list[np.ndarray]:
    """Speech (n,) at 8 kHz of a split, one clip of every group (see `group_of`) before a second of any"""
    ids = sorted(clip_ids(store, args.dataset, split, args.splits), key=lambda id: crc32(id.encode()))
    seen: Counter[str] = Counter()
    turns = []
    for id in ids:
        turns.append((seen[group_of(id)], id))
        seen[group_of(id)] += 1
    return [resample(store[id].audio, SAMPLE_RATE, SPEECH_RATE) for _, id in sorted(turns)[:VOICES]]


def write(path: Path, noises: Iterator[tuple[str, Noise]]) -> dict[str, int]:
    """Writes the file whole or not at all -> how many recordings of each side it holds"""
    counts = dict(train=0, test=0)
    with replacing(path) as part, h5py.File(part, "w") as file:
        for name, noise in noises:
            side = "train" if noise.seen else "test"
            file[name] = noise.samples
            file[name].attrs.update(kind=noise.kind, side=side)
            counts[side] += 1
        if not sum(counts.values()):
            raise UserError(
                f"{path}: not written, for there is no sound file that can be used; see --generate"
            )
    return counts


def main(args: Namespace) -> None:
    if not 1 <= args.seconds <= LONGEST or args.recordings < 1 or args.seed < 0:
        raise UserError(
            f"give --seconds from 1 to {LONGEST}, --recordings of at least 1, --seed of at least 0"
        )
    if not args.generate and not args.source.is_dir():
        raise UserError(f"{args.source}: no such folder of sound files; see --generate")
    counts = write(args.noise, generated(args) if args.generate else recordings(args.source))
    print(f"{args.noise}: {counts['train']} recordings to train, {counts['test']} to test with")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
