"""Measures an AT-net on whole clips: how well landmarks made from speech alone follow the true ones.

    python atnet_test.py -model_name weights/atnet.safetensors --dataset grid --dataset_dir grid.h5 \\
        --splits splits --split test -sample_dir results/atnet_test
    python atnet_test.py --dataset_dir wild.h5 --split all                       any store, every clip
    python atnet_test.py -model_name weights/atnet_whisper.safetensors ...     # the network on Whisper's features

Prints one table and writes SAMPLE_DIR/metrics.json, clips.csv and, for the first clips, videos with sound. By torchrun
or -device_ids several processes share the clips; the results are the same.

What is compared. The network hears a clip's sound and starts from no motion; its motion is added to the clip's own
rest shape (the median of the fifth of its frames with the least open mouth). The truth is the landmarks that
preprocessing stored (dlib's, not smoothed), each frame moved by the similarity that brings nose and eye corners onto
those of the rest shape, which takes off what head motion is left in the crop; "unaligned" leaves it in. All in pixels
of a 128-pixel crop. Rows: the network; a static face, which is the rest shape in all frames; the true motion
projected on the network's PCA basis, which no network with that basis can beat by much; and the truth itself.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from animation.stream import network_input
from data.atnet import clip_motion
from data.splits import clip_ids, spread
from data.store import Clip, aligned_store
from evaluation.flags import add_evaluation_flags, heard, parse_command
from evaluation.landmark_metrics import mean, mouth_distance, pause_opening
from evaluation.output import progress
from evaluation.paper_metrics import summed_mouth_distance
from evaluation.rows import AT_NET, PROJECTED, STATIC, TRUTH, Rows, Truth, measure, publish
from models import ATNet, ATNetSingle, WhisperATNet, load_model
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, run
from utils.face.alignment import stabilise
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE_SIZE, denormalise, normalise
from utils.files import writable_folder
from utils.media.drawing import draw_landmarks, enlarge, grid
from utils.media.write import VideoWriter

TILE = 256
SILENCE = 3  # seconds


def parse_args(argv: list[str] | None = None) -> Namespace:
    options = parser(__doc__)
    weights = Path(__file__).parent / "weights/atnet.safetensors"
    add_flag(
        options, "model_name", type=Path, default=weights, help="weights of an AT-net (default: the shipped)"
    )
    add_number(options, "batch_size", 16, "clips that go through it at once", least=1)
    add_switch(
        options, "lstm", None, "insist on an AT-net with, or without, LSTM; its weights know which it is"
    )
    add_evaluation_flags(options, "results/atnet_test")
    return parse_command(options, "atnet_test.py", argv)


@dataclass
class Sample:
    """One clip, before and after the network. Landmarks are normalised, (T, 136); rest (136,)."""

    clip: Clip
    audio: np.ndarray
    stored: np.ndarray
    true: np.ndarray
    motion: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, clip: Clip, size: int, snr: float | None) -> Sample:
        motion, rest = clip_motion(clip, size)
        stored = normalise(clip.landmarks, size)
        return cls(clip, heard(clip.audio, clip.id, snr), stored, stabilise(stored, rest), motion, rest)


def load_network(args: Namespace, device: torch.device) -> ATNet | ATNetSingle | WhisperATNet:
    """Raises UserError for weights that are not an AT-net of this repository's motion, or not the kind asked for."""
    network = load_model(args.model_name, device, expect=(ATNet, ATNetSingle, WhisperATNet))
    if network.config["space"] != "motion":
        raise UserError(
            f"{args.model_name}: gives the original release's whole faces, which know no rest; see demo.py"
        )
    if args.lstm is not None and args.lstm != isinstance(network, ATNet):
        raise UserError(f"{args.model_name}: is an {type(network).__name__}; leave -lstm out")
    return network


def speak(network: nn.Module, basis: LandmarkBasis, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sounds (N,) of whole frames -> the motion (T, 136) that the network makes of each, starting from none"""
    device = network.landmark_mean.device
    lengths = [len(audio) // SAMPLES_PER_FRAME for audio in sounds]
    heard = [
        torch.from_numpy(network_input(network, audio, frames))
        for audio, frames in zip(sounds, lengths, strict=True)
    ]
    batch = pad_sequence(heard, batch_first=True).to(device)
    example = torch.from_numpy(basis.project(np.zeros((1, 136), np.float32))).to(device)
    with torch.inference_mode():
        coefficients = network(batch, example.expand(len(sounds), -1)).cpu().numpy()
    return [basis.reconstruct(made[:frames]) for made, frames in zip(coefficients, lengths, strict=True)]


def silence_opening(rest: np.ndarray, silence: np.ndarray) -> float:
    """rest (136,), the motion in silence (T, 136) -> mean opening in silence as a multiple of the opening at rest"""
    every = np.ones(len(silence), bool)
    return pause_opening(denormalise(rest + silence), denormalise(rest), every)


def score(sample: Sample, made: np.ndarray, basis: LandmarkBasis, silence: np.ndarray, paper: bool) -> Rows:
    """One clip's figures. made: its landmarks (T, 136); silence: the motion (T, 136) that no sound at all makes."""
    truth = Truth(denormalise(sample.true), denormalise(sample.rest), sample.clip.audio)
    landmarks = {
        AT_NET: made,
        STATIC: np.broadcast_to(sample.rest, sample.true.shape),
        PROJECTED: sample.rest + basis.reconstruct(basis.project(sample.motion)),
        TRUTH: sample.true,
    }
    stored, rows = denormalise(sample.stored), {}
    for name, normalised in landmarks.items():
        pixels = denormalise(normalised)
        extra = {"lmd_mouth_unaligned": mean(mouth_distance(pixels, stored))}
        if paper:
            extra["paper_lmd_sum"] = mean(summed_mouth_distance(pixels, stored))
        if name == AT_NET:
            extra["silence_opening"] = silence_opening(sample.rest, silence)
        rows[name] = measure(truth, pixels, extra)
    return rows


def write_video(sample: Sample, made: np.ndarray, folder: Path) -> None:
    """The clip with its true landmarks, the true landmarks without head motion, and those made (T, 136)."""
    frames = sample.clip.frames().movedim(1, -1).numpy()
    captions = ("real", "true landmarks", "from the sound")
    scale = TILE / TEMPLATE_SIZE
    stored, true, made = (denormalise(one, TILE) for one in (sample.stored, sample.true, made))
    height, width = grid([np.zeros((TILE, TILE, 3), np.uint8)] * 3, captions=captions).shape[:2]
    path = folder / f"{sample.clip.id.replace('/', '_')}.mp4"
    with VideoWriter(path, (width, height), audio=SAMPLE_RATE) as video:
        for number, frame in enumerate(frames):
            real = draw_landmarks(enlarge(frame, TILE), stored[number], width=scale)
            tiles = [real, draw_landmarks(TILE, true[number]), draw_landmarks(TILE, made[number])]
            video.write(grid(tiles, captions=captions))
            video.write_audio(sample.audio[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME])


def evaluate(args: Namespace, device: torch.device) -> None:
    torch.backends.cudnn.deterministic = True
    network, store = load_network(args, device), aligned_store(args.dataset_dir)
    basis = LandmarkBasis.of(network)
    ids = spread(clip_ids(store, args.dataset, args.split, args.splits), args.clips)
    folder = writable_folder(args.sample_dir)
    silence = speak(network, basis, [np.zeros(SILENCE * SAMPLE_RATE, np.float32)])[0]

    def work(batch: list[str]) -> list[tuple[Rows, np.ndarray]]:
        samples = [Sample.of(store[id], store.size, args.snr) for id in batch]
        motions = speak(network, basis, [one.audio for one in samples])
        made = [one.rest + motion for one, motion in zip(samples, motions, strict=True)]
        rows = [score(*one, basis, silence, args.paper_metrics) for one in zip(samples, made, strict=True)]
        return [*zip(rows, made, strict=True)]

    # Whole batches, since a clip's neighbours may change the last bits of what the network makes of it.
    batches = [ids[start : start + args.batch_size] for start in range(0, len(ids), args.batch_size)]
    answers, clips = chain.from_iterable(share_out(batches, work)), {}
    for id, (rows, made) in zip(ids, progress(answers, len(ids)), strict=True):
        if is_main() and len(clips) < args.videos:
            write_video(Sample.of(store[id], store.size, args.snr), made, folder)
        clips[id] = rows
    if is_main():
        detection = store.attributes["parameters"].get("landmarks", "not recorded")
        facts = {"network": type(network).__name__, "weights": str(args.model_name)}
        publish(args, device, clips, facts | {"detector": f"as stored by preprocessing: {detection}"})


def main(args: Namespace) -> None:
    launch(evaluate, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
