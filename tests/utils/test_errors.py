"""What scripts say, and with which status they end, whatever the names, the terminal and the signals are."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from utils.errors import (
    HungUp,
    Terminated,
    UserError,
    heeding_sigterm,
    note,
    restore_handlers,
    run,
    signals_wait,
)

ROOT = Path(__file__).parents[2]
ODD = "caf\\udce9_\\u00e9.mp4"  # a name that is not UTF-8, and a letter that is not ASCII
SCRIPT = """
import sys
from utils.errors import UserError, note, run

def main(args):
    {body}

sys.exit(run(main, lambda: None))
"""
TERMINALS = {
    "ascii": dict(PYTHONIOENCODING="ascii"),
    "C": dict(LC_ALL="C"),
    "plain C": dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "UTF-8": dict(LC_ALL="C.UTF-8"),
}


UNBUFFERED = dict(PYTHONUNBUFFERED="1")


def script(
    body: str, terminal: str = "UTF-8", buffered: bool = True, **options
) -> subprocess.CompletedProcess:
    left = {"PYTHONIOENCODING", "PYTHONUNBUFFERED"}
    names = {name: value for name, value in os.environ.items() if name not in left}
    environment = names | dict(PYTHONPATH=str(ROOT)) | TERMINALS[terminal] | ({} if buffered else UNBUFFERED)
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE) | options
    command = [sys.executable, "-c", SCRIPT.format(body=body)]
    return subprocess.run(command, env=environment, timeout=60, check=False, **options)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_name_that_cannot_be_shown_is_escaped(terminal):
    ended = script(f'print("{ODD}")', terminal)
    assert ended.returncode == 0 and ended.stderr == b""
    assert (
        ended.stdout.startswith(b"caf")
        and ended.stdout.endswith(b".mp4\n")
        and ended.stdout.count(b"\n") == 1
    )


@pytest.mark.parametrize("terminal", TERMINALS)
def test_notes_and_mistakes_with_odd_names_are_one_line_each(terminal):
    ended = script(f'note("{ODD}: a"); raise UserError("a\\nb\\x1b[31m{ODD}: is wrong; mend it")', terminal)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2 and len(lines) == 2 and b"Traceback" not in ended.stderr
    assert lines[0].startswith(b"note: caf") and lines[1].startswith(b"error: a\\nb\\x1b[31mcaf")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("amount", [1, 100_000])
def test_a_full_standard_output_is_one_line(amount, buffered):
    with open("/dev/full", "wb") as full:
        ended = script(f'print("x" * {amount})', buffered=buffered, stdout=full)
    assert ended.returncode == 2
    said = (
        b"error: standard output: cannot be written (No space left on device); files made so far are whole\n"
    )
    assert ended.stderr == said


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("amount", [1, 100_000])
def test_a_closed_pipe_is_one_line(amount, buffered):
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as pipe:
        ended = script(f'print("x" * {amount})', buffered=buffered, stdout=pipe)
    assert ended.returncode == 2 and ended.stderr.count(b"\n") == 1 and b"Broken pipe" in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_where_nobody_can_be_told_the_status_says_it():
    with open("/dev/full", "wb") as full:
        assert script('note("a"); raise UserError("b")', stdout=full, stderr=full).returncode == 2
        assert script('note("a")', stderr=full).returncode == 0


def test_a_closed_stream_gives_its_number_to_no_file(tmp_path):
    """What a library writes to stderr must not end in the first file that is opened."""
    body = f'file = open({str(tmp_path / "a")!r}, "w"); import os; os.write(2, b"noise"); assert file.fileno() > 2'
    command = ["sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "-c", SCRIPT.format(body=body)]
    ended = subprocess.run(command, env=os.environ | dict(PYTHONPATH=str(ROOT)), timeout=60, check=False)
    assert ended.returncode == 0 and (tmp_path / "a").read_bytes() == b""


ENDINGS = [
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hung up"),
    (signal.SIGINT, 130, "interrupted"),
]


@pytest.fixture
def handlers():
    """Those of a process at a terminal, whatever started the tests, whatever a test leaves"""
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {number for number, *_ in ENDINGS})
    own = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("number", "status", "word"), ENDINGS)
def test_signals_undo_and_have_their_status(number, status, word, capsys):
    undone = []

    def main(_: None) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            undone.append(True)

    assert run(main, lambda: None) == status
    assert undone and capsys.readouterr().err == f"{word}\n"


@pytest.mark.usefixtures("handlers")
def test_nohup_stays_in_force():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heeding_sigterm():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("handlers")
def test_signals_wait_for_the_end_of_a_block():
    done = []
    with heeding_sigterm():
        for number, kind in ((signal.SIGTERM, Terminated), (signal.SIGHUP, HungUp)):
            with pytest.raises(kind), signals_wait():  # noqa: PT012
                os.kill(os.getpid(), number)
                done.append(number)
    assert done == [signal.SIGTERM, signal.SIGHUP]


def test_other_mistakes_keep_their_traceback():
    def main(_: None) -> None:
        raise FileNotFoundError(2, "No such file")

    with pytest.raises(FileNotFoundError):
        run(main, lambda: None)


def test_a_note_is_a_line(capsys):
    note("a\nb")
    with pytest.raises(UserError):
        raise UserError("a")
    assert capsys.readouterr().err == "note: a\\nb\n"


@pytest.mark.usefixtures("handlers")
def test_signals_that_another_thread_hears_wait_too():
    """As those of progress bars and of numerical libraries do"""
    go, done = threading.Event(), []

    def hear() -> None:
        go.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=hear)
    thread.start()
    with heeding_sigterm(), pytest.raises(Terminated), signals_wait():  # noqa: PT012
        go.set()
        thread.join()
        time.sleep(0.5)  # until the kernel has delivered it, also on a busy machine
        done.append(True)
    assert done


def state() -> tuple:
    """What this thread blocks, and who handles what"""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    return signal.pthread_sigmask(signal.SIG_BLOCK, []), [*map(signal.getsignal, numbers)]


@pytest.mark.usefixtures("handlers")
def test_a_signal_as_the_block_ends_leaves_nothing_blocked(monkeypatch):
    """Another thread hears it: the mask of this one does not help"""
    go, set_mask = threading.Event(), signal.pthread_sigmask

    def hear() -> None:
        go.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    def late(how: int, numbers: set) -> set:
        if how == signal.SIG_SETMASK:
            go.set()
            thread.join()
            time.sleep(0.5)  # as above
        return set_mask(how, numbers)

    before, thread = state(), threading.Thread(target=hear)
    thread.start()
    with heeding_sigterm():
        heeded = state()
        monkeypatch.setattr(signal, "pthread_sigmask", late)
        with pytest.raises(Terminated), signals_wait():
            pass
        monkeypatch.undo()
        assert state() == heeded
    assert state() == before


@pytest.mark.usefixtures("handlers")
def test_a_signal_as_the_block_begins_leaves_nothing_blocked(monkeypatch):
    """Another thread hears it before its own handler is there"""
    install, go, sent = signal.signal, threading.Event(), []

    def hear() -> None:
        go.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    def late(number: int, handler: object) -> object:
        if number == signal.SIGTERM and not sent:
            sent.append(number)
            go.set()
            thread.join()
            time.sleep(0.5)  # as above
        return install(number, handler)

    thread = threading.Thread(target=hear)
    thread.start()
    with heeding_sigterm():
        heeded = state()
        monkeypatch.setattr(signal, "signal", late)
        with pytest.raises(Terminated), signals_wait():
            pytest.fail("the signal came before")
        monkeypatch.undo()
        assert sent and state() == heeded


@pytest.mark.usefixtures("handlers")
def test_handlers_that_cannot_be_given_back_end_it():
    """As in another thread than the first; what is there to do is done"""
    with pytest.raises(TypeError):
        restore_handlers({signal.SIGTERM: signal.SIG_IGN, signal.SIGHUP: "nobody"})
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_two_handlers_that_return_loses_none(number, monkeypatch):
    install, sent = signal.signal, []

    def early(which: int, handler: object) -> object:
        old = install(which, handler)
        if which == number and handler is heeding and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        return old

    before = state()
    with heeding_sigterm():
        heeded, heeding = state(), signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt), signals_wait():
            monkeypatch.setattr(signal, "signal", early)
        monkeypatch.undo()
        assert sent == [number] and state() == heeded
    assert state() == before
