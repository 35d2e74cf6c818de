"""What the lip reader's memory earns: trains it with, without, and with many heads, and writes docs/memory.md.

    python -m reports.memory --dataset_dir store/words.h5
    python -m reports.memory --flags= --steps 100000                # the paper's sizes
    make memory WORDS=store/words.h5                                # the first

Each row is trained by lipread.py for equal steps with each of --seeds, and measured by lipread_test.py on held-out
words, from video alone; the page has the mean and the spread (standard deviation) over seeds. To go on after a stop,
run the same command again: a training goes on from its own state, and what has been trained and measured is kept.
--flags are what all rows share; write them with an equals sign.
"""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from reports.pages import Table, legend, page_flags, parse_page, prepare, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import run

FLAGS = "-size 64 -view 0.7 -front 24 -hearing 16 -width 128 -load_lips weights/lip2speech.safetensors -keep front"
FLAGS += " -seen --opt adamw -lr 1e-3 -batch_size 16 -cutout 0"
ROWS = {
    "mouth": ("no memory: the mouth alone", "-memory false"),
    "memory": ("visual-audio memory (ICCV 2021)", ""),
    "heads": ("multi-head memory (AAAI 2022)", "-heads 8"),
}


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/memory")
    flags.set_defaults(dataset_dir=Path("store/words.h5"))
    add_number(flags, "steps", 300, "training steps of each", least=1)
    add_number(flags, "seeds", 3, "trainings of each row", least=1)
    add_flag(flags, "flags", default=FLAGS, help=f"lipread.py's, of all rows (default {FLAGS})")
    return parse_page(flags, "reports.memory", argv)


def accuracies(name: str, own: str, runs: Runs) -> tuple[list[dict], str]:
    """A row trained with each seed -> what lipread_test.py says of it, and the command that trains it"""
    args, found = runs.args, []
    shared = [
        "-steps",
        args.steps,
        "-cooldown",
        args.steps * 2 // 5,
        *(
            Path(word) if Path(word).is_file() else word for word in shlex.split(args.flags)
        ),  # newer weights count
        *shlex.split(own),
    ]
    for seed in range(args.seeds):
        folder = runs.out / f"{name}_{seed}"
        places = ["-model_dir", folder, "-sample_dir", folder / "samples"]
        runs(folder.name, "lipread.py", *runs.data, *shared, "-seed", seed, *places, resumes=True)
        options = ["--split", "test", "--checkpoint", folder / "lipread_last.safetensors"]
        found.append(runs.measure(f"{folder.name}_test", "lipread_test.py", *options))
    return found, shlex.join(["python", "lipread.py", *map(str, [*runs.data, *shared])])


def main(args: Namespace) -> None:
    prepare(args)
    runs, lines, found, commands = Runs(args), [], [], []
    for name, (what, own) in ROWS.items():
        metrics, command = accuracies(name, own, runs)
        shares = np.array([one["accuracy"] for one in metrics])
        spread = float(shares.std(ddof=1)) if len(shares) > 1 else float("nan")
        line = {"row": what, "flags of its own": f"`{own}`" if own else "-", "accuracy": float(shares.mean())}
        line |= {"spread": f"{spread:.3f}", "of each seed": ", ".join(f"{share:.3f}" for share in shares)}
        lines.append(line)
        found += metrics
        commands.append(command)
    note = f"Each by `{commands[1]}`, flags of its own, and -seed 0 to {args.seeds - 1}; spread: over these."
    table = Table("The memory, without it, and with many heads: equal steps", lines, found, note)
    write_page(args, "memory", "What the lip reader's memory earns", [table, legend([table])])


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
