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
also what VG-net paints over, which for one with a warp is the warped example. On a store of larger crops than the
network's (preprocess.grid --size 512) frames are composed at the crops' own size as demo.py does it, and a row more has
the network's frames, enlarged.
"""

from __future__ import annotations

import sys
import zlib
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from animation.composition import Change, Composer
from animation.original import CANONICAL_FACE, is_original
from animation.stream import Subject, frame_stream, landmark_stream, network_input, rechunk
from data.atnet import clip_motion
from data.splits import clip_ids, spread
from data.store import Clip, ClipStore
from evaluation.flags import add_evaluation_flags, heard, parse_command
from evaluation.landmark_metrics import mean
from evaluation.output import progress
from evaluation.paper_metrics import summed_mouth_distance
from evaluation.rows import (
    DETECTION_SIDE,
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
from models import ATNet, ATNetSingle, VGNet, WhisperATNet, load_model
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, run
from utils.face.alignment import crop_face, scaling
from utils.face.basis import LandmarkBasis
from utils.face.detector import FaceDescriptor, FaceDetector
from utils.face.landmarks import TEMPLATE, denoise, denormalise, normalise
from utils.files import writable_folder
from utils.media.drawing import draw_landmarks, enlarge, grid
from utils.media.images import to_network, to_tensor, to_uint8
from utils.media.write import VideoWriter

CAPTIONS = {
    FROM_TRUTH: "true landmarks",
    PLAIN: "enlarged",
    STILL: "still image",
    FROM_SPEECH: "from the sound",
}
TILE = 192
# The original's landmark unit in ours, half image sizes: by the breadth of an average face, jaw end to jaw end.
ORIGINAL_UNIT = float(np.ptp(normalise(TEMPLATE)[0::2]) / np.ptp(CANONICAL_FACE[0::2]))


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
    add_evaluation_flags(options, "results/vgnet_test")
    return parse_command(options, "vgnet_test.py", argv)


@dataclass
class Networks:
    """What is measured; at_net may be absent."""

    vg_net: VGNet
    at_net: ATNet | ATNetSingle | WhisperATNet | None
    device: torch.device

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
        if args.at_model is None:
            return cls(vg_net, None, device)
        at_net = load_model(args.at_model, device, expect=(ATNet, ATNetSingle, WhisperATNet))
        if at_net.config["space"] != "motion":
            raise UserError(f"{args.at_model}: gives the original release's whole faces; see demo.py")
        return cls(vg_net, at_net, device)


@dataclass
class Animation:
    """Pictures (T, S, S, 3) uint8 of the clip's size, with landmarks (T, 136), normalised, that they were made by

    frames: composed; plain: as the network makes them; attention; still: what it paints over. All but the first are
    enlarged from the network's size.
    """

    frames: np.ndarray
    plain: np.ndarray
    attention: np.ndarray
    still: np.ndarray
    landmarks: np.ndarray


@dataclass
class Example:
    """The frame (S, S, 3) to animate, its landmarks (136,), normalised, and frames to make at a time"""

    picture: np.ndarray
    landmarks: np.ndarray
    chunk: int

    def animate(self, networks: Networks, landmarks: np.ndarray) -> Animation:
        """landmarks (T, 136) -> frames, with carried state"""
        side, size = len(self.picture), networks.vg_net.config["size"]
        shrink = scaling(size / side)
        image = to_network(to_tensor(crop_face(self.picture, shrink, size))).to(networks.device)
        compose = Composer(self.picture, shrink, denormalise(self.landmarks, size), size)
        pictures = []
        for _, output in frame_stream(
            networks.vg_net, image, self.landmarks, rechunk([landmarks], self.chunk)
        ):
            kinds = [
                to_uint8(output.frames[0]),
                to_uint8(output.attention[0], low=0.0),
                to_uint8(output.still[0]),
            ]
            frames = kinds[0] if side == size else np.stack([compose(c).copy() for c in Change.of(output)])
            pictures.append((frames, *(np.stack([enlarge(one, side) for one in kind]) for kind in kinds)))
        return Animation(*(np.concatenate(kind) for kind in zip(*pictures, strict=True)), landmarks)


def example_index(clip: Clip, size: int, choice: str) -> int:
    """The number of the frame to animate: the first, or the one with the least motion away from rest"""
    return 0 if choice == "first" else int(np.linalg.norm(clip_motion(clip, size)[0], axis=1).argmin())


def landmark_noise(clip: Clip, sigma: float) -> np.ndarray:
    """Gaussian noise (T, 136) for normalised landmarks, the same in every run; sigma in the original's units"""
    random = np.random.default_rng(zlib.crc32(clip.id.encode()))
    return (random.standard_normal((clip.length, 136)) * sigma * ORIGINAL_UNIT).astype(np.float32)


def animations(
    networks: Networks, clip: Clip, real: np.ndarray, example: int, args: Namespace
) -> dict[str, Animation]:
    """The clip as VG-net makes it, by name of row"""
    size = real.shape[1]
    steady = denoise(clip.landmarks)
    true = normalise(steady, size)
    noise = landmark_noise(clip, args.landmark_noise)
    still = Example(real[example], true[example], args.batch_size)
    made = {FROM_TRUTH: still.animate(networks, true + noise)}
    if size > networks.vg_net.config["size"]:
        made[PLAIN] = replace(made[FROM_TRUTH], frames=made[FROM_TRUTH].plain)
    if args.still:
        made[STILL] = replace(made[FROM_TRUTH], frames=made[FROM_TRUTH].still)
    if networks.at_net is not None:
        subject = Subject.from_crop(LandmarkBasis.of(networks.at_net), steady[example], size)
        audio = heard(clip.audio, clip.id, args.snr)
        sound = rechunk([network_input(networks.at_net, audio, len(real))], args.batch_size)
        spoken = np.concatenate(list(landmark_stream(networks.at_net, subject, sound)))
        made[FROM_SPEECH] = still.animate(networks, (spoken + noise).astype(np.float32))
    return made


def score(
    frames: dict[str, np.ndarray],
    clip: Clip,
    example: int,
    judges: tuple[FaceDetector, FaceDescriptor],
    paper: bool,
) -> Rows:
    """One clip's figures. frames: (T, H, W, 3) uint8 by row, or (1, H, W, 3) of a still one."""
    real, (detector, descriptor) = frames[TRUTH], judges
    found = {name: detect_landmarks(detector, one) for name, one in frames.items()}
    person = describe_face(descriptor, real[example], found[TRUTH][example])
    truth, rows = Truth.of_detections(found[TRUTH], clip.audio), {}
    for name, made in frames.items():
        landmarks = np.broadcast_to(found[name], found[TRUTH].shape)
        scores = picture_scores(made, real, clip.landmarks, example)
        scores |= eye_scores(made, real, landmarks, found[TRUTH], example)
        scores["identity"] = identity_score(descriptor, made, landmarks, person)
        scores["undetected"] = float(np.isnan(landmarks).any((1, 2)).sum())
        if paper:
            scores["paper_lmd_sum"] = mean(summed_mouth_distance(landmarks, found[TRUTH]))
            scores |= original_scores(made, real, example)
        rows[name] = measure(truth, landmarks, scores)
    return rows


def write_video(clip: Clip, made: dict[str, Animation], folder: Path) -> None:
    """real | what was made, by row | attention | landmarks, the last two of the last row"""
    last = list(made.values())[-1]
    captions = ["real", *(CAPTIONS[name] for name in made), "attention", "landmarks"]
    points = denormalise(last.landmarks, TILE)
    height, width = grid([np.zeros((TILE, TILE, 3), np.uint8)] * len(captions), captions=captions).shape[:2]
    path, audio = folder / f"{clip.id.replace('/', '_')}.mp4", clip.audio
    with VideoWriter(path, (width, height), audio=SAMPLE_RATE) as video:
        for number, frame in enumerate(clip.frames().movedim(1, -1).numpy()):
            pictures = [frame, *(one.frames[number] for one in made.values()), last.attention[number]]
            tiles = [*(enlarge(picture, TILE) for picture in pictures), draw_landmarks(TILE, points[number])]
            video.write(grid(tiles, captions=captions))
            video.write_audio(audio[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME])


def evaluate(args: Namespace, device: torch.device) -> None:
    torch.backends.cudnn.deterministic = True
    store = ClipStore(args.dataset_dir)
    networks = Networks.load(args, store.size, device)
    ids = spread(clip_ids(store, args.dataset, args.split, args.splits), args.clips)
    folder, judges = writable_folder(args.sample_dir), (FaceDetector(), FaceDescriptor())

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
            write_video(store[id], made, folder)
        clips[id] = rows
    if is_main():
        weights = {"vg_net": str(args.model_name), "at_net": args.at_model and str(args.at_model)}
        detection = f"dlib HOG and 68 points, crops enlarged to {DETECTION_SIDE} pixels"
        publish(args, device, clips, {"weights": weights, "example": args.example, "detector": detection})


def main(args: Namespace) -> None:
    launch(evaluate, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
