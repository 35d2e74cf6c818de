"""The flags that test scripts share, and what they do to what is heard."""

from __future__ import annotations

import shlex
import sys
import zlib
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from data.splits import SPLITS
from utils.audio.noise import add_noise
from utils.cli import add_device_flags, add_flag, add_switch, check_least
from utils.errors import UserError


def add_clip_flags(options: ArgumentParser, sample_dir: str) -> None:
    """Which clips to measure on, where the results go, and the device"""
    add_flag(options, "dataset", choices=["grid", "lrw"], default="grid", help="whose splits (default grid)")
    store = Path("store/grid.h5")
    add_flag(
        options, "dataset_dir", type=Path, default=store, help=f"clip store (default {store}, as in training)"
    )
    add_flag(options, "splits", type=Path, help="folder of train.txt, val.txt, ... with clip ids")
    add_flag(options, "split", choices=SPLITS, default="test", help="the clips to measure on (default test)")
    add_flag(options, "clips", type=int, help="only so many clips, spread over the split's speakers or words")
    add_flag(
        options,
        "sample_dir",
        "-o",
        "--out-fold",
        type=Path,
        default=Path(sample_dir),
        help=f"where the results go (default {sample_dir})",
    )
    add_device_flags(options)


def add_evaluation_flags(options: ArgumentParser, sample_dir: str) -> None:
    """The same, the videos, and what the sound and the figures are to be"""
    add_clip_flags(options, sample_dir)
    add_flag(options, "videos", type=int, default=4, help="how many clips to write as videos (4)")
    add_flag(
        options, "snr", type=float, help="dB of the voice over white noise added to what the AT-net hears"
    )
    add_switch(options, "paper_metrics", False, "add figures by the original script's own definitions")


def heard(audio: np.ndarray, clip_id: str, snr: float | None) -> np.ndarray:
    """audio (N,) of the clip as the network gets it; the noise is the same in every run."""
    return add_noise(audio, snr, zlib.crc32(clip_id.encode()))


def parse_command(options: ArgumentParser, script: str, argv: list[str] | None) -> Namespace:
    """The arguments, with the command itself as `command`. Raises UserError for a number below what makes sense."""
    args = options.parse_args(argv)
    args.command = shlex.join(["python", script, *(sys.argv[1:] if argv is None else argv)])
    check_least(args, batch_size=1, clips=1, videos=0, landmark_noise=0)
    for name in ("landmark_noise", "snr"):
        value = getattr(args, name, None)
        # nrnet_test.py has several ratios, which it checks by itself.
        if isinstance(value, float) and not np.isfinite(value):
            raise UserError(f"-{name} {value}: give a number")
    return args
