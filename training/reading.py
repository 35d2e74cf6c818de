"""The lip reader's network as the flags of its training describe it, and what it starts from."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models import load_model
from models.lips.generator import LipToSpeech
from models.reading.backends import BACKENDS
from models.reading.reader import LipReader
from training.export import start_from
from utils.cli import add_flag, add_number, add_switch
from utils.errors import UserError

SLOTS = dict(GRU=88, MSTCN=168)  # the paper's, of each back-end
HEAD_SLOTS = 112  # of the multi-head memory's paper, in each head


def add_reader_flags(flags: ArgumentParser) -> None:
    """What the network looks like"""
    number = partial(add_number, flags)
    number("size", 112, "side of the mouth crops in pixels, the paper's", least=32)
    number("view", 1.0, "share of the original's box that they show; 0.7: mouth and chin", least=0.2)
    number("front", 64, "channels of the visual front-end's first layer, the paper's", least=4)
    number("hearing", 128, "channels of the audio front-end's first layer, the paper's", least=4)
    number("width", 512, "of sound, memory and back-end, the paper's", least=8)
    add_flag(
        flags, "backend", choices=tuple(BACKENDS), default="GRU", help="what reads the word (default GRU)"
    )
    number(
        "slots",
        None,
        f"of the memory (default, the papers': {SLOTS}, {HEAD_SLOTS} a head)",
        least=2,
        kind=int,
    )
    number("radius", 16.0, "by which cosines are multiplied to address the memory, the paper's", least=0.1)
    number(
        "heads", 0, "of the multi-head memory of 2022, its paper's: 8; 0: the ICCV paper's memory", least=0
    )
    number("dropout", 0.3, "behind both front-ends and in the GRU, the paper's", least=0, below=1)
    add_switch(flags, "memory", True, "false: the mouth alone, to compare (default true)")
    add_switch(flags, "boundary", False, "tell the back-end in which frames the word is (the paper: no)")
    lips = "weights of lip-to-speech whose visual front-end to start from, of the same -front"
    add_flag(flags, "load_lips", type=Path, metavar="FILE", help=lips)
    kept = (
        "what stays as -load_lips or --checkpoint has it: the visual front-end, or its 3-D convolution alone"
    )
    add_flag(flags, "keep", choices=("front", "stem"), help=kept)
    seen = "with -keep front: it sees each word once, before training; then mouths are mirrored, but change no further"
    add_switch(flags, "seen", False, seen)


def add_reading_loss_flags(flags: ArgumentParser) -> None:
    """What counts for how much in training, and how samples are mixed"""
    number = partial(add_number, flags, least=0)
    number("recalled_weight", 1.0, "cross entropy of the word that the mouth alone says; the paper's: 1")
    number("heard_weight", 1.0, "of the word that mouth and sound say; the paper's: 1")
    number("address_weight", 1.0, "divergence of the mouth's addresses from the sound's; the paper's: 1")
    number("rebuilding_weight", 1.0, "error of the sound that the memory rebuilds; the paper's: 1")
    number("orthogonal_weight", 1.0, "likeness of the multi-head memory's slots, its paper's: 1")
    number("smoothing", 0.0, "of the labels (the paper: no)", below=1)
    number(
        "mixup", 0.0, "clips are mixed by shares drawn from Beta(x, x); the multi-head paper: 0.4 (0: not)"
    )
    number(
        "blind", 0.0, "share of clips whose mouth is hidden beside their sound, to hear alone (the paper: no)"
    )


def build(args: Namespace, classes: Sequence[str], device: torch.device) -> LipReader:
    """The network. Raises UserError where -load_lips does not fit, and for -keep without anything to keep."""
    if args.keep and args.load_lips is None and args.load_model is None:
        raise UserError(
            f"-keep {args.keep}: needs trained weights; give -load_lips FILE or --checkpoint FILE"
        )
    torch.manual_seed(args.seed)
    slots = args.slots or (HEAD_SLOTS if args.heads else SLOTS[args.backend])
    names = "size view front hearing width radius backend heads boundary dropout memory".split()
    model = LipReader(classes, slots=slots, **{name: getattr(args, name) for name in names})
    if args.load_lips is not None:
        try:
            model.start_from_lips(load_model(args.load_lips, expect=LipToSpeech))
        except ValueError as error:
            raise UserError(f"{args.load_lips}: {error}") from error
    start_from(model, args.load_model)
    if args.keep:
        model.freeze([model.frontend if args.keep == "front" else model.frontend.stem])
    model.to(device)
    model.frontend.stages.to(memory_format=torch.channels_last)
    return model


def mixed(
    batch: dict[str, Tensor], mouths: Tensor, classes: int, alpha: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Mixup (Zhang et al. 2018) of a batch with itself in another order, mouths and sound by the same shares

    mouths (B, S, H, W) -> the batch with label (B, classes), shares of words; and the mixed mouths. alpha: of Beta.
    """
    count = len(mouths)
    share = torch.distributions.Beta(alpha, alpha).sample((count,)).to(mouths)
    order = torch.randperm(count).to(mouths.device)

    def mix(values: Tensor) -> Tensor:
        weight = share.view(-1, *[1] * (values.ndim - 1))
        return weight * values + (1 - weight) * values[order]

    label = torch.nn.functional.one_hot(batch["label"], classes).float()
    return batch | dict(label=mix(label), mel=mix(batch["mel"])), mix(mouths)
