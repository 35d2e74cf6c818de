"""The flags of training scripts, and the limits of their numbers."""

from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from pathlib import Path

from data.splits import add_split_flags
from training.precision import PRECISIONS
from utils import cli
from utils.cli import add_device_flags, add_flag, add_number, add_switch


def add_training_flags(
    parser: ArgumentParser,
    name: str,
    steps: int,
    batch_size: int,
    frames: int | None,
    lr: float,
    paper: str = "frames 16, rate 2e-4",
    beta1: float = 0.5,
) -> None:
    """Flags of scripts that train on a clip store. name: of the network; the numbers are the script's defaults.

    frames: None where clips are no stretches of frames
    """
    add_device_flags(parser)
    add_split_flags(parser, "train.txt and val.txt", store=True)
    add_flag(parser, "load_model", type=Path, help="weights to start from, instead of random ones")
    weights, pictures = Path("model") / name, Path("sample") / name
    add_flag(parser, "model_dir", type=Path, default=weights, help=f"folder of weights (default {weights})")
    named = f"name of the weights' files (default {name})"
    add_flag(parser, "model_name", type=cli.file_name("-model_name"), default=name, help=named)
    add_flag(
        parser, "sample_dir", type=Path, default=pictures, help=f"folder of pictures (default {pictures})"
    )
    add_loop_flags(parser, steps, batch_size, frames, lr, paper, beta1)
    add_switch(parser, "augment", True, "change voices, faces and light (default true)")


def add_loop_flags(
    parser: ArgumentParser,
    steps: int,
    batch_size: int,
    frames: int | None,
    lr: float,
    paper: str,
    beta1: float = 0.5,
) -> None:
    """Flags of every training loop; paper: what the paper set, for the help"""
    number = partial(add_number, parser)
    number("steps", steps, "training steps in all", least=1)
    number("batch_size", batch_size, "clips a batch and process", least=1)
    number("accumulate", 1, "batches a step, whose gradients are averaged", least=1)
    if frames is not None:
        number("frames", frames, f"frames a clip; the paper: {paper}", least=2)
    number("lr", lr, f"Adam's learning rate; the paper: {paper}", least=0)
    number("beta1", beta1, "Adam's first beta, the paper's", least=0, below=1)
    number("beta2", 0.999, "Adam's second beta, the paper's", least=0, below=1)
    number("cooldown", 0, "last steps, over which the rate falls to zero", least=0)
    number("clip", 5.0, "largest gradient norm, 0 for any", least=0)
    number("ema", 0.0, "decay of the weights' moving average, 0 for none", least=0, below=1)
    number("seed", 0, "of weights, data order and augmentation", least=0)
    number("speaker_power", 0.5, "1: clips are drawn alike; 0: speakers (words, in LRW) are", least=0)
    workers = "processes that prepare batches (default: this process's share of the cores, but one)"
    number("num_thread", None, workers, least=0, kind=int)
    every = "steps between validations and pictures (default 500)"
    convert = cli.number("validate_every", int, 1, None)
    add_flag(parser, "validate_every", "-save_every", "--save_every", type=convert, default=500, help=every)
    number(
        "save_minutes",
        10.0,
        "between states on disk, beside those of the best validation and the end",
        least=0,
    )
    precisions = ("auto", *PRECISIONS)
    kinds = "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
    add_flag(parser, "precision", choices=precisions, default="auto", help=kinds)
    add_switch(parser, "compile", False, "torch.compile the networks (default false)")
