"""Sixty damaged copies of a file, read one after another in one other process, which must survive them all.

python -m tests.hostile.mutations READER FILE FOLDER
"""

from __future__ import annotations

import ast
import random
import resource
import signal
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

from utils.errors import UserError

COUNT, MEMORY, SECONDS = 60, 8 << 30, 10  # copies, bytes of addresses, seconds of one copy


def mutated(data: bytes, random: random.Random) -> bytes:
    """Some bytes changed, set to extremes or zeroed, a block moved, or the end cut off"""
    held = bytearray(data)
    place = random.randrange(len(held)) if random.random() < 0.5 else random.randrange(min(len(held), 4096))
    kind = random.randrange(6)
    if kind == 0:
        held[place] ^= 1 << random.randrange(8)
    elif kind == 1:
        for _ in range(20):
            held[random.randrange(len(held))] = random.randrange(256)
    elif kind == 2:
        held[place : place + 8] = random.choice([b"\xff" * 8, b"\0" * 7 + b"\x10", b"\xff" * 7 + b"\x7f"])
    elif kind == 3:
        length = min(random.choice([16, 512, 4096]), len(held) - place)
        held[place : place + length] = bytes(length)
    elif kind == 4:
        other = random.randrange(len(held))
        held[place : place + 64] = held[other : other + 64]
    else:
        del held[place:]
    return bytes(held)


def expire(*_: object) -> None:
    raise TimeoutError("it takes too long")


def read_all(reader: str, file: Path, folder: Path, seed: int = 0) -> Counter:
    """How many copies were read, refused in one line, or neither"""
    from tests.hostile import readers

    read, drawn = getattr(readers, reader), random.Random(seed)
    data, copy, counts = file.read_bytes(), folder / file.name, Counter()
    signal.signal(signal.SIGALRM, expire)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in range(COUNT):
        copy.write_bytes(mutated(data, drawn))
        print(number, end=" ", file=sys.stderr, flush=True)  # the one that ends this process is the last
        signal.alarm(SECONDS)
        try:
            read(copy)
            counts["read"] += 1
        except UserError as error:
            one_line = "\n" not in str(error) and file.name in str(error)
            counts["refused" if one_line else f"said: {error}"] += 1
        except Exception:  # what a user must not see
            counts[traceback.format_exc(limit=-4)] += 1
        signal.alarm(0)
    return counts


def survived(reader: str, file: Path, folder: Path) -> Counter:
    """What became of the copies. Fails where the process did not survive them, or one was neither read nor refused."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.hostile.mutations", reader, file, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = Counter(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert set(counts) <= {"read", "refused"} and sum(counts.values()) == COUNT, "\n".join(counts)
    return counts


if __name__ == "__main__":
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    print(dict(read_all(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), seed)))
