"""Faces out of a folder of speech by an NR-net, and how well NR-nets follow speech in noise.

    python nrnet_test.py -i SPEECH_FOLDER -m weights/nrnet.safetensors -o OUT_DIR
    python nrnet_test.py -i SPEECH_FOLDER -m weights/nrnet_tc.safetensors --temporal_condition -s -o OUT_DIR
    python nrnet_test.py -i SPEECH_FOLDER -l OUT_DIR -o OTHER_DIR
    python nrnet_test.py --evaluate STORE -m BASE NR TC NR_TC -n NOISE.h5 --splits DIR --split test -o OUT_DIR

For every sound file below SPEECH_FOLDER (whatever FFmpeg reads, TIMIT's NIST .WAV too) OUT_DIR gets, in the same
sub-folder, NAME_painted.mp4 and NAME_wireframe.mp4 with its sound, and with -s NAME.npy: landmarks (T, 68, 2), or
(T, 68, 3) from a network of three dimensions, 25 a second, float32, y downwards, in half sizes of the face's crop (or
in the units of the network's own faces). -l draws such arrays instead: those of that folder, or, without a folder,
those of OUT_DIR. Where two sound files differ in their suffix alone, NAME keeps it. Nothing is ever deleted.

--evaluate measures networks on a clip store's split under every kind of noise in NOISE.h5 that is not from training, at
every ratio of -snr, and writes noise.csv, noise.md and noise.png; definitions are in utils/noise_table.py.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.speech import clip_motion
from data.splits import SPLITS, clip_ids
from data.store import Clip, ClipStore
from data.waveforms import read_noises
from models import NRNet
from utils.audio import SAMPLE_RATE
from utils.checkpoint import load_model
from utils.cli import add_device_flags, add_flag, add_switch, parser, pick_device
from utils.decode import AUDIO_SUFFIXES, read_audio, resample
from utils.encode import VideoWriter
from utils.errors import UserError, run
from utils.files import replacing, writable_folder
from utils.landmarks import denormalise, normalise, stabilise
from utils.noise_table import CLEAN, SPEECH_ALONE, STATIC, NoiseTable, noisy_versions
from utils.painted_face import paint, wireframe
from utils.speech import SPEECH_RATE, SPEECH_STEP, set_level
from utils.speech_faces import faces_of, hear, motion_of

SIDE = 512  # pixels of the videos
OWN_VIDEOS = ("_painted.mp4", "_wireframe.mp4")  # no speech, where results lie among it
RATIOS = "30,25,20,15,10,5,0,-5,-10"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("-i", "--in-folder", type=Path, metavar="SPEECH_FOLDER", help="sound files")
    flags.add_argument(
        "-m", "--model", type=Path, nargs="+", default=[], help="NR-net's weights; several to evaluate"
    )
    flags.add_argument(
        "-o", "--out-fold", type=Path, required=True, metavar="OUT_DIR", help="folder of the results"
    )
    flags.add_argument("-s", "--save_prediction", action="store_true", help="also NAME.npy, the landmarks")
    flags.add_argument("-l", "--load_prediction", type=Path, nargs="?", const=True, metavar="FOLDER",
                       help="draw saved landmarks")  # fmt: skip
    add_switch(
        flags, "temporal_condition", None, "insist on a network with, or without; the weights know theirs"
    )
    add_flag(
        flags, "tcboost", type=float, nargs="+", metavar="G", help="exaggerate: a gain for each coefficient"
    )
    add_flag(flags, "evaluate", type=Path, metavar="STORE", help="clip store to measure on")
    flags.add_argument("-n", "--in-noise", type=Path, metavar="NOISE.h5", help="noises to evaluate with")
    add_flag(flags, "snr", default=RATIOS, help=f"ratios in dB (default {RATIOS}); write -snr=-5,0")
    add_flag(flags, "dataset", choices=["grid", "lrw"], default="grid", help="whose splits (default grid)")
    add_flag(flags, "splits", type=Path, help="folder of train.txt, val.txt, ... with clip ids")
    add_flag(flags, "split", choices=SPLITS, default="test", help="the clips to measure on (default test)")
    add_flag(flags, "clips", type=int, help="only the first so many clips of the split")
    add_device_flags(flags)
    return flags.parse_args(argv)


def sound_files(folder: Path) -> dict[Path, Path]:
    """{place of the results, without suffix, relative: file} of all sound below the folder. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of speech")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES and f.is_file())
    files = [file for file in files if not file.name.endswith(OWN_VIDEOS)]
    if not files:
        raise UserError(f"{folder}: no sound file in it; WAV, FLAC, MP3 and others will do")
    places = [file.relative_to(folder) for file in files]
    count = Counter(place.with_suffix("") for place in places)
    return {
        place if count[place.with_suffix("")] > 1 else place.with_suffix(""): file
        for place, file in zip(places, files, strict=True)
    }


def load_network(path: Path, args: Namespace) -> NRNet:
    network = load_model(path, pick_device(args.cuda, args.device_ids), expect=NRNet)
    if args.temporal_condition not in (None, network.temporal):
        kind = "is" if network.temporal else "is not"
        raise UserError(f"{path}: {kind} conditioned on its own frames; change --temporal_condition")
    if not network.landmark_components.any():
        raise UserError(f"{path}: holds no landmark basis; convert the original's weights with --pca")
    if args.tcboost and len(args.tcboost) not in (1, len(network.initial)):
        raise UserError(f"-tcboost: {len(args.tcboost)} gains for {len(network.initial)} coefficients")
    return network


def speak(network: NRNet, sound: np.ndarray, gains: list[float] | None) -> np.ndarray:
    """sound (N,) at 8 kHz -> landmarks (T, 68, 2 or 3), T = ceil(N / 320)"""
    speech = set_level(sound, network.config["level"])
    coefficients = hear(network, speech, -(-len(sound) // SPEECH_STEP))
    return faces_of(network, coefficients * np.float32(gains or 1.0))


def read_landmarks(path: Path) -> np.ndarray:
    """What -s wrote. Raises UserError."""
    try:
        landmarks = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: no landmarks can be read; make them with -s") from error
    if not isinstance(landmarks, np.ndarray) or landmarks.shape[1:] not in ((68, 2), (68, 3)):
        raise UserError(f"{path}: not an array (T, 68, 2) or (T, 68, 3); make it with -s")
    if not (len(landmarks) and np.issubdtype(landmarks.dtype, np.floating) and np.isfinite(landmarks).all()):
        raise UserError(f"{path}: its landmarks are empty or not finite numbers; make it again with -s")
    return landmarks


def write_videos(place: Path, landmarks: np.ndarray, file: Path) -> None:
    """place: of the results, without suffix; file: whose sound goes with them"""
    rate = 2 * SAMPLE_RATE
    sound, step = read_audio(file, rate), rate // 25
    for name, draw in (("painted", paint), ("wireframe", wireframe)):
        path = place.with_name(f"{place.name}_{name}.mp4")
        with VideoWriter(path, (SIDE, SIDE), audio=rate) as video:
            for number, frame in enumerate(draw(landmarks, SIDE)):
                video.write(frame)
                video.write_audio(sound[number * step : (number + 1) * step])


def generate(args: Namespace) -> None:
    """Videos, and arrays where they are asked for, of every sound file; at the end names those that cannot be used"""
    files, loading = sound_files(args.in_folder), args.load_prediction is not None
    saved = args.out_fold if args.load_prediction in (None, True) else args.load_prediction
    if not loading and len(args.model) != 1:
        raise UserError("-m: give the weights of one NR-net, for example weights/nrnet.safetensors")
    network = None if loading else load_network(args.model[0], args)
    writable_folder(args.out_fold)
    failed = []
    for place, file in tqdm(files.items(), unit="file"):
        target = args.out_fold / place
        try:
            if loading:
                landmarks = read_landmarks(saved / f"{place}.npy")
            else:
                landmarks = speak(network, read_audio(file, SPEECH_RATE), args.tcboost)
            write_videos(target, landmarks, file)
        except UserError as error:
            failed.append(str(error))
            continue
        if args.save_prediction:
            with replacing(target.with_name(f"{target.name}.npy")) as part:
                np.save(part, landmarks.astype(np.float32))
    print(f"{args.out_fold}: videos of {len(files) - len(failed)} sound files")
    if failed:
        raise UserError("; ".join(failed[:5]) + (f"; and {len(failed) - 5} more" if len(failed) > 5 else ""))


def label(path: Path, network: NRNet, taken: list[str]) -> str:
    """base, NR, TC or NR+TC by how it was trained; with the file's name where there is such a one already"""
    parts = [name for name, has in (("NR", network.metadata.get("noise")), ("TC", network.temporal)) if has]
    name = "+".join(parts) or "base"
    return f"{name} ({path.parent.name}/{path.stem})" if name in taken else name


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
    if args.clips is not None and args.clips < 1:
        raise UserError(f"-clips {args.clips}: must be at least 1")
    if not args.in_noise or not args.model:
        raise UserError("--evaluate: give -n NOISE.h5 (see python -m preprocess.noise) and -m WEIGHTS ...")
    networks: dict[str, NRNet] = {}
    for path in args.model:
        network = load_network(path, args)
        networks[label(path, network, [*networks])] = network
    noises = read_noises(args.in_noise)
    heard = {noise.kind for noise in noises.values() if noise.seen}
    tests = [noise for noise in noises.values() if not noise.seen] or list(noises.values())
    recordings: dict[str, list[np.ndarray]] = {}
    for noise in tests:
        recordings.setdefault(noise.kind, []).append(noise.samples)
    store = ClipStore(args.evaluate)
    ids = clip_ids(store, args.dataset, args.split, args.splits)[: args.clips]
    writable_folder(args.out_fold)
    table = NoiseTable({kind: kind in heard for kind in recordings}, ratios)
    for number, id in enumerate(tqdm(ids, unit="clip")):
        speech = resample(store[id].audio, SAMPLE_RATE, SPEECH_RATE)
        measure(table, networks, store[id], store.size, noisy_versions(speech, recordings, ratios, number))
    note = f"{args.dataset}, {args.split}: {len(ids)} clips; models: {', '.join(networks)}"
    paths = table.write(args.out_fold, note)
    print(f"\n{note}\n\n{table.markdown()}\n\n" + "\n".join(str(path) for path in paths))


def main(args: Namespace) -> None:
    if args.evaluate:
        evaluate(args)
    elif args.in_folder:
        generate(args)
    else:
        raise UserError("give -i SPEECH_FOLDER to make videos, or --evaluate STORE to measure")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
