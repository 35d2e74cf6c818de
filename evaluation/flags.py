"""The flags that test scripts share, and what they do to what is heard."""

from __future__ import annotations

import shlex
import sys
import zlib
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from data.splits import ALL, SPLITS, add_split_flags
from utils.audio.noise import add_noise
from utils.cli import add_device_flags, add_flag, add_number, add_switch


def add_clip_flags(options: ArgumentParser, sample_dir: str) -> None:
    """Which clips to measure on, where the results go, and the device"""
    add_split_flags(options, "train.txt, val.txt, test.txt, unseen.txt", store=True)
    split = "the clips to measure on (default test); all: of any store, every clip, without lists"
    add_flag(options, "split", choices=(*SPLITS, ALL), default="test", help=split)
    some = "only so many clips, spread over the split's speakers or words (default: all)"
    add_number(options, "clips", None, some, least=1, kind=int)
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
    add_number(options, "videos", 4, "how many clips to write as videos", least=0)
    noise = "dB of the voice over white noise added to what the AT-net hears (default: none is)"
    add_number(options, "snr", None, noise, kind=float)
    add_switch(options, "paper_metrics", False, "add figures by the original script's own definitions")


def heard(audio: np.ndarray, clip_id: str, snr: float | None) -> np.ndarray:
    """audio (N,) of the clip as the network gets it; the noise is the same in every run."""
    return add_noise(audio, snr, zlib.crc32(clip_id.encode()))


def parse_command(options: ArgumentParser, script: str, argv: list[str] | None) -> Namespace:
    """The arguments, with the command itself as `command`"""
    args = options.parse_args(argv)
    args.command = shlex.join(["python", script, *(sys.argv[1:] if argv is None else argv)])
    return args
