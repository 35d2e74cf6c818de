"""A store's clips -> by how much the lips of each are late of its sound, so that training can move the sound to them.

    python -m preprocess.offsets STORE.h5 OFFSETS.csv [--weights weights/lip2speech.safetensors]
    python lip2speech.py --grid STORE.h5 -offsets OFFSETS.csv ...

Sound and picture of a corpus are seldom cut to the same instant (GRID's differ by up to a frame, now and then by two),
and a network that is to tell one from the other learns the blur of it. Lip-to-speech says each clip with what it sees;
where the recording fits that best, of all moves by quarter frames (10 ms), is its offset. What is common to all clips
is the network's own habit, and is taken away; what moves by more than 3 frames is taken for an error, and stays. The
table has a row a clip: clip, offset in video frames, likeness (the correlation that the best move reaches). Clips
without sound are left out.
"""

from __future__ import annotations

import csv
import math
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from data.lips.speech import mouth_clip
from data.store import Clip, aligned_store
from models import load_model
from models.lips.generator import LipToSpeech
from models.lips.windows import look, speak
from utils.audio import is_silent
from utils.audio.offset import best_offset
from utils.cli import add_device_flags, add_flag, add_number, parser, pick_device
from utils.errors import UserError, run
from utils.files import replacing, writable_folder

FARTHEST = 3.0  # frames
SHIPPED = Path(__file__).parent.parent / "weights/lip2speech.safetensors"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, metavar="STORE.h5", help="clip store, a file or a folder")
    flags.add_argument("offsets", type=Path, metavar="OFFSETS.csv", help="the table to make")
    add_flag(flags, "weights", type=Path, default=SHIPPED, help="of lip-to-speech (default: the shipped)")
    add_number(flags, "limit", None, "only so many clips, the first", least=1, kind=int)
    add_device_flags(flags)
    return flags.parse_args(argv)


def offset_of(network: LipToSpeech, clip: Clip) -> tuple[float, float]:
    """Frames by which the clip's lips are late of its sound, and the likeness there; nan, nan where nothing is said."""
    heard = mouth_clip(clip, network.config["size"], network.config["view"])
    voice = heard.mel if network.voice is not None else None
    said = torch.cat([one.mel for one in speak(network, look(network, [heard.mouths]), voice=voice)], dim=1)
    return best_offset(said.float().cpu().numpy(), heard.mel.numpy())


def centred(offsets: dict[str, float]) -> dict[str, float]:
    """Less what most clips have in common; 0 where a clip would move farther than 3 frames."""
    habit = float(np.median(list(offsets.values())))
    moved = {id: offset - habit for id, offset in offsets.items()}
    return {id: offset if abs(offset) <= FARTHEST else 0.0 for id, offset in moved.items()}


def main(args: Namespace) -> None:
    device = pick_device(args.cuda, args.device_ids)
    network = load_model(args.weights, device, expect=LipToSpeech).eval()
    store = aligned_store(args.store)
    if args.offsets.is_dir():
        raise UserError(f"{args.offsets}: is a folder; give the name of a table, OFFSETS.csv")
    writable_folder(args.offsets.parent)
    ids = list(store.ids)[: args.limit]
    clips = (store[id] for id in tqdm(ids, unit="clip", leave=False))
    found = {clip.id: offset_of(network, clip) for clip in clips if not is_silent(clip.audio)}
    told = {id: offset for id, (offset, _) in found.items() if not math.isnan(offset)}
    if not told:
        raise UserError(f"{args.store}: none of its clips has sound that could be early or late")
    offsets = centred(told)
    with replacing(args.offsets) as part, part.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip", "offset", "likeness"])
        table.writerows([id, f"{offset:.2f}", f"{found[id][1]:.3f}"] for id, offset in offsets.items())
    spread = float(np.std(list(offsets.values())))
    print(
        f"{args.offsets}: {len(offsets)} clips, whose lips are late by {spread:.2f} frames, standard deviation"
    )


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
