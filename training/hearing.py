"""What Whisper hears of the training's windows, kept beside the store: its encoder is frozen, and costs the most."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import torch
from tqdm import tqdm

from data.atnet import VoiceWindows
from data.splits import ids_hash
from data.store import ClipStore
from data.stores.hdf5 import FAULTS, refuse_foreign
from models import WhisperATNet
from models.atnet_whisper import SAMPLES, WINDOW, recording_windows
from utils.distributed import gather, is_main
from utils.errors import note
from utils.files import replacing

AT_ONCE = 8  # windows


def heard_path(store: Path) -> Path:
    """grid.h5 -> grid_whisper.hdf5, a folder -> whisper.hdf5 inside: no store's file is called so"""
    return store / "whisper.hdf5" if store.is_dir() else store.with_name(f"{store.stem}_whisper.hdf5")


def heard_windows(args: Namespace, model: WhisperATNet, store: ClipStore, ids: Sequence[str]) -> Path:
    """The file of features and motion of -windows windows, made by the main process where it is not there yet."""
    path = heard_path(Path(args.dataset_dir))
    settings = dict(
        windows=args.windows,
        seed=args.seed,
        augment=args.augment,
        speaker_power=args.speaker_power,
        clips=ids_hash(f"{id} {store.lengths[id]}" for id in ids),
        encoder=weights_hash(model.encoder),
    )
    if is_main() and read_settings(path) != settings:
        if path.exists():
            note(f"{path}: was made with other flags, clips or weights; it is made again")
        windows = VoiceWindows(store, ids, WINDOW, args.seed, args.augment, args.speaker_power)
        write(path, model, windows, args.windows, settings)
    gather(None)  # the others wait
    return path


def heard_clips(model: WhisperATNet, store: ClipStore, ids: Sequence[str]) -> dict[str, torch.Tensor]:
    """What the encoder hears of whole clips, (W, 100, D) in half precision, by their ids; in the main process alone"""
    heard = {}
    for id in ids if is_main() else ():
        audio = torch.from_numpy(store[id].audio).to(model.landmark_mean.device)
        heard[id] = model.features(recording_windows(audio.view(1, -1, SAMPLES))[0]).half()
    return heard


def read_settings(path: Path) -> dict | None:
    """How the file was made; None where there is none, or no whole one"""
    try:
        with h5py.File(path, "r", locking=False) as file:
            refuse_foreign(file)
            return json.loads(file.attrs["settings"])
    except FAULTS:
        return None


def write(path: Path, model: WhisperATNet, windows: VoiceWindows, count: int, settings: dict) -> None:
    """Writes the first `count` windows, whole or not at all."""
    width = model.head.linear.in_features
    with replacing(path) as part, h5py.File(part, "w") as file:
        sizes = dict(features=width, motion=136)
        for name, size in sizes.items():
            file.create_dataset(name, (count, WINDOW, size), np.float16, chunks=(1, WINDOW, size))
        for first in tqdm(range(0, count, AT_ONCE), "hearing", unit_scale=AT_ONCE, unit=" windows"):
            drawn = [windows[number] for number in range(first, min(first + AT_ONCE, count))]
            sounds, motions = (np.stack(kind).astype(np.float32) for kind in zip(*drawn, strict=True))
            chosen = slice(first, first + len(drawn))
            features = model.features(torch.from_numpy(sounds).to(model.landmark_mean.device))
            file["features"][chosen], file["motion"][chosen] = features.half().cpu().numpy(), motions
        file.attrs["settings"] = json.dumps(settings)


def weights_hash(network: torch.nn.Module) -> str:
    """16 hexadecimal digits that stand for a network's weights"""
    digest = sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()[:16]
