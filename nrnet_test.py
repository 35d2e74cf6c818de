"""Faces out of a folder of speech by an NR-net, and how well NR-nets follow speech in noise.

    python nrnet_test.py -i SPEECH_FOLDER -m weights/nrnet.safetensors -o OUT_DIR
    python nrnet_test.py -i SPEECH_FOLDER -m weights/nrnet_tc.safetensors --temporal_condition -s -o OUT_DIR
    python nrnet_test.py -i SPEECH_FOLDER -l OUT_DIR -o OTHER_DIR
    python nrnet_test.py --evaluate STORE -m BASE NR TC NR_TC -n NOISE.h5 --splits DIR --split test -o OUT_DIR

For every sound file below SPEECH_FOLDER (whatever FFmpeg reads, TIMIT's NIST .WAV too) OUT_DIR gets, in the same
sub-folder, NAME_painted.mp4 and NAME_wireframe.mp4 with its sound, and with -s NAME.npy: landmarks (T, 68, 2), or
(T, 68, 3) from a network of three dimensions, 25 a second, float32, y downwards, in half sizes of the face's crop (or
in the units of the network's own faces). -l draws such arrays instead: of that folder, or, without one, those of
OUT_DIR. Where two sound files differ in their suffix alone, NAME keeps it. Nothing is ever deleted. Memory does not
grow with a recording's length.

--evaluate measures networks on a clip store's split under every kind of noise in NOISE.h5 that is not from training, at
every ratio of -snr, and writes noise.csv, noise.md, noise.png and metrics.json, with definitions.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from animation.face_videos import VIDEOS, in_pieces, read_landmarks, write_results
from animation.stream import SpeechStream
from animation.whole_faces import faces_of, hear, motion_of
from data.atnet import clip_motion
from data.nrnet import read_noises
from data.splits import SPLITS, add_split_flags, clip_ids
from data.store import Clip, ClipStore
from evaluation.definitions import definitions
from evaluation.noise import CLEAN, SPEECH_ALONE, STATIC, NoiseTable, noisy_versions
from evaluation.output import write_json
from evaluation.run import parse_command, run_facts
from models import NRNet, load_model
from utils.audio import SAMPLE_RATE
from utils.audio.raw_speech import SPEECH_RATE, SPEECH_STEP, Loudness, set_level
from utils.cli import add_device_flags, add_flag, add_switch, parser, pick_device
from utils.errors import UserError, run
from utils.face.alignment import stabilise
from utils.face.landmarks import denormalise, normalise
from utils.files import writable_folder
from utils.media.read import AUDIO_SUFFIXES, resample, stream_audio

RATIOS = "30,25,20,15,10,5,0,-5,-10"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("-i", "--in-folder", type=Path, metavar="SPEECH_FOLDER", help="sound files")
    flags.add_argument(
        "-m", "--model", type=Path, nargs="+", default=[], help="NR-net's weights; several to evaluate"
    )
    out = ("-o", "--out-fold")
    add_flag(flags, "sample_dir", *out, type=Path, required=True, metavar="OUT_DIR", help="where results go")
    flags.add_argument("-s", "--save_prediction", action="store_true", help="also NAME.npy, the landmarks")
    flags.add_argument("-l", "--load_prediction", type=Path, nargs="?", const=True, metavar="FOLDER",
                       help="draw saved landmarks")  # fmt: skip
    add_switch(
        flags, "temporal_condition", None, "insist on a network with, or without; the weights know theirs"
    )
    add_flag(
        flags, "tcboost", type=float, nargs="+", metavar="G", help="exaggerate: a gain for each coefficient"
    )
    store = ("-evaluate", "--evaluate")
    add_flag(flags, "dataset_dir", *store, type=Path, metavar="STORE", help="clip store to measure on")
    flags.add_argument("-n", "--in-noise", type=Path, metavar="NOISE.h5", help="noises to evaluate with")
    add_flag(flags, "snr", default=RATIOS, help=f"ratios in dB (default {RATIOS}); write -snr=-5,0")
    add_split_flags(flags, "train.txt, val.txt, test.txt, unseen.txt")
    add_flag(flags, "split", choices=SPLITS, default="test", help="the clips to measure on (default test)")
    add_flag(flags, "clips", type=int, help="only the first so many clips of the split")
    add_device_flags(flags)
    return parse_command(flags, "nrnet_test.py", argv)


def sound_files(folder: Path) -> dict[Path, Path]:
    """{place of the results, without suffix, relative: file} of all sound below the folder. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of speech")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES and f.is_file())
    files = [file for file in files if not file.name.endswith(tuple(VIDEOS))]  # earlier results
    if not files:
        raise UserError(f"{folder}: no sound file in it; WAV, FLAC, MP3 and others will do")
    places = {file.relative_to(folder): file for file in files}
    count = Counter([*places, *(place.with_suffix("") for place in places)])
    return {
        place.with_suffix("") if count[place.with_suffix("")] == 1 else place: file
        for place, file in places.items()
    }


def load_network(path: Path, args: Namespace, device: torch.device) -> NRNet:
    network = load_model(path, device, expect=NRNet)
    if args.temporal_condition not in (None, network.temporal):
        kind = "is" if network.temporal else "is not"
        raise UserError(f"{path}: {kind} conditioned on its own frames; change --temporal_condition")
    if not network.landmark_components.any():
        raise UserError(f"{path}: holds no landmark basis; add it with python convert.py ... --pca")
    if args.tcboost and len(args.tcboost) not in (1, len(network.initial)):
        raise UserError(f"-tcboost: {len(args.tcboost)} gains for {len(network.initial)} coefficients")
    if not np.isfinite(args.tcboost or 1.0).all():
        raise UserError("-tcboost: give finite numbers")
    return network


def speak(network: NRNet, file: Path, gains: list[float] | None) -> tuple[int, Iterator[np.ndarray]]:
    """A sound file -> how many frames T its sound lasts, and their landmarks (k, 68, 2 or 3), piece by piece

    The sound is read twice, for its loudness first. Raises UserError.
    """
    loudness = Loudness.of(stream_audio(file, SPEECH_RATE))
    if loudness.count < SPEECH_STEP:
        length = 1000 * loudness.count / SPEECH_RATE
        raise UserError(f"{file}: its {length:.0f} ms of sound do not fill one video frame")
    stream = SpeechStream(network, loudness.gain(network.config["level"]))

    def pieces() -> Iterator[np.ndarray]:
        for block in stream_audio(file, SPEECH_RATE):
            yield faces_of(network, stream.push(block) * np.float32(gains or 1.0))
        yield faces_of(network, stream.finish() * np.float32(gains or 1.0))

    return -(-loudness.count // SPEECH_STEP), pieces()


def generate(args: Namespace) -> None:
    """Videos, and arrays where they are asked for, of every sound file; at the end names those that cannot be used"""
    files, loading = sound_files(args.in_folder), args.load_prediction is not None
    saved = args.sample_dir if args.load_prediction in (None, True) else args.load_prediction
    if not loading and len(args.model) != 1:
        raise UserError("-m: give the weights of one NR-net, for example weights/nrnet.safetensors")
    device = pick_device(args.cuda, args.device_ids)
    network = None if loading else load_network(args.model[0], args, device)
    writable_folder(args.sample_dir)
    failed = []
    for place, file in tqdm(files.items(), unit="file"):
        target = args.sample_dir / place
        try:
            if loading:
                landmarks = read_landmarks(saved / f"{place}.npy")
                made = len(landmarks), in_pieces(landmarks)
            else:
                made = speak(network, file, args.tcboost)
            write_results(target, *made, file, args.save_prediction)
        except UserError as error:
            failed.append(str(error))
    print(f"{args.sample_dir}: videos of {len(files) - len(failed)} sound files")
    if failed:
        raise UserError("; ".join(failed[:5]) + (f"; and {len(failed) - 5} more" if len(failed) > 5 else ""))


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


def measure(table: NoiseTable, networks: dict[str, NRNet], clip: Clip, size: int, versions: dict) -> None:
    """One clip under all conditions. versions {(kind, ratio): speech (N,)}"""
    _, rest = clip_motion(clip, size)
    true = denormalise(stabilise(normalise(clip.landmarks, size), rest))
    still = np.broadcast_to(denormalise(rest), true.shape)
    for name, network in networks.items():
        batch = np.stack([set_level(one, network.config["level"]) for one in versions.values()])
        for (kind, ratio), coefficients in zip(versions, hear(network, batch, len(true)), strict=True):
            table.add(name, kind, ratio, denormalise(rest + motion_of(network, coefficients, rest)), true)
    table.add(STATIC, SPEECH_ALONE, CLEAN, still, true)


def evaluate(args: Namespace) -> None:
    """The table of model x noise x ratio on a split of a clip store"""
    try:
        ratios = [float(ratio) for ratio in args.snr.split(",")]
    except ValueError:
        raise UserError(f"-snr {args.snr}: give numbers separated by commas") from None
    if not np.isfinite(ratios).all() or len(set(ratios)) < len(ratios):
        raise UserError(f"-snr {args.snr}: give finite numbers, each once")
    if not args.in_noise or not args.model:
        raise UserError("--evaluate: give -n NOISE.h5 (see python -m preprocess.noise) and -m WEIGHTS ...")
    networks: dict[str, NRNet] = {}
    device = pick_device(args.cuda, args.device_ids)
    for path in args.model:
        network = load_network(path, args, device)
        networks[label(path, network, [*networks])] = network
    noises = read_noises(args.in_noise)
    tests = [noise for noise in noises.values() if not noise.seen] or list(noises.values())
    recordings: dict[str, list[np.ndarray]] = {}
    for noise in tests:
        recordings.setdefault(noise.kind, []).append(noise.samples)
    store = ClipStore(args.dataset_dir)
    ids = clip_ids(store, args.dataset, args.split, args.splits)[: args.clips]
    writable_folder(args.sample_dir)
    table, frames = NoiseTable(sides(networks, recordings), ratios), 0
    for number, id in enumerate(tqdm(ids, unit="clip")):
        speech = resample(store[id].audio, SAMPLE_RATE, SPEECH_RATE)
        measure(table, networks, store[id], store.size, noisy_versions(speech, recordings, ratios, number))
        frames += store.lengths[id]
    note = f"{args.dataset}, {args.split}: {len(ids)} clips; models: {', '.join(networks)}"
    paths = [*table.write(args.sample_dir, note), args.sample_dir / "metrics.json"]
    rows = table.lines()
    models = dict(zip(networks, map(str, args.model), strict=True))
    facts = run_facts(args, device, len(ids), frames) | dict(models=models, noises=str(args.in_noise))
    write_json(paths[-1], {**facts, "rows": rows, "definitions": definitions({"": rows[0]})})
    print(f"\n{note}\n\n{table.markdown()}\n\n" + "\n".join(str(path) for path in paths))


def main(args: Namespace) -> None:
    if args.dataset_dir:
        evaluate(args)
    elif args.in_folder:
        generate(args)
    else:
        raise UserError("give -i SPEECH_FOLDER to make videos, or --evaluate STORE to measure")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
