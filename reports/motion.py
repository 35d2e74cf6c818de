"""Trains speech to head motion without one person at a time, measures each on that person, and writes docs/motion.md.

    python -m reports.motion --dataset_dir store/wild.h5 -people people.txt
    make motion WILD=store/wild.h5 PEOPLE=people.txt                          # the same

The store needs its poses (`python -m preprocess.pose STORE`). people.txt names speakers that are one person, a line a
person. To go on after a stop, run the same command again: what has been trained and measured is kept. -flow_flags and
-original_flags are what all trainings of a network share; write them with an equals sign.
"""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from data.heads.motion import people_of, read_people
from data.store import ClipStore
from evaluation.motion.page import markdown
from reports.pages import page_flags, parse_page, picture, prepare, provenance, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import run

FLOW = "-width 48 -rounds 1 -steps 600 -cooldown 300 -dropout 0.2 -deaf 0.3 -ema 0.99"
ORIGINAL = "-width 32 -past 32 -steps 60 -cooldown 30 -batch_size 8 -lr 1e-3 -ema 0.9"
KINDS = dict(
    flow="the generative one, which hears loudness", original="the original's, which hears raw speech"
)
SAID = """Motion of free speech by people that the network has not seen: for each person it is trained on the others. Of
each clip chance makes {seeds} motions, streamed as the demo does; a clip begins at rest, as a photo does. A head that
stands still, another person's true motion beside the same sound, and chance without ears are what to compare with."""
PICTURES = {
    "spectra": "Power of head motion by frequency, geometric mean over clips",
    "tracks": "Angles of one clip's heads: two seeds of what chance makes, and the true one; below, the loudness",
}


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/motion")
    flags.set_defaults(dataset_dir=Path("store/wild.h5"))
    add_flag(flags, "poses", type=Path, metavar="FILE", help="the store's poses (default: STORE_pose.h5)")
    add_flag(flags, "people", type=Path, metavar="FILE", help="speakers that are one person, a line a person")
    add_flag(flags, "flow_flags", default=FLOW, help=f"headmotion.py's for the flow (default {FLOW})")
    add_flag(
        flags, "original_flags", default=ORIGINAL, help=f"for the original's network (default {ORIGINAL})"
    )
    add_number(flags, "seeds", 8, "motions that chance makes of each clip", least=1)
    return parse_page(flags, "reports.motion", argv)


def train(kind: str, runs: Runs, people: Sequence[str]) -> list[Path]:
    """Trains a network without each of the people in turn -> its weights"""
    args, weights = runs.args, []
    for person in people:
        folder = runs.out / f"{kind}_without_{person}"
        options = ["-network", kind, "-leave_out", person, "-o", folder, "-num_thread", 0, *shared(args)]
        # Nothing chooses among steps: the last weights are measured.
        options += ["--dataset_dir", args.dataset_dir, *shlex.split(getattr(args, f"{kind}_flags"))]
        runs(folder.name, "headmotion.py", *options, resumes=True)
        weights.append(folder / "headmotion.safetensors")
    return weights


def shared(args: Namespace) -> list[object]:
    pairs = (("-people", args.people), ("-poses", args.poses))
    return [one for flag, value in pairs if value is not None for one in (flag, value)]


def with_nan(value: object) -> object:
    """What JSON made null of is nan again."""
    if isinstance(value, dict):
        return {name: with_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_nan(one) for one in value]
    return math.nan if value is None else value


def main(args: Namespace) -> None:
    prepare(args, *(path for path in (args.people, args.poses) if path is not None))
    runs = Runs(args)
    people = people_of(ClipStore(args.dataset_dir).ids, read_people(args.people))
    weights = [path for kind in KINDS for path in train(kind, runs, [*people])]
    options = ["-m", *weights, "--split", "all", "-seeds", args.seeds, "-pictures", 1, *shared(args)]
    metrics = runs.measure("measured", "headmotion_test.py", *options)
    folder = runs.out / "measured"
    parts: list[object] = [
        SAID.format(seeds=args.seeds).replace("\n", " "),
        markdown(with_nan(metrics["rows"])),
    ]
    for name, what in PICTURES.items():
        shutil.copyfile(next(folder.glob(f"{name}*.png")), args.assets / f"motion_{name}.png")
        parts.append(picture(f"motion_{name}.png", what))
    count = f"{metrics['people']} people, {metrics['frames'] / 25:.0f} s."
    commands = " ".join(
        f"{what}: `-network {kind} {getattr(args, f'{kind}_flags')}`." for kind, what in KINDS.items()
    )
    metrics = metrics | dict(command=args.command)
    parts.append(provenance([metrics], f"{count} Trained by headmotion.py, {commands}"))
    write_page(args, "motion", "Head motion that goes with speech", parts)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
