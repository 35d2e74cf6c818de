"""The flags of training scripts, and the limits of their numbers."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from data.splits import add_split_flags
from utils.cli import add_device_flags, add_flag, add_number, add_switch
from utils.distributed import is_main
from utils.errors import UserError
from utils.files import writable_folder


def add_training_flags(parser: ArgumentParser, steps: int, batch_size: int, frames: int, lr: float) -> None:
    """Flags that atnet.py and vgnet.py share; the numbers are the script's defaults."""
    add_device_flags(parser)
    add_split_flags(parser, "train.txt and val.txt", store=True)
    add_flag(parser, "load_model", type=Path, help="weights to start from, instead of random ones")
    add_loop_flags(parser, steps, batch_size, frames, lr, paper="frames 16, rate 2e-4")
    add_switch(parser, "augment", True, "change voices, faces and light (default true)")


def add_loop_flags(
    parser: ArgumentParser, steps: int, batch_size: int, frames: int, lr: float, paper: str
) -> None:
    """Flags of every training loop; paper: what the paper set, for the help"""
    number = partial(add_number, parser)
    number("steps", steps, "training steps in all")
    number("batch_size", batch_size, "clips a step and process")
    number("frames", frames, f"frames a clip; the paper: {paper}")
    number("lr", lr, f"Adam's learning rate; the paper: {paper}")
    number("beta1", 0.5, "Adam's first beta, the paper's")
    number("beta2", 0.999, "Adam's second beta, the paper's")
    number("cooldown", 0, "last steps, over which the rate falls to zero")
    number("clip", 5.0, "largest gradient norm, 0 for any")
    number("ema", 0.0, "decay of the weights' moving average, 0 for none")
    number("seed", 0, "of weights, data order and augmentation")
    number("speaker_power", 0.5, "1: clips are drawn alike; 0: speakers are")
    number("num_thread", max(1, min(4, (os.cpu_count() or 2) - 1)), "processes that prepare batches")
    number("save_every", 500, "steps between checkpoints, validations and pictures")
    add_flag(
        parser,
        "precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="auto: bf16 where it is fast",
    )
    add_switch(parser, "compile", False, "torch.compile the networks (default false)")


def check_training(args: Namespace) -> None:
    """Raises UserError for a number that makes no sense, or a folder that cannot be written."""
    least = dict(
        steps=1, batch_size=1, frames=2, save_every=1, num_thread=0, seed=0, lr=0, cooldown=0, clip=0
    )
    least |= dict(filters=1, components=1, feature_weight=0, scheduled_sampling=0, patience=0)
    least |= dict(width=2, blocks=0, hidden=1, layers=1, dropout=0, ema=0, beta1=0, beta2=0)
    least |= dict(discriminator_width=1, adversarial_start=0, beta=0, speaker_power=0)
    least |= {name: 0 for name in vars(args) if name.endswith("_weight")}
    below_one = ("dropout", "ema", "beta1", "beta2")
    for name, smallest in least.items():
        value = getattr(args, name, None)
        if value is None:  # a flag of the other script, or one with a default of its own
            continue
        if not value >= smallest or (name in below_one and value >= 1):
            limit = f"from {smallest} to below 1" if name in below_one else f"of at least {smallest}"
            raise UserError(f"-{name} {value}: give a number {limit}")
    if is_main():
        writable_folder(args.model_dir)
        writable_folder(args.sample_dir)
