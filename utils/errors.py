"""How a script tells a person about a mistake: one line, exit status 2, no traceback."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

OTHERS_WAIT = 2  # seconds


class UserError(Exception):
    """A mistake that the user can mend. The message names the file and says what to do."""


def reason(error: Exception, longest: int = 240) -> str:
    """What an exception says, for the one line of a UserError: its lines joined and cut, its kind where it is silent"""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else f"{text[:longest].rstrip()} ..."


class Terminated(KeyboardInterrupt):
    """SIGTERM, which thus undoes what is half-done as Ctrl-C does."""

    word, status = "terminated", 143


class HungUp(Terminated):
    """SIGHUP: the terminal or the connection is gone."""

    word, status = "hung up", 129


def ending_signals() -> dict[int, type[Terminated]]:
    """The signals, beside Ctrl-C, that end a run in good order; not SIGHUP where `nohup` has it ignored"""
    known = {signal.SIGTERM: Terminated}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        known[signal.SIGHUP] = HungUp
    return known


def run(main: Callable[[Namespace], None], parse_args: Callable[[], Namespace | ArgumentParser]) -> int:
    """Runs a script and returns its exit status

    0; 2 after a `UserError`, and where what is printed cannot be written; 130 after Ctrl-C, 143 after SIGTERM, 129
    after SIGHUP. Names that the terminal cannot show are printed with backslashes.
    """
    _prepare_streams()
    try:
        with heeding_sigterm(), _honest_streams():
            main(parse_args())
    except UserError as error:
        _say_from_any_rank(f"error: {own_words(error)}")
        return _last_words(2)
    except KeyboardInterrupt as stop:
        word, status = (stop.word, stop.status) if isinstance(stop, Terminated) else ("interrupted", 130)
        _say(f"{word}: {stop}" if str(stop) else word)
        return _last_words(status)
    return _last_words(0)


def _prepare_streams() -> None:
    """No line fails for a name that is not in the terminal's alphabet; no file gets the number of a closed stream."""
    while (
        handle := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # what libraries write there must not end in a file
        continue
    os.close(handle)
    if sys.stderr is None:  # closed: what libraries say of their progress goes nowhere
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - to the end of the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Stdout:
    """A stream that raises UserError where it cannot be written"""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._saying():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._saying():
            self.stream.flush()

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"cannot be written ({error.strerror or error}); files made so far are whole"
            raise UserError(f"standard output: {what}") from error


class _Stderr(_Stdout):
    """A stream of progress bars and notes, which are no reason to end the work where they cannot be written"""

    def _saying(self) -> suppress:
        return suppress(OSError)


@contextmanager
def _honest_streams() -> Iterator[None]:
    """What is printed in the block can be written, or the block raises UserError; bars and notes may get lost."""
    before = sys.stdout, sys.stderr
    try:  # those that are None were closed before the script began: nobody wants to know
        sys.stdout, sys.stderr = before[0] and _Stdout(before[0]), before[1] and _Stderr(before[1])
        try:
            yield
        except SystemExit:  # --help
            sys.stdout and sys.stdout.flush()
            raise
        sys.stdout and sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def _last_words(status: int) -> int:
    """The status of a run; Python shall not change it when a stream fails at the very end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return status


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this process, SIGHUP `HungUp`; one forked from it just ends, as without this."""
    if threading.current_thread() is not threading.main_thread():  # Python's signals belong to that one
        yield
        return
    own, kinds = os.getpid(), ending_signals()

    def heed(number: int, _: object) -> None:
        if os.getpid() == own:
            raise kinds[number]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    with handled(kinds, heed):
        yield


@contextmanager
def handled(numbers: Iterable[int], handler: Callable) -> Iterator[None]:
    """Signals have this handler in the block, and their own again after it, whenever one comes and raises."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        restore_handlers(before)


def restore_handlers(before: dict[int, object]) -> None:
    """Gives signals the handlers that `signal.getsignal` had told

    All of them, also where a signal comes meanwhile whose handler is back, and raises: it does so after that.
    """
    left, stop = dict(before), None
    for _ in range(2 * len(before) + 1):  # enough, unless it cannot be done at all
        try:
            for number, handler in left.copy().items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
                del left[number]
            break
        except BaseException as error:
            stop = error
    if stop is not None:
        raise stop


@contextmanager
def signals_wait() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP come after the block. Processes that start in it do not hear them either, until they
    call `leave_signals_to_the_main`: they would be stopped half-way into their beginning, and say so at length.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "pthread_sigmask")):  # not every system has it
        yield
        return
    numbers, heard = {signal.SIGINT, *ending_signals()}, []
    # Blocked, which new processes inherit; but other threads of this one may hear them, and Python then acts at once.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        with handled(numbers, lambda number, _: heard.append(number)):
            try:
                signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # while nothing that comes can raise
    finally:
        for number in heard:
            signal.raise_signal(number)


def leave_signals_to_the_main(*heeded: int) -> None:
    """In a worker: Ctrl-C, and the SIGTERM that SLURM and systemd send to all of a job's processes, are not for it.

    The main process may want results until it has saved. heeded: of them, what ends this worker all the same.
    """
    numbers = {signal.SIGINT, *ending_signals()}
    for number in numbers:
        signal.signal(number, signal.SIG_DFL if number in heeded else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


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
    _print(line)


def _say(line: str) -> None:
    """One line, also where torchrun runs many processes that all fail alike."""
    if os.environ.get("RANK", "0") == "0":
        _print(line)


def _print(line: str) -> None:
    """On stderr, in one line whatever is in the names in it; where stderr cannot be written, nobody is told."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: ascii(found[0])[1:-1], line)
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
