"""NR-net's training file out of a clip store: raw 8 kHz speech and PCA coefficients of the faces' motion.

    python -m preprocess.nrnet STORE TRAIN.h5 --dataset grid --splits DIR [--components 6]

Takes the clips of the splits train and val, each marked as such; the principal components are fit on train alone, on
motion relative to each speaker's rest shape, as AT-net's are. data/nrnet_file.py describes the layout.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from data.atnet import clip_motion
from data.splits import add_split_flags, clip_ids
from data.store import ClipStore, aligned_store
from data.store_writer import TEXT
from preprocess.pca import fit
from utils.audio import SAMPLE_RATE
from utils.audio.raw_speech import SPEECH_RATE, SPEECH_STEP
from utils.cli import parser
from utils.errors import UserError, run
from utils.face.basis import LandmarkBasis
from utils.files import replacing
from utils.media.read import resample


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, metavar="STORE", help="clip store, a file or a folder")
    flags.add_argument("train", type=Path, metavar="TRAIN.h5", help="file to write")
    add_split_flags(flags, "train.txt and val.txt")
    flags.add_argument("--components", type=int, default=6, help="of the PCA (default 6, as in the paper)")
    return flags.parse_args(argv)


def write(path: Path, store: ClipStore, split: dict[str, str], basis: LandmarkBasis) -> None:
    """split {id: train or val} -> the file, clip by clip, whole or not at all"""
    frames, components = max(store.lengths[id] for id in split), basis.components.shape[1]
    with replacing(path) as part, h5py.File(part, "w") as file:
        speech = file.create_dataset("speech", (len(split), SPEECH_STEP * frames), "f4")
        landmarks = file.create_dataset("landmarks", (len(split), frames, components), "f4")
        for row, id in enumerate(tqdm(split, "clips", unit="clip")):
            clip = store[id]
            coefficients = basis.project(clip_motion(clip, store.size)[0])
            length = len(coefficients)
            sound = resample(clip.audio, SAMPLE_RATE, SPEECH_RATE)[: SPEECH_STEP * length]
            speech[row, : len(sound)] = sound
            landmarks[row] = np.pad(coefficients, ((0, frames - length), (0, 0)), mode="edge")
        file["lengths"] = np.array([store.lengths[id] for id in split], np.int64)
        file.create_dataset("ids", data=list(split), dtype=TEXT)
        file.create_dataset("split", data=list(split.values()), dtype=TEXT)
        for name in ("mean", "components", "eigenvalues"):
            file[name] = getattr(basis, name)
        file.attrs["space"], file.attrs["rest_opening"] = basis.space, basis.rest_opening


def main(args: Namespace) -> None:
    if not 1 <= args.components <= 135:
        raise UserError(f"--components {args.components}: give a number from 1 to 135")
    if args.train.resolve() == args.store.resolve():
        raise UserError(f"{args.train}: is the clip store to read; choose another name for the new file")
    store = aligned_store(args.store)
    names = {
        name: clip_ids(store, args.dataset, name, args.splits, name == "val") for name in ("train", "val")
    }
    basis, shares, _ = fit(store, names["train"], args.components)
    write(args.train, store, {id: name for name, ids in names.items() for id in ids}, basis)
    counts = ", ".join(f"{len(ids)} clips to {name}" for name, ids in names.items())
    print(f"{args.train}: {counts}; {args.components} components hold {shares.sum():.1%} of the motion")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
