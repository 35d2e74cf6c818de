"""Feeds damaged files to every reader of files: each shall be read, or refused in one line that names it.

    python -m tests.hostile.fuzz --minutes 30          all readers in turn, other inputs with another --seed
    make fuzz MINUTES=30

Each batch runs in a process of its own, so that one which dies or hangs is counted, and the file that it was reading
stays in --keep. Exit status 1 where a file ended in anything but being read or refused.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

import numpy as np

from tests.hostile.readers import READERS
from utils.errors import UserError

ROOT = Path(__file__).parents[2]
OK, REFUSED, TRACEBACK, DEATH, HANG = "read", "refused", "tracebacks", "deaths", "hangs"
BAD = (TRACEBACK, DEATH, HANG)
SLOWEST = float(os.environ.get("FUZZ_SLOWEST", 20))  # seconds that a file may take
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """The same file, damaged in one or some of the ways of disks, networks and of people who mean harm"""
    made = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        if not made:
            break
        # Half of the damage is done to the beginning, where files say what they are.
        place = int(random.integers(min(len(made), 512) if random.random() < 0.5 else len(made)))
        length = int(min(2 ** random.integers(0, 12), len(made) - place))
        kind = int(random.integers(7))
        if kind == 0:
            del made[place:]
        elif kind == 1:
            made[place] ^= 1 << int(random.integers(8))
        elif kind == 2:
            made[place : place + length] = bytes(length)
        elif kind == 3:
            made[place : place + length] = random.bytes(length)
        elif kind == 4:
            del made[place : place + length]
        elif kind == 5:
            made[place:place] = made[place : place + length]
        else:
            width = int(random.choice([1, 2, 4, 8]))
            value = EXTREMES[int(random.integers(len(EXTREMES)))] % 256**width
            made[place : place + width] = value.to_bytes(width, str(random.choice(["little", "big"])))
    return bytes(made)


def batch(name: str, seed: int, first: int, count: int, folder: Path) -> None:
    """In a process of its own: says of each input, in a line, what came of it"""
    reader = READERS[name]
    originals = sorted(path for path in reader.make(folder) if path.is_file())
    for path in originals:
        reader.read(path)  # or every damaged one would be refused, and nothing learnt
    for number in range(first, first + count):
        random = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
        original = originals[number % len(originals)]
        path = folder / f"damaged{number}{original.suffix}"
        path.write_bytes(mutate(original.read_bytes(), random))
        print(number, "begin", path, flush=True)
        faulthandler.dump_traceback_later(SLOWEST, exit=True, file=sys.stderr)
        try:
            reader.read(path)
            outcome, why = OK, ""
        except UserError as error:
            line = str(error)
            good = "\n" not in line and path.stem in line
            outcome, why = (REFUSED, "") if good else (TRACEBACK, f"bad line: {line!r}")
        except Exception:
            outcome, why = TRACEBACK, traceback.format_exc(limit=-3).replace("\n", " | ")
        faulthandler.cancel_dump_traceback_later()
        print(number, outcome, why, flush=True)
        if outcome in (OK, REFUSED):
            path.unlink(missing_ok=True)


def run_batch(name: str, seed: int, first: int, count: int, keep: Path) -> tuple[Counter, list[str]]:
    """Inputs number `first` and on -> how many ended how, and of each that ended badly a line; its file is kept"""
    found, notes, number = Counter(), [], first
    while number < first + count:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.hostile.fuzz", "--batch", name, "--seed", str(seed)]
            command += ["--first", str(number), "--count", str(first + count - number), "--folder", folder]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
            last = -1
            for line in done.stdout.splitlines():
                index, word, rest = [*line.split(" ", 2), ""][:3]
                if word == "begin":
                    last, damaged = int(index), Path(rest.strip())
                    continue
                found[word] += 1
                last, number = -1, int(index) + 1
                if word in BAD:
                    notes.append(f"{name} {index}: {word}: {rest.strip()[:600]}")
                    _keep(damaged, keep, name)
            if last >= 0:  # it ended within this one
                word = HANG if "Timeout (" in done.stderr else DEATH
                found[word] += 1
                notes.append(f"{name} {last}: {word}, exit status {done.returncode}")
                _keep(damaged, keep, name)
                number = last + 1
            elif number < first + count:
                raise RuntimeError(f"{name}: the batch ended before its inputs: {done.stderr[-800:]}")
    return found, notes


def _keep(damaged: Path, keep: Path, name: str) -> None:
    if damaged.exists():
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(damaged, keep / f"{name}_{damaged.name}")


def main(argv: list[str] | None = None) -> int:
    flags = ArgumentParser(description=__doc__)
    flags.add_argument("--minutes", type=float, default=2.0)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--only", choices=READERS)
    flags.add_argument("--keep", type=Path, default=Path("results/fuzz"))
    for name, kind in {"batch": str, "first": int, "count": int, "folder": Path}.items():
        flags.add_argument(f"--{name}", type=kind)
    args = flags.parse_args(argv)
    if args.batch:
        batch(args.batch, args.seed, args.first, args.count, args.folder)
        return 0
    names, found, first, began = [args.only] if args.only else list(READERS), {}, 0, time.monotonic()
    while time.monotonic() - began < 60 * args.minutes:
        for name in names:
            counts, notes = run_batch(name, args.seed, first, 100, args.keep)
            found[name] = found.get(name, Counter()) + counts
            print(*notes, sep="\n" if notes else "", end="\n" if notes else "", flush=True)
        first += 100
    return report(found, args.keep)


def report(found: dict[str, Counter], keep: Path) -> int:
    """Prints a table of how many inputs ended how; -> the exit status"""
    total = sum(found.values(), Counter())
    print(f"{'reader':<12}" + "".join(f"{word:>12}" for word in ("tried", OK, REFUSED, *BAD)))
    for name, counts in [*found.items(), ("all", total)]:
        cells = (counts.total(), *(counts[word] for word in (OK, REFUSED, *BAD)))
        print(f"{name:<12}" + "".join(f"{cell:>12}" for cell in cells))
    bad = sum(total[word] for word in BAD)
    if bad:
        print(f"{bad} ended badly; their files are in {keep}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
