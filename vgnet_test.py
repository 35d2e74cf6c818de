"""Measures a VG-net on whole clips: how well frames made from one example image follow the true ones.

    python vgnet_test.py -model_name weights/vgnet.safetensors --at_model weights/atnet.safetensors --dataset grid \\
        --dataset_dir grid.h5 --splits splits --split test -sample_dir results/vgnet_test
    python vgnet_test.py --at_model weights/atnet.safetensors --dataset_dir wild.h5 --split all    any store, every clip

Prints one table and writes SAMPLE_DIR/metrics.json, clips.csv and, for the first clips, videos with sound. By torchrun
or -device_ids several processes share the clips; the results are the same.

How. The network gets one frame of the clip, the one whose landmarks are nearest to the clip's rest shape (or with
--example first the first one), and animates it by the clip's true landmarks (smoothed as in training) and, with
--at_model, by landmarks that the AT-net makes from the sound alone, laid on the example's face as demo.py does. The
example frame itself is left out of every figure of pictures. Landmark figures come from dlib's landmarks in the
generated frames against dlib's landmarks in the true frames, both enlarged to 512 pixels alike; nothing is aligned.
Rows: VG-net with either kind of landmarks, a static face (the example in all frames), and the true frames; with -still
also what VG-net paints over, which for one with a warp is the warped example; with --nr_model the chain with NR-net's
landmarks. Where it is known when which word is said, in the store or in the files of -align, a lip reader judges all
rows: which share of the words it reads off them. On a store of larger crops than the
network's (preprocess.grid --size 512) frames are composed at the crops' own size as demo.py does it, and a row more has
the network's frames, enlarged.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from animation.clips import Animation, Example, example_index, from_sound, landmark_noise, write_video
from animation.original import is_original
from data.splits import clip_ids, spread
from data.store import Clip, aligned_store
from evaluation.flags import add_evaluation_flags, heard, parse_command
from evaluation.landmark_metrics import mean
from evaluation.output import progress
from evaluation.paper_metrics import summed_mouth_distance
from evaluation.reading.judge import LipJudge
from evaluation.rows import (
    DETECTION_SIDE,
    FROM_NOISY,
    FROM_SPEECH,
    FROM_TRUTH,
    PLAIN,
    STATIC,
    STILL,
    TRUTH,
    Rows,
    Truth,
    describe_face,
    detect_landmarks,
    eye_scores,
    identity_score,
    measure,
    original_scores,
    picture_scores,
    publish,
)
from models import ATNet, ATNetSingle, NRNet, VGNet, WhisperATNet, load_model
from models.reading.reader import LipReader
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, run
from utils.face.detector import FaceDescriptor, FaceDetector
from utils.face.landmarks import denoise, normalise
from utils.files import writable_folder

CAPTIONS = {
    FROM_TRUTH: "true landmarks",
    PLAIN: "enlarged",
    STILL: "still image",
    FROM_SPEECH: "from the sound",
    FROM_NOISY: "by NR-net",
}
READER = Path(__file__).parent / "weights/lipread.safetensors"


def parse_args(argv: list[str] | None = None) -> Namespace:
    options = parser(__doc__)
    weights = Path(__file__).parent / "weights/vgnet.safetensors"
    add_flag(
        options, "model_name", type=Path, default=weights, help="weights of a VG-net (default: the shipped)"
    )
    add_flag(options, "at_model", type=Path, help="weights of an AT-net: measure the whole chain too")
    add_flag(
        options, "example", choices=["rest", "first"], default="rest", help="the frame to animate (rest)"
    )
    add_number(options, "batch_size", 16, "frames that go through it at once", least=1)
    noise = "sigma of Gaussian noise on every landmark, in the original's units, where a face is 1.55 wide"
    add_number(options, "landmark_noise", 0.0, noise, least=0)
    add_switch(options, "still", False, "measure what the network paints over, too: the warped example")
    add_flag(options, "nr_model", type=Path, help="weights of an NR-net: measure the chain with it too")
    help = "weights of a lip reader of GRID's words, who judges all rows (default: the shipped)"
    add_flag(options, "reader", type=Path, default=READER if READER.is_file() else None, help=help)
    help = "folder of GRID's .align files, for a store that does not tell when its words are said"
    add_flag(options, "align", type=Path, metavar="GRID", help=help)
    add_evaluation_flags(options, "results/vgnet_test")
    return parse_command(options, "vgnet_test.py", argv)


@dataclass
class Networks:
    """What is measured: a VG-net, and by name of row what makes landmarks for it out of sound; who judges its lips"""

    vg_net: VGNet
    speakers: dict[str, nn.Module]
    reader: LipReader | None

    @classmethod
    def load(cls, args: Namespace, size: int, device: torch.device) -> Networks:
        """Raises UserError for weights that do not fit the task or the store's crops of `size` pixels."""
        vg_net = load_model(args.model_name, device, expect=VGNet)
        if is_original(vg_net):
            raise UserError(
                f"{args.model_name}: knows the original release's landmarks and crops, no store's; see demo.py"
            )
        if vg_net.config["size"] > size:
            raise UserError(
                f"{args.model_name}: makes {vg_net.config['size']} pixels, the store's crops have only {size}"
            )
        speakers = {}
        for name, path, kinds in (
            (FROM_SPEECH, args.at_model, (ATNet, ATNetSingle, WhisperATNet)),
            (FROM_NOISY, args.nr_model, NRNet),
        ):
            if path is not None:
                speakers[name] = load_model(path, device, expect=kinds)
                if speakers[name].config["space"] != "motion":
                    raise UserError(f"{path}: gives whole faces, of the original release; see demo.py")
        reader = load_model(args.reader, device, expect=LipReader) if args.reader else None
        return cls(vg_net, speakers, reader)


def animations(
    networks: Networks, clip: Clip, real: np.ndarray, example: int, args: Namespace
) -> dict[str, Animation]:
    """The clip as VG-net makes it, by name of row"""
    size, vg_net = real.shape[1], networks.vg_net
    steady = denoise(clip.landmarks)
    true = normalise(steady, size)
    noise = landmark_noise(clip, args.landmark_noise)
    still = Example(real[example], true[example], args.batch_size)
    made = {FROM_TRUTH: still.animate(vg_net, true + noise)}
    if size > vg_net.config["size"]:
        made[PLAIN] = replace(made[FROM_TRUTH], frames=made[FROM_TRUTH].plain)
    if args.still:
        made[STILL] = replace(made[FROM_TRUTH], frames=made[FROM_TRUTH].still)
    audio = heard(clip.audio, clip.id, args.snr)
    for name, speaker in networks.speakers.items():
        spoken = from_sound(speaker, audio, len(real), steady[example], size, args.batch_size)
        made[name] = still.animate(vg_net, (spoken + noise).astype(np.float32))
    return made


def score(
    frames: dict[str, np.ndarray],
    clip: Clip,
    example: int,
    judges: tuple[FaceDetector, FaceDescriptor, LipJudge | None],
    paper: bool,
) -> Rows:
    """One clip's figures. frames: (T, H, W, 3) uint8 by row, or (1, H, W, 3) of a still one."""
    real, (detector, descriptor, lips) = frames[TRUTH], judges
    found = {name: detect_landmarks(detector, one) for name, one in frames.items()}
    person = describe_face(descriptor, real[example], found[TRUTH][example])
    truth, rows = Truth.of_detections(found[TRUTH], clip.audio), {}
    for name, made in frames.items():
        landmarks = np.broadcast_to(found[name], found[TRUTH].shape)
        scores = picture_scores(made, real, clip.landmarks, example)
        scores |= eye_scores(made, real, landmarks, found[TRUTH], example)
        scores["identity"] = identity_score(descriptor, made, landmarks, person)
        scores["undetected"] = float(np.isnan(landmarks).any((1, 2)).sum())
        if lips is not None:
            scores |= lips.scores(made, clip)
        if paper:
            scores["paper_lmd_sum"] = mean(summed_mouth_distance(landmarks, found[TRUTH]))
            scores |= original_scores(made, real, example)
        rows[name] = measure(truth, landmarks, scores)
    return rows


def lip_judge(reader: LipReader | None, args: Namespace, clips: Iterable[Clip]) -> LipJudge | None:
    """Who reads words off the frames; nobody without weights, or where no clip tells when its words are said

    Raises UserError there where -align or -reader was given: it then does not fit these clips.
    """
    judge = LipJudge(reader, args.align) if reader is not None else None
    if judge is not None and any(judge.words(clip) for clip in clips):
        return judge
    if args.align is not None:
        reason = "tells of none of these clips when words are said that the reader knows"
        raise UserError(
            f"{args.align}: {reason}" if judge else f"-align {args.align}: is for a -reader; give one"
        )
    if args.reader is not None and args.reader != READER:
        raise UserError(f"{args.reader}: knows no word of these clips with its time; see -align")
    return None


def evaluate(args: Namespace, device: torch.device) -> None:
    torch.backends.cudnn.deterministic = True
    store = aligned_store(args.dataset_dir)
    networks = Networks.load(args, store.size, device)
    ids = spread(clip_ids(store, args.dataset, args.split, args.splits), args.clips)
    lips = lip_judge(networks.reader, args, (store[id] for id in ids))
    folder, judges = writable_folder(args.sample_dir), (FaceDetector(), FaceDescriptor(), lips)

    def work(number: int) -> tuple[Rows, dict[str, Animation] | None]:
        clip = store[ids[number]]
        real = clip.frames().movedim(1, -1).numpy()
        example = example_index(clip, store.size, args.example)
        made = animations(networks, clip, real, example, args)
        frames = {name: one.frames for name, one in made.items()} | {STATIC: real[example][None], TRUTH: real}
        rows = score(frames, clip, example, judges, args.paper_metrics)
        return rows, made if number < args.videos else None

    clips = {}
    answers = progress(share_out(range(len(ids)), work), len(ids))
    for id, (rows, made) in zip(ids, answers, strict=True):
        if is_main() and made:
            write_video(store[id], made, CAPTIONS, folder)
        clips[id] = rows
    if is_main():
        weights = {"vg_net": str(args.model_name), "at_net": args.at_model and str(args.at_model)}
        weights |= {"nr_net": args.nr_model and str(args.nr_model)}
        weights |= {"reader": str(args.reader) if lips else None}
        detection = f"dlib HOG and 68 points, crops enlarged to {DETECTION_SIDE} pixels"
        publish(args, device, clips, {"weights": weights, "example": args.example, "detector": detection})


def main(args: Namespace) -> None:
    launch(evaluate, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
