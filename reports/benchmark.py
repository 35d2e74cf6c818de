"""Times our VG-net, folded over time, against the original's frame-by-frame loop, on this machine in one run.

    python -m reports.benchmark                                             # the paper's width
    python -m reports.benchmark --width 32 --batch 4 --steps 5 --precision bf16

A second, slimmer size of ours, by default that of the shipped weights, tells what the paper's width costs beside it.
Training is forward, backward and Adam's step of VG-net alone; inference is its forward in eval mode. The original is
models/original/networks.py in float32. Steps of all alternate, so that a busy machine slows them alike; the
middle one of each counts. Ours runs channels_last, in bfloat16 where the hardware has it, its GRU truly over time.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models import VGNet
from models.original.networks import VG_net
from training.precision import autocast, use_bf16
from utils.cli import add_device_flags, add_flag, add_switch, parser, pick_device
from utils.errors import UserError, run
from utils.memory import keep_freed_memory

Batch = tuple[Tensor, Tensor, Tensor]
Step = Callable[[], Tensor]


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_device_flags(flags)
    add_flag(
        flags, "width", type=int, default=64, help="channels of the first layer (default 64, the paper's)"
    )
    add_flag(flags, "blocks", type=int, default=9, help="residual blocks (default 9, the paper's)")
    slim = "ours is also timed at this width and number of blocks (default 32 4, the shipped weights')"
    add_flag(flags, "slim", type=int, nargs=2, default=(32, 4), help=slim)
    add_flag(flags, "frames", type=int, default=16, help="frames a clip (default 16, the paper's)")
    add_flag(flags, "batch", type=int, default=2, help="clips a step (default 2)")
    add_flag(flags, "steps", type=int, default=3, help="timed steps of each, after one untimed (default 3)")
    add_flag(flags, "precision", choices=("auto", "bf16", "fp32"), default="auto", help="of ours")
    add_switch(flags, "compile", False, "torch.compile ours (default false)")
    return flags.parse_args(argv)


def main(args: Namespace) -> None:
    for name in ("width", "blocks", "slim", "frames", "batch", "steps"):
        if np.min(getattr(args, name)) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: give numbers from 1 up")
    device = pick_device(args.cuda, args.device_ids)
    keep_freed_memory()  # as the training scripts do; both networks gain
    batch = random_batch(args, device)
    print(describe(args, device), flush=True)
    slim = f"width {args.slim[0]}, blocks {args.slim[1]}"
    print(f"{'':10} {'original':>14} {'ours':>14} {'ratio':>8} {slim:>20} {'over ours':>10}")
    for name, training in (("training", True), ("inference", False)):
        torch.manual_seed(0)
        steps = [original_step(args, batch, training)]
        steps += [our_step(args, batch, training, *size) for size in ((args.width, args.blocks), args.slim)]
        original, ours, slim = (
            args.batch * args.frames / seconds for seconds in time_steps(steps, args.steps, device)
        )
        print(f"{name:10} {original:9.2f} fr/s {ours:9.2f} fr/s {ours / original:7.2f}x", end=" ")
        print(f"{slim:15.2f} fr/s {slim / ours:9.2f}x", flush=True)


def random_batch(args: Namespace, device: torch.device) -> Batch:
    """Images (B, 3, 128, 128), landmarks (B, T, 136), example landmarks (B, 136)"""
    torch.manual_seed(0)
    image = torch.rand(args.batch, 3, 128, 128, device=device) * 2 - 1
    landmarks = torch.randn(args.batch, args.frames, 136, device=device) * 0.3
    return image, landmarks, landmarks[:, 0]


def original_step(args: Namespace, batch: Batch, training: bool) -> Step:
    """One step of the original: float32, frame by frame."""
    network = VG_net(args.width, args.blocks).to(batch[0].device).train(training)
    return make_step(network, lambda: network(*batch)[0], batch, training)


def our_step(args: Namespace, batch: Batch, training: bool, width: int, blocks: int) -> Step:
    """One step of ours: all frames folded into the batch, but for the GRU's own recurrence."""
    device = batch[0].device
    network = VGNet(width, blocks).to(device, memory_format=torch.channels_last).train(training)
    called = torch.compile(network) if args.compile else network
    image, landmarks, example = batch[0].contiguous(memory_format=torch.channels_last), *batch[1:]

    def forward() -> Tensor:
        with autocast(args.precision, device):
            return called(image, landmarks, example).frames

    return make_step(network, forward, batch, training, fused=True)


def make_step(
    network: nn.Module, forward: Callable[[], Tensor], batch: Batch, training: bool, fused: bool = False
) -> Step:
    """What is timed, alike for both networks: a step of training towards the example image, or a forward pass."""
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=fused)
    target = batch[0].unsqueeze(1)

    def train() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = (forward() - target).abs().mean()
        loss.backward()
        optimiser.step()
        return loss.detach()

    @torch.no_grad()
    def infer() -> Tensor:
        return forward()

    return train if training else infer


def time_steps(steps: list[Step], repeats: int, device: torch.device) -> list[float]:
    """The median seconds of each step; they take turns, the first turn untimed."""
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(repeats + 1):
        for step, measured in zip(steps, seconds, strict=True):
            finish(device)
            start = time.perf_counter()
            step()
            finish(device)
            if turn:
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in seconds]


def finish(device: torch.device) -> None:
    """Waits for a GPU, whose work is only queued when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(args: Namespace, device: torch.device) -> str:
    cuda = device.type == "cuda"
    where = (
        torch.cuda.get_device_name(device)
        if cuda
        else f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
    )
    precision = "bfloat16" if use_bf16(args.precision, device) else "float32"
    network = f"width {args.width}, {args.blocks} blocks, {args.batch} clips of {args.frames} frames"
    return f"{where}; PyTorch {torch.__version__}; {network}; ours in {precision}"


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
