"""What a kept front-end sees of the training's words, kept beside the store: it learns nothing, and costs the most."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from data.lips.words import COLUMNS, FRAMES, WordSamples, hide
from data.loader import Sampling
from data.splits import ids_hash
from data.store import ClipStore
from models.reading.reader import LipReader
from training.hearing import read_settings, weights_hash
from utils.distributed import gather, is_main
from utils.errors import note
from utils.face.mouth import to_mouth_network
from utils.files import replacing

AT_ONCE = 16  # words
MELS = 80


def seen_path(store: Path) -> Path:
    """words.h5 -> words_seen.hdf5, a folder -> seen.hdf5 inside: no store's file is called so"""
    return store / "seen.hdf5" if store.is_dir() else store.with_name(f"{store.stem}_seen.hdf5")


class SeenWords(Dataset):
    """Sample number n, as of `WordSamples`, but mouths (29, F) are what the front-end sees of them

    augment: half of them mirrored, mels with bands and columns hidden; mouths change no further.
    """

    def __init__(
        self, samples: WordSamples, ids: Sequence[str], path: Path, seed: int, power: float = 1.0
    ) -> None:
        self.labels, self.augment, self.path = samples.labels, samples.augment, path
        self.rows = {id: row for row, id in enumerate(ids)}
        self.sampling = Sampling(samples.store, ids, 1, seed, power)
        self.file: h5py.File | None = None

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if self.file is None:  # each loader process opens its own
            self.file = h5py.File(self.path, "r", locking=False)
        id, random = self.sampling.draw(number)
        row, mirrored = self.rows[id], int(self.augment and random.random() < 0.5)
        mel = torch.from_numpy(self.file["mel"][row].astype(np.float32))
        return dict(
            mouths=torch.from_numpy(self.file["features"][row, mirrored].astype(np.float32)),
            mel=hide(mel, random) if self.augment else mel,
            boundary=torch.from_numpy(self.file["boundary"][row].astype(np.float32)),
            label=torch.tensor(self.labels[id]),
        )

    def __getstate__(self) -> dict:
        return {**self.__dict__, "file": None}


def seen_words(
    args: Namespace, model: LipReader, samples: WordSamples, store: ClipStore, ids: Sequence[str]
) -> SeenWords:
    """The words as the front-end sees them; the main process writes the file where it is not there yet."""
    path = seen_path(Path(args.dataset_dir))
    settings = dict(
        clips=ids_hash(f"{id} {store.lengths[id]}" for id in ids),
        front=weights_hash(model.frontend),
        size=args.size,
        view=args.view,
    )
    if is_main() and read_settings(path) != settings:
        if path.exists():
            note(f"{path}: was made with other weights or words; it is made again")
        write(path, model, samples, ids, settings)
    gather(None)  # the others wait
    return SeenWords(samples, ids, path, args.seed, args.speaker_power)


@torch.inference_mode()
def write(path: Path, model: LipReader, samples: WordSamples, ids: Sequence[str], settings: dict) -> None:
    """Writes all words, in order, plain and mirrored, whole or not at all."""
    device, width = next(model.parameters()).device, model.frontend.features
    shapes = dict(features=(2, FRAMES, width), mel=(MELS, FRAMES * COLUMNS), boundary=(FRAMES,))
    frontend = model.frontend.eval()
    with replacing(path) as part, h5py.File(part, "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(name, (len(ids), *shape), np.float16, chunks=(1, *shape))
        for first in tqdm(range(0, len(ids), AT_ONCE), "seeing", unit_scale=AT_ONCE, unit=" words"):
            words = [samples.whole(id) for id in ids[first : first + AT_ONCE]]
            rows = slice(first, first + len(words))
            mouths = to_mouth_network(torch.stack([word["mouths"] for word in words]).to(device))
            seen = torch.stack([frontend(mouths), frontend(mouths.flip(-1))], dim=1)
            file["features"][rows] = seen.half().cpu().numpy()
            for name in ("mel", "boundary"):
                file[name][rows] = torch.stack([word[name] for word in words]).half().numpy()
        file.attrs["settings"] = json.dumps(settings)
