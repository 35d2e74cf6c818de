"""Times our VG-net, folded over time, against the original's frame-by-frame loop, on this machine in one run.

    python -m reports.benchmark                                             # the paper's width
    python -m reports.benchmark --width 32 --batch 4 --steps 5 --precision bf16
    python -m reports.benchmark --dataset_dir store/grid.h5                 # how fast a core makes samples, too

A second, slimmer size of ours, by default that of the shipped weights, tells what the paper's width costs beside it.
Training is forward, backward and Adam's step of VG-net alone; inference is its forward in eval mode. The original is
models/original/networks.py in float32. Steps of all alternate, so that a busy machine slows them alike; the middle one
of each counts. Ours runs channels_last, in bfloat16 where the hardware has it, its GRU truly over time.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data.store import ClipStore, aligned_store
from data.vgnet import PortraitSamples
from models import VGNet
from models.original.networks import VG_net
from training.precision import PRECISIONS, compute_type
from utils.cli import add_device_flags, add_flag, add_number, add_switch, parser, pick_device
from utils.errors import UserError, run
from utils.memory import keep_freed_memory


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_device_flags(flags)
    add_number(flags, "width", 64, "channels of the first layer; the paper's", least=1)
    add_number(flags, "blocks", 9, "residual blocks; the paper's", least=1)
    slim = "ours is also timed at this width and number of blocks (default 32 4, the shipped weights')"
    add_flag(flags, "slim", type=int, nargs=2, default=(32, 4), help=slim)
    add_number(flags, "frames", 16, "frames a clip; the paper's", least=1)
    add_number(flags, "batch", 2, "clips a step", least=1)
    add_number(flags, "steps", 3, "timed steps of each, after one untimed", least=1)
    add_flag(flags, "precision", choices=("auto", *PRECISIONS), default="auto", help="of ours")
    add_switch(flags, "compile", False, "torch.compile ours (default false)")
    add_flag(flags, "dataset_dir", type=Path, help="clip store: also time VG-net's training samples")
    args = flags.parse_args(argv)
    if min(args.slim) < 1:
        raise UserError(f"--slim {args.slim}: give numbers from 1 up")
    return args


def compare_sizes(args: Namespace, device: torch.device) -> None:
    """Prints the speed of the original, of ours at its size, and of ours at the slim size."""
    slim = f"width {args.slim[0]}, blocks {args.slim[1]}"
    print(f"{'':10} {'original':>14} {'ours':>14} {'ratio':>8} {slim:>20} {'over ours':>10}")
    for name, training in (("training", True), ("inference", False)):
        networks = [VG_net(args.width, args.blocks), VGNet(args.width, args.blocks), VGNet(*args.slim)]
        original, ours, small = speeds(args, networks, device, training)
        print(f"{name:10} {original:9.2f} fr/s {ours:9.2f} fr/s {ours / original:7.2f}x", end=" ")
        print(f"{small:15.2f} fr/s {small / ours:9.2f}x", flush=True)


def speeds(args: Namespace, networks: list[nn.Module], device: torch.device, training: bool) -> list[float]:
    """The median frames a second of each network; they take turns, the first turn untimed."""
    torch.manual_seed(0)
    steps = [make_step(args, network.to(device).train(training), device) for network in networks]
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(args.steps + 1):
        for step, measured in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)  # whose work is only queued when a call returns
            measured += [time.perf_counter() - start] if turn else []
    return [args.batch * args.frames / statistics.median(measured) for measured in seconds]


def make_step(args: Namespace, network: nn.Module, device: torch.device) -> Callable[[], object]:
    """What is timed, alike for all: a step of training towards the example image, or a forward pass."""
    ours, training = isinstance(network, VGNet), network.training
    dtype = compute_type(args.precision, device) if ours else torch.float32
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=ours)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    image = torch.rand(args.batch, 3, 128, 128, device=device) * 2 - 1
    landmarks = torch.randn(args.batch, args.frames, 136, device=device) * 0.3
    target, called = image.unsqueeze(1), network
    if ours:
        network.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
        called = torch.compile(network) if args.compile else network

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(training):
            with torch.autocast(device.type, dtype, dtype != torch.float32, cache_enabled=False):
                frames = called(image, landmarks, landmarks[:, 0])[0]
            if training:
                scaler.scale((frames - target).abs().mean()).backward()
                scaler.step(optimiser)
                scaler.update()

    return step


def samples_a_second(store: ClipStore, frames: int, count: int) -> float:
    """How many of VG-net's training samples one core makes, read and augmented"""
    samples, threads = PortraitSamples(store, list(store.lengths), frames, seed=0), torch.get_num_threads()
    torch.set_num_threads(1)
    samples[0]
    start = time.perf_counter()
    for number in range(1, count + 1):
        samples[number]
    torch.set_num_threads(threads)
    return count / (time.perf_counter() - start)


def main(args: Namespace) -> None:
    device = pick_device(args.cuda, args.device_ids)
    where = f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else where
    dtype = compute_type(args.precision, device)
    network = f"width {args.width}, {args.blocks} blocks, {args.batch} clips of {args.frames} frames"
    print(
        f"{where}; PyTorch {torch.__version__}; {network}; ours in {dtype}",
        flush=True,
    )
    keep_freed_memory()  # as the training scripts do; both networks gain
    compare_sizes(args, device)
    if args.dataset_dir:
        rate = samples_a_second(
            aligned_store(args.dataset_dir), args.frames, max(20, args.batch * args.steps)
        )
        print(f"loader     {rate:9.2f} samples/s of {args.frames + 1} frames on one core")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
