"""How a script tells a person about a mistake: one line, exit status 2, no traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OTHERS_WAIT = 2  # seconds


class UserError(Exception):
    """A mistake that the user can mend. The message names the file and says what to do."""


def reason(error: Exception, longest: int = 240) -> str:
    """What an exception says, for the one line of a UserError: its lines joined and cut, its kind where it is silent"""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else f"{text[:longest].rstrip()} ..."


class Terminated(KeyboardInterrupt):
    """SIGTERM, which thus undoes what is half-done as Ctrl-C does."""


def run(main: Callable[[Namespace], None], parse_args: Callable[[], Namespace | ArgumentParser]) -> int:
    """Runs a script and returns its exit status: 0, 2 after a `UserError`, 130 after Ctrl-C, 143 after SIGTERM."""
    try:
        with heeding_sigterm():
            main(parse_args())
    except UserError as error:
        _say_from_any_rank(f"error: {own_words(error)}")
        return 2
    except KeyboardInterrupt as stop:
        word, status = ("terminated", 143) if isinstance(stop, Terminated) else ("interrupted", 130)
        _say(f"{word}: {stop}" if str(stop) else word)
        return status
    return 0


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this process; a process forked from it just ends, as without this."""
    if threading.current_thread() is not threading.main_thread():  # Python's signals belong to that one
        yield
        return
    own = os.getpid()

    def heed(number: int, _: object) -> None:
        if os.getpid() == own:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def own_words(error: UserError) -> str:
    """The message alone of an error that a loader's process may have wrapped in its traceback"""
    return str(error).rstrip().rsplit("utils.errors.UserError: ", 1)[-1]


def note(line: str) -> None:
    """Says on stderr what the user should know and need not mend"""
    _say(f"note: {line}")


def _say_from_any_rank(line: str) -> None:
    """Other processes than the first wait a little: what ails all of them is said by the first, and ends the others."""
    rank = os.environ.get("RANK", "0")
    if rank != "0":
        time.sleep(OTHERS_WAIT)
        line = f"process {rank}: {line}"
    print(line, file=sys.stderr)


def _say(line: str) -> None:
    """One line, also where torchrun runs many processes that all fail alike."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr)
