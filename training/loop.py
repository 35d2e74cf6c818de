"""What both training loops need: precision, schedule, moving average, state on disk, a clean stop."""

from __future__ import annotations

from argparse import Namespace

import torch
from torch import Tensor, nn

from utils.distributed import rank


def learning_rate(step: int, args: Namespace) -> float:
    """Constant, then linear to zero over the last `cooldown` steps."""
    left = args.steps - step
    return args.lr * min(1.0, left / args.cooldown) if args.cooldown else args.lr


def update(optimiser: torch.optim.Optimizer, loss: Tensor, step: int, args: Namespace) -> None:
    """One step down the gradient of `loss`, at the schedule's rate, with the norm clipped."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    group = optimiser.param_groups[0]
    if args.clip:
        nn.utils.clip_grad_norm_(group["params"], args.clip)
    group["lr"] = learning_rate(step, args)
    optimiser.step()


def seed_step(seed: int, step: int) -> None:
    """Dropout is a function of (seed, step, process), so that a resumed run repeats the uninterrupted one."""
    torch.manual_seed(((seed * 1_000_003 + step) * 1009 + rank()) % 2**63)
