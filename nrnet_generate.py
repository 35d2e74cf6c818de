"""Faces out of a folder of speech by an NR-net.

    python nrnet_generate.py -i SPEECH_FOLDER -m weights/nrnet.safetensors -o OUT_DIR
    python nrnet_generate.py -i SPEECH_FOLDER -m weights/nrnet_tc.safetensors --temporal_condition -s -o OUT_DIR
    python nrnet_generate.py -i SPEECH_FOLDER -l OUT_DIR -o OTHER_DIR

For every sound file below SPEECH_FOLDER (whatever FFmpeg reads, TIMIT's NIST .WAV too) OUT_DIR gets, in the same
sub-folder, NAME_painted.mp4 and NAME_wireframe.mp4 with its sound, and with -s NAME.npy: landmarks (T, 68, 2), or
(T, 68, 3) from a network of three dimensions, 25 a second, float32, y downwards, in half sizes of the face's crop (or
in the units of the network's own faces). -l draws such arrays instead: of that folder, or, without one, those of
OUT_DIR. Where two sound files differ in their suffix alone, NAME keeps it. Nothing is ever deleted. Memory does not
grow with a recording's length.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from animation.face_videos import VIDEOS, in_pieces, read_landmarks, write_results
from animation.stream import SpeechStream
from animation.whole_faces import faces_of, load_speaker
from models import NRNet
from utils.audio.raw_speech import SPEECH_RATE, SPEECH_STEP, Loudness
from utils.cli import add_device_flags, add_flag, add_switch, parser, pick_device
from utils.errors import UserError, run
from utils.files import writable_folder
from utils.media.read import AUDIO_SUFFIXES, stream_audio

WEIGHTS = Path(__file__).parent / "weights/nrnet.safetensors"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    folder = ("-i", "--in-folder")
    flags.add_argument(*folder, type=Path, required=True, metavar="SPEECH_FOLDER", help="sound files")
    model, out = ("-m", "-model", "--model"), ("-o", "--out-fold")
    add_flag(
        flags, "model_name", *model, type=Path, default=WEIGHTS, help="an NR-net's (default: the shipped)"
    )
    add_flag(flags, "sample_dir", *out, type=Path, required=True, metavar="OUT_DIR", help="where results go")
    add_flag(flags, "save_prediction", "-s", action="store_true", help="also NAME.npy, the landmarks")
    add_flag(flags, "load_prediction", "-l", type=Path, nargs="?", const=True, metavar="FOLDER",
             help="draw saved landmarks")  # fmt: skip
    add_switch(
        flags, "temporal_condition", None, "insist on a network with, or without; the weights know theirs"
    )
    add_flag(
        flags, "tcboost", type=float, nargs="+", metavar="G", help="exaggerate: a gain for each coefficient"
    )
    add_device_flags(flags)
    return flags.parse_args(argv)


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


def load_network(args: Namespace) -> NRNet:
    """Raises UserError for weights that are no NR-net to draw, or not the kind asked for, and for odd gains."""
    path, gains = args.model_name, args.tcboost
    network = load_speaker(path, pick_device(args.cuda, args.device_ids))
    if args.temporal_condition not in (None, network.temporal):
        kind = "is" if network.temporal else "is not"
        raise UserError(f"{path}: {kind} conditioned on its own frames; change --temporal_condition")
    if gains and len(gains) not in (1, len(network.initial)):
        raise UserError(f"-tcboost: {len(gains)} gains for {len(network.initial)} coefficients")
    if not np.isfinite(gains or 1.0).all():
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


def main(args: Namespace) -> None:
    """Videos, and arrays where they are asked for, of every sound file; at the end names those that cannot be used"""
    files, loading = sound_files(args.in_folder), args.load_prediction is not None
    saved = args.sample_dir if args.load_prediction in (None, True) else args.load_prediction
    network = None if loading else load_network(args)
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


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
