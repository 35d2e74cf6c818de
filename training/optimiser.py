"""Optimisers, and the learning rate of each step."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace

import torch
from torch import nn

from utils.cli import add_flag, add_number

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("linear", "cosine")


def add_optimiser_flags(flags: ArgumentParser, default: str, lr: float) -> None:
    """Flags of scripts that leave the choice of the optimiser; others have Adam. lr: the default -lr, of `default`"""
    add_flag(
        flags, "opt", choices=OPTIMISERS, default=default, help=f"the optimiser; -lr {lr} is for {default}"
    )
    momentum = "SGD's, by Nesterov's rule; the original's"
    add_number(flags, "momentum", 0.9, momentum, least=0, below=1)
    schedule = "how the rate falls to zero over the last -cooldown steps (default linear)"
    add_flag(flags, "schedule", choices=SCHEDULES, default="linear", help=schedule)
    halve = "validations without a better one, after which the rate is halved; the original's: 5; 0: never"
    add_number(flags, "endurance", 0, halve, least=0)


def optimiser(network: nn.Module, args: Namespace) -> torch.optim.Optimizer:
    """By -opt, where the script has it: Adam with its -weight_decay and -amsgrad, AdamW, or SGD with -momentum"""
    named, kind = (
        {name: getattr(args, name) for name in ("weight_decay",) if name in args},
        optimiser_kind(args),
    )
    if kind == "sgd":
        return torch.optim.SGD(
            network.parameters(), args.lr, args.momentum, nesterov=args.momentum > 0, **named
        )
    if "amsgrad" in args:
        named |= dict(amsgrad=args.amsgrad)
    made = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    return made(network.parameters(), lr=args.lr, betas=(args.beta1, args.beta2), fused=True, **named)


def optimiser_kind(args: Namespace) -> str:
    return getattr(args, "opt", "adam")


def set_rate(
    optimiser: torch.optim.Optimizer, step: int, args: Namespace, halvings: int = 0, times: float = 1.0
) -> None:
    """Makes a state's optimiser what today's flags say.

    halvings: how often validation asked for half the rate; times: this network's rate, over that of the others
    """
    for group in optimiser.param_groups:
        group |= dict(lr=times * learning_rate(step, args) / 2**halvings)
        if optimiser_kind(args) == "sgd":
            group |= dict(momentum=args.momentum, nesterov=args.momentum > 0)
        else:
            group |= dict(betas=(args.beta1, args.beta2))


def learning_rate(step: int, args: Namespace) -> float:
    """-lr, a tenth of it from step `reduce_at` on, where the script sets that, falling to zero in the last -cooldown"""
    reduce_at = getattr(args, "reduce_at", 0)
    rate = args.lr / 10 if 0 < reduce_at <= step else args.lr
    left = args.steps - step
    if not args.cooldown or left >= args.cooldown:
        return rate
    part = left / args.cooldown
    return rate * ((1 - math.cos(math.pi * part)) / 2 if getattr(args, "schedule", "") == "cosine" else part)
