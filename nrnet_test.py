"""Measures how well NR-nets follow speech in noise.

    python nrnet_test.py -m BASE NR TC NR_TC -n NOISE.h5 --dataset_dir STORE --splits DIR --split test \\
        -snr=30,20,10,0,-10 -sample_dir results/nrnet_test

Measures networks (the four shipped ones by default) on a clip store's split under every kind of noise in NOISE.h5 that
is not from training, at every ratio of -snr, and writes SAMPLE_DIR/noise.csv, noise.md, noise.png and metrics.json,
with definitions. All networks hear the same stretches of noise, and every run the same as the last. What is compared
is the same as in atnet_test.py; a static face, which is the rest shape in all frames, is the bar to beat. By torchrun
or -device_ids several processes share the clips; the results are the same.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from animation.whole_faces import hear, load_speaker, motion_of
from data.atnet import clip_motion
from data.splits import clip_ids, spread
from data.store import Clip, aligned_store
from evaluation.definitions import definitions
from evaluation.flags import add_clip_flags, parse_command
from evaluation.noise import (
    CLEAN,
    SPEECH_ALONE,
    STATIC,
    Condition,
    NoiseTable,
    figures,
    noisy_versions,
    read_recordings,
)
from evaluation.output import corpus, progress, run_facts, write_json
from models import NRNet
from utils.audio import SAMPLE_RATE
from utils.audio.raw_speech import SPEECH_RATE, set_level
from utils.cli import add_flag, parser
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, run
from utils.face.alignment import stabilise
from utils.face.landmarks import denormalise, normalise
from utils.files import writable_folder
from utils.media.read import resample

RATIOS = "30,25,20,15,10,5,0,-5,-10"
SHIPPED = [
    Path(__file__).parent / f"weights/nrnet{kind}.safetensors" for kind in ("_base", "", "_base_tc", "_tc")
]
GENERATE = (
    "for videos of a folder of speech run python nrnet_generate.py -i SPEECH_FOLDER -m WEIGHTS -o OUT_DIR"
)
STORE = "to measure on a clip store run python nrnet_test.py --dataset_dir STORE -m WEIGHTS ... -n NOISE.h5"
FORMER = {"-i": GENERATE, "--in-folder": GENERATE, "-evaluate": STORE, "--evaluate": STORE}


def parse_args(argv: list[str] | None = None) -> Namespace:
    refuse_former(sys.argv[1:] if argv is None else argv)
    options = parser(__doc__)
    model, noise = ("-m", "-model", "--model"), ("-n", "--in-noise")
    add_flag(
        options, "model_name", *model, type=Path, nargs="+", default=SHIPPED, help="NR-nets (the shipped)"
    )
    store = Path("store/noise.h5")
    options.add_argument(
        *noise, type=Path, default=store, metavar="NOISE.h5", help=f"noises (default {store})"
    )
    add_flag(options, "snr", default=RATIOS, help=f"ratios in dB (default {RATIOS}); write -snr=-5,0")
    add_clip_flags(options, "results/nrnet_test")
    args = parse_command(options, "nrnet_test.py", argv)
    args.snr = ratios(args.snr)
    return args


def refuse_former(argv: list[str]) -> None:
    """Raises UserError, which says what to call instead, for a command of when this script was two."""
    for flag in (one.split("=")[0] for one in argv):
        if flag in FORMER:
            raise UserError(f"nrnet_test.py: has no {flag} any more; {FORMER[flag]}")


def ratios(text: str) -> list[float]:
    """ "30,-5" -> [30.0, -5.0]. Raises UserError for anything else, and for a ratio given twice."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"-snr {text}: give numbers separated by commas") from None
    if not np.isfinite(numbers).all() or len(set(numbers)) < len(numbers):
        raise UserError(f"-snr {text}: give finite numbers, each once")
    return numbers


def load_networks(paths: Iterable[Path], device: torch.device) -> dict[str, NRNet]:
    """By their names in the table"""
    networks: dict[str, NRNet] = {}
    for path in paths:
        network = load_speaker(path, device)
        networks[label(path, network, [*networks])] = network
    return networks


def label(path: Path, network: NRNet, taken: list[str]) -> str:
    """base, NR, TC or NR+TC by how it was trained; with the file's name where there is such a one already"""
    parts = [name for name, has in (("NR", network.metadata.get("noise")), ("TC", network.temporal)) if has]
    name = "+".join(parts) or "base"
    return f"{name} ({path.parent.name}/{path.stem})" if name in taken else name


def sides(networks: dict[str, NRNet], kinds: Iterable[str]) -> dict[str, bool | None]:
    """Whether any network heard noise of a kind in training; None of all kinds where one of them does not say"""
    heard: set[str] = set()
    for network in networks.values():
        notes = network.metadata
        if "noise_kinds" not in notes and notes.get("noise") is not False:
            return dict.fromkeys(kinds)
        heard.update(notes.get("noise_kinds", ()))
    return {kind: kind in heard for kind in kinds}


def measure(networks: dict[str, NRNet], clip: Clip, size: int, versions: dict) -> dict[Condition, dict]:
    """The figures of one clip under all conditions. versions {(kind, ratio): speech (N,)}"""
    _, rest = clip_motion(clip, size)
    true = denormalise(stabilise(normalise(clip.landmarks, size), rest))
    found = {}
    for name, network in networks.items():
        batch = np.stack([set_level(one, network.config["level"]) for one in versions.values()])
        for (kind, ratio), coefficients in zip(versions, hear(network, batch, len(true)), strict=True):
            made = denormalise(rest + motion_of(network, coefficients, rest))
            found[name, kind, ratio] = figures(made, true)
    still = np.broadcast_to(denormalise(rest), true.shape)
    return found | {(STATIC, SPEECH_ALONE, CLEAN): figures(still, true)}


def evaluate(args: Namespace, device: torch.device) -> None:
    networks, recordings = load_networks(args.model_name, device), read_recordings(args.in_noise)
    store = aligned_store(args.dataset_dir)
    ids = spread(clip_ids(store, args.dataset, args.split, args.splits), args.clips)
    writable_folder(args.sample_dir)

    def work(number: int) -> dict[Condition, dict]:
        clip = store[ids[number]]
        speech = resample(clip.audio, SAMPLE_RATE, SPEECH_RATE)
        return measure(networks, clip, store.size, noisy_versions(speech, recordings, args.snr, number))

    table = NoiseTable(sides(networks, recordings), args.snr)
    for scores in progress(share_out(range(len(ids)), work), len(ids)):
        table.add(scores)
    if is_main():
        frames = sum(store.lengths[id] for id in ids)
        publish(args, table, [*networks], run_facts(args, device, len(ids), frames))


def publish(args: Namespace, table: NoiseTable, names: list[str], facts: dict) -> None:
    """Writes the table into args.sample_dir and prints it. names: of the networks; facts: for metrics.json."""
    note = f"{corpus(args)}, {args.split}: {facts['clips']} clips; models: {', '.join(names)}"
    paths = [*table.write(args.sample_dir, note), args.sample_dir / "metrics.json"]
    rows = table.lines()
    models = dict(zip(names, map(str, args.model_name), strict=True))
    facts = facts | dict(models=models, noises=str(args.in_noise))
    write_json(paths[-1], {**facts, "rows": rows, "definitions": definitions({"": rows[0]})})
    print(f"\n{note}\n\n{table.markdown()}\n\n" + "\n".join(str(path) for path in paths))


def main(args: Namespace) -> None:
    launch(evaluate, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
