"""How a script tells a person about a mistake: one line, exit status 2, no traceback."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable


class UserError(Exception):
    """A mistake that the user can mend. The message names the file and says what to do."""


def reason(error: Exception, longest: int = 240) -> str:
    """What an exception says, for the one line of a UserError: its lines joined and cut, its kind where it is silent"""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else f"{text[:longest].rstrip()} ..."


def run(main: Callable[[Namespace], None], parse_args: Callable[[], Namespace | ArgumentParser]) -> int:
    """Runs a script and returns its exit status: 0, 2 after a `UserError`, 130 after Ctrl-C."""
    try:
        main(parse_args())
    except UserError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt as stop:
        _say(f"interrupted: {stop}" if str(stop) else "interrupted")
        return 130
    return 0


def _say(line: str) -> None:
    """One line, also where torchrun runs many processes that all fail alike."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr)
