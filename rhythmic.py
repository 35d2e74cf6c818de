"""Train the renderer of rhythmic head motion: posed landmarks and K frames of a person to frames (ECCV 2020).

    python rhythmic.py --dataroot store/vox.h5 --dataset_name vox --name face8_vox --n_shot 8 --batchSize 4 --niter 1000
    python rhythmic.py --dataset_dir store/grid_static.h5 -model_dir model/rhythmic         # ours: -steps, no epochs
    torchrun --nproc_per_node 8 rhythmic.py ...                                             # more GPUs, or machines

The store comes from `python -m preprocess.video FOLDER STORE.h5 --crop static` (or preprocess.grid or preprocess.lrw
with --crop static), its poses, STORE_pose.h5, from `python -m preprocess.pose STORE.h5`. To resume, run the same
command again. Writes MODEL_DIR/NAME.safetensors, the weights of the best validation, for rhythmic_test.py and demo.py,
NAME_last.safetensors, and NAME_state.pt, with the discriminator.

The original's flags and ours mean the same: --name is -model_name, --dataroot -dataset_dir, --batchSize -batch_size,
--nThreads -num_thread, --gpu_ids -device_ids. --niter counts passes over the training clips, in place of -steps, and
--save_epoch_freq such passes between validations, in place of -validate_every. What its README switches on is on here,
and an ablation says so: --warp_ani false. Other than there: -lr is the generator's own rate, half of the original's
--lr; target and moved head share one crop; heads are turned in training, so that those of corpora that stand still
will do (-augment false: not); a batch has from -fewest_shots to --n_shot references.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from data.heads.poses import PoseStore, default_path
from data.heads.rhythmic import RhythmicFrames
from data.loader import step_loader
from data.splits import DATASETS, clip_ids
from data.store import ClipStore
from models import RhythmicNet
from models.rhythmic.maps import hull_depth
from models.rhythmic.person import network_inputs
from training.export import start_from
from training.flags import add_training_flags
from training.heads import RhythmicSamples
from training.log import mean_values
from training.loop import Run
from training.losses.perceptual import PerceptualLoss
from training.losses.rhythmic import Batch, generator_loss, judge_loss, masked_error, structure_loss
from training.rhythmic import (
    add_loss_flags,
    add_network_flags,
    build,
    loss_weights,
    prepare,
    save_sample,
)
from utils.cli import add_flag, add_number, add_switch, parser, renamed
from utils.distributed import is_main, launch, world_size
from utils.errors import UserError, run

NAMES = dict(name="model_name", dataroot="dataset_dir", batchSize="batch_size", nThreads="num_thread")
NAMES |= dict(gpu_ids="device_ids")
CORPORA = (
    *DATASETS,
    "vox",
    "lrs",
    "crema",
    "obama",
    "face",
)  # the original's names; others split as GRID's do
VALIDATION = 12, 4  # batches, samples in each, the same every time
LEVELS = 127.5  # of 255, to a step of 1 between black and white


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    paper = "rate 2e-4"
    add_training_flags(flags, "rhythmic", 200000, 4, None, 2e-4, paper, beta1=0.0)
    add_run_flags(flags)
    add_network_flags(flags)
    add_loss_flags(flags)
    args = flags.parse_args(renamed(sys.argv[1:] if argv is None else argv, NAMES))
    if args.niter and args.steps != flags.get_default("steps"):
        raise UserError(f"--niter {args.niter}: counts in place of -steps; give one of them")
    check_args(args)
    args.dataset = args.dataset_name if args.dataset_name in DATASETS else args.dataset
    args.fewest_shots = min(args.fewest_shots or 1, args.n_shot)
    return args


def add_run_flags(flags: ArgumentParser) -> None:
    """Whose clips, for how long, and how many references"""
    number = partial(add_number, flags, least=1, kind=int)
    modes = "facefore, the original's for faces: clips of a static store (default)"
    add_flag(flags, "dataset_mode", choices=("facefore",), default="facefore", help=modes)
    help = "the corpus: whose splits to use, as -dataset; others are split as GRID is, within each speaker"
    add_flag(flags, "dataset_name", choices=CORPORA, help=help)
    add_flag(flags, "poses", type=Path, metavar="FILE", help="the store's poses (default: STORE_pose.h5)")
    number("n_shot", 8, "references of a sample, at most; the paper's: 8")
    number("fewest_shots", None, "references of a batch, at least (default 1; the paper: as --n_shot)")
    number("n_frames_G", 1, "frames made in a row: 1, the only way the original's commands use")
    number("niter", None, "passes over the training clips, in place of -steps")
    number(
        "niter_single", None, "the pass from which frames would be trained over time: none is, as published"
    )
    number("save_epoch_freq", None, "passes between validations, in place of -validate_every")
    number("display_freq", None, "steps between pictures (default: at validations)")
    add_switch(
        flags, "continue_train", True, "go on where the folder's run is (default), or false: refuse to"
    )


def check_args(args: Namespace) -> None:
    """Raises UserError, which says why, for what has no meaning here."""
    if args.n_frames_G > 1:
        raise UserError(
            f"--n_frames_G {args.n_frames_G}: frames are made one by one, as the original's commands do; give 1"
        )
    if args.niter_single and args.niter_single < (args.niter or args.niter_single + 1):
        raise UserError(
            f"--niter_single {args.niter_single}: no training over time follows, as in the original's commands; "
            "give --niter's number, or leave it out"
        )
    if args.vgg is None and args.perceptual_weight != 10:
        raise UserError(f"-perceptual_weight {args.perceptual_weight}: is for -vgg FILE; give that too")
    state = args.model_dir / f"{args.model_name}_state.pt"
    if not args.continue_train and state.exists():
        raise UserError(f"{state}: holds a run; continue it, or give another --name or -model_dir")


def count_steps(args: Namespace, clips: int) -> None:
    """Turns passes over the clips into steps."""
    passes = -(-clips // (args.batch_size * args.accumulate * world_size()))
    args.steps = args.niter * passes if args.niter else args.steps
    args.validate_every = args.save_epoch_freq * passes if args.save_epoch_freq else args.validate_every


def open_store(args: Namespace) -> tuple[ClipStore, PoseStore]:
    """Raises UserError for crops that the network cannot halve so often."""
    store = ClipStore(args.dataset_dir)
    halved = 1 << args.n_downsample_G
    if store.size % halved:
        raise UserError(
            f"{store.path}: its crops of {store.size} pixels are halved {args.n_downsample_G} times; "
            f"make crops of a multiple of {halved}, or give a smaller --n_downsample_G"
        )
    return store, PoseStore(args.poses or default_path(args.dataset_dir))


@torch.no_grad()
def validate(model: RhythmicNet, batches: list[Batch]) -> dict[str, float]:
    """Over the same validation samples each time: absolute errors in [0, 255] of the frame, the face, eyes and mouth;
    1 - SSIM; and the face's of the picture that the moved head makes by itself.
    """
    rows = []
    for batch in batches:
        image, size = batch["image"], batch["image"].shape[-1]
        made = model(**network_inputs(batch, model.config["landmark_flow"])).frames
        face = (hull_depth(batch["points"], size) > 0).float()
        errors = {"frame": torch.ones_like(face), "face": face, "regions": batch["template"]}
        rows.append({name: LEVELS * masked_error(made, image, mask) for name, mask in errors.items()})
        rows[-1] |= dict(structure=structure_loss(made, image))
        rows[-1] |= dict(ani_face=LEVELS * masked_error(batch["ani"], image, face))
    return mean_values(rows)


def validation_batches(args: Namespace, frames: RhythmicFrames | None, device: torch.device) -> list[Batch]:
    """The same ones each time; none where there are no clips for it"""
    if frames is None or not is_main():
        return []
    loader = step_loader(RhythmicSamples(frames, augment=False), 0, *VALIDATION, 0)
    made = []
    for samples in loader:
        samples = {name: tensor.to(device) for name, tensor in samples.items()}
        extra = dict(points=samples["landmarks"], ani=samples["ani_image"] / LEVELS - 1)
        made.append(prepare(samples, args.crop_ref) | extra)
    return made


def teach_judge(judge: nn.Module, made, batch: Batch, run: Run) -> dict:
    """One step of the discriminator -> its losses"""
    with run.autocast():
        loss, parts = judge_loss(judge, made, batch)
    run.update("judge", loss)
    return parts


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, discriminator's update, generator's update; now and then a validation and a checkpoint."""
    store, poses = open_store(args)
    ids = {
        name: clip_ids(store, args.dataset, name, args.splits, optional=name == "val")
        for name in ("train", "val")
    }
    count_steps(args, len(ids["train"]))
    shots, together = (args.fewest_shots, args.n_shot), args.batch_size
    frames = RhythmicFrames(store, poses, ids["train"], shots, args.seed, args.speaker_power, together)
    held = RhythmicFrames(store, poses, ids["val"], shots, 1, 0.0, VALIDATION[1]) if ids["val"] else None
    model, judges = build(args, store.size, device)
    start_from(model, args.load_model)
    vgg = PerceptualLoss(args.vgg).to(device) if args.vgg else None
    run = Run(args, device, dict(model=model) | judges, store, ids, shots=list(shots), crop_ref=args.crop_ref)
    network, judging = run.parallel(model), {name: run.parallel(one) for name, one in judges.items()}
    validation = validation_batches(args, held, device)
    for samples in run.steps(RhythmicSamples(frames, args.augment)):
        batch = prepare(samples, args.crop_ref)
        judge = judging.get("judge") if run.done >= args.adversarial_start else None
        with run.autocast():
            made = network(**network_inputs(batch, args.landmark_flow))
        parts = teach_judge(judge, made, batch, run) if judge is not None else {}
        with run.autocast():
            loss, generated = generator_loss(made, batch, judge, loss_weights(args), vgg)
        run.update("model", loss)
        due = run.step_done(parts | generated, len(made.frames))
        if args.display_freq and run.done % args.display_freq == 0 and is_main():
            save_sample(run.picture(), made, batch)
        if due:
            exported = run.averaged()
            run.save(exported, validate(exported, validation), by="face")
            save_sample(run.picture(), made, batch)


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
