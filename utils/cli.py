"""Command-line flags that every script shares, each with one dash or two as in the original's README."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import NoReturn

import torch

from utils.errors import UserError

LONGEST_NAME = 200  # bytes: most file systems take 255, with what we add


class _OneLineParser(ArgumentParser):
    """Says in one line what is wrong with a command, as all of our mistakes are said."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")


def parser(description: str | None, help: bool = True) -> ArgumentParser:
    """A parser that shows the script's docstring as it stands and does not guess at abbreviated flags.

    A wrong command raises UserError. help: whether it answers -h; not one that only looks at a flag beforehand.
    """
    return _OneLineParser(
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=help,
    )


def add_flag(parser: ArgumentParser, name: str, *short: str, **options) -> None:
    """Registers `-name` and `--name` (and short forms such as "-i") for one option."""
    parser.add_argument(*short, f"-{name}", f"--{name}", dest=name, **options)


def renamed(argv: list[str], names: dict[str, str]) -> list[str]:
    """A command's words, with flags of the original's (--grid, --grid=DIR) under our names: {"grid": "dataset_dir"}"""

    def rename(word: str) -> str:
        flag, equals, value = word.partition("=")
        name = names.get(flag.lstrip("-")) if flag.startswith("-") else None
        return f"--{name}{equals}{value}" if name else word

    return [rename(word) for word in argv]


def add_number(
    parser: ArgumentParser,
    name: str,
    default: float | None,
    help: str,
    least: float | None = None,
    below: float | None = None,
    kind: type[float] | None = None,
) -> None:
    """A flag for a finite number from `least` to less than `below`, of the default's type or `kind`."""
    convert = number(name, kind or type(default), least, below)
    shown = help if default is None else f"{help} (default {default})"
    add_flag(parser, name, type=convert, default=default, help=shown)


def number(name: str, kind: type[float], least: float | None, below: float | None) -> Callable[[str], float]:
    """What turns a flag's text into its number. It raises UserError for one that makes no sense."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        limits = [f"of at least {least}"] * (least is not None) + [f"below {below}"] * (below is not None)
        low, high = (-math.inf if least is None else least), (math.inf if below is None else below)
        if not (math.isfinite(value) and low <= value < high):
            whole = "whole number" if kind is int else "number"
            raise UserError(f"-{name} {text}: give a {' '.join([whole, ' and '.join(limits)]).strip()}")
        return value

    return convert


def add_switch(parser: ArgumentParser, name: str, default: bool, help: str) -> None:
    """A flag that accepts nothing (true), true or false, on or off."""
    add_flag(
        parser, name, nargs="?", const=True, default=default, type=boolean, metavar="true|false", help=help
    )


def boolean(text: str) -> bool:
    """Raises ArgumentTypeError for anything but true, false and their usual spellings."""
    lowered = text.lower()
    if lowered in ("true", "yes", "1", "on"):
        return True
    if lowered in ("false", "no", "0", "off"):
        return False
    raise ArgumentTypeError(f"expected true or false, not {text!r}")


def add_device_flags(parser: ArgumentParser) -> None:
    """-cuda and -device_ids"""
    add_switch(parser, "cuda", True, "use CUDA where there is a GPU (default), or false for the CPU")
    add_flag(parser, "device_ids", default="0", help="GPUs to use, for example 0 or 0,1 (default 0)")


def gpus_of_original(args: Namespace) -> str:
    """The GPUs of --gpu as the originals take them: all with --dataparallel or --distributed, the first without"""
    several = args.dataparallel or getattr(args, "distributed", False)
    return args.device_ids if several else args.device_ids.split(",")[0]


def device_list(device_ids: str) -> list[int]:
    """ "0,1" -> [0, 1]. Raises UserError for anything else, and for a number given twice."""
    numbers = device_ids.split(",")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise UserError(f"-device_ids {device_ids}: give GPU numbers separated by commas, for example 0,1")
    ids = [int(number) for number in numbers]
    if len(set(ids)) < len(ids):
        raise UserError(f"-device_ids {device_ids}: names a GPU twice; give each number once")
    return ids


def file_name(flag: str) -> Callable[[str], str]:
    """What checks a flag's text that files will be called by. It raises UserError for one that cannot be."""

    def check(text: str) -> str:
        wrong = None
        if not text.strip() or text in (".", ".."):
            wrong = "is no name"
        elif any(mark in text for mark in "/\\"):
            wrong = "names a folder"
        elif any(ord(mark) < 32 or ord(mark) == 127 for mark in text):
            wrong = "has line breaks or the like in it"
        elif len(os.fsencode(text)) > LONGEST_NAME:
            wrong, text = f"is longer than {LONGEST_NAME} bytes", f"{text[:20]}..."
        if wrong:
            raise UserError(
                f"{flag} {text}: {wrong}; give a name without folders, which have flags of their own"
            )
        return text

    return check


def pick_device(cuda: bool, device_ids: str) -> torch.device:
    """The first of the GPUs asked for, or the CPU where there is none or `cuda` is false.

    The GPU becomes PyTorch's current one. Raises UserError where there are GPUs, but not that one.
    """
    number = device_list(device_ids)[0]
    if not (cuda and torch.cuda.is_available()):
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise UserError(
            f"-device_ids {device_ids}: this machine has {torch.cuda.device_count()} GPU(s), from 0"
        )
    torch.cuda.set_device(number)  # so that what names no GPU does not open the first one
    return torch.device("cuda", number)
