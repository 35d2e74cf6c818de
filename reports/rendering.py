"""Measures the shipped renderer of rhythmic head motion beside what needs no network, and writes docs/rendering.md.

    python -m reports.rendering --dataset_dir WILD.h5 -people people.txt -known GRID.h5 --splits DIR
    make rendering WILD=WILD.h5 PEOPLE=people.txt KNOWN=GRID.h5 SPLITS=DIR      # the same

Both stores are of --crop static and have their poses. The first is of strangers, whose heads move: every clip is
measured, from one reference and from eight. The second is GRID's, of whose people in the split `unseen` the page also
shows pictures. people.txt names speakers that are one person, a line a person. To go on after a stop, run the same
command again: what has been measured is kept.
"""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from evaluation.output import pipes
from reports.pages import page_flags, parse_page, picture, prepare, provenance, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import run

SHOTS = "1,8"
SAID = """Heads are made again in other poses: of each clip the most frontal frame of the first quarter, or eight
frames of it, are the references; the rest is made again from its true landmarks and poses and compared with the truth.
The network learnt from GRID's people, whose heads stand still and were turned by the head in three dimensions;
strangers it has never seen. In brackets 95 % intervals, by bootstrap over people."""


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/rendering")
    flags.set_defaults(dataset_dir=Path("store/wild_static.h5"))
    add_flag(flags, "people", type=Path, metavar="FILE", help="speakers that are one person, a line a person")
    add_flag(flags, "known", type=Path, metavar="STORE.h5", help="GRID's, for its unseen people and pictures")
    add_flag(flags, "model", type=Path, default=Path("weights/rhythmic.safetensors"), help="the renderer")
    add_flag(flags, "composition", type=Path, metavar="FILE", help="weights of the other composition")
    add_flag(flags, "without_ani", type=Path, metavar="FILE", help="weights trained without the moved head")
    add_number(flags, "frames", 24, "of each clip, from its middle", least=2)
    add_number(flags, "tuned", 6, "clips on which fine-tuning is measured, a minute each", least=0)
    return parse_page(flags, "reports.rendering", argv)


def measured(runs: Runs, name: str, args: Namespace, store: Path, *options: object) -> dict:
    """metrics.json of a run of rhythmic_test.py"""
    flags = ["-model_name", args.model, "--dataset_dir", store, "-frames", args.frames, *options]
    folder = runs(name, "rhythmic_test.py", *flags, "-sample_dir", runs.out / name)
    return json.loads((folder / "metrics.json").read_text())


def section(title: str, folder: Path, metrics: dict, note: str = "") -> str:
    """The tables that rhythmic_test.py wrote, without its explanations, which stand at the end"""
    lines = (folder / "rhythmic.md").read_text().splitlines()
    tables, heading = [], ""
    for line in lines:
        if ", K = " in line and not line.startswith("|"):
            heading = f"K = {line.split(', K = ')[1]}"
        elif line.startswith("|"):
            if not tables or tables[-1][0] != heading:
                tables.append((heading, []))
            tables[-1][1].append(line)
    parts = [f"{heading}\n\n" + "\n".join(rows) for heading, rows in tables]
    return "\n\n".join([f"## {title}", *parts, provenance([metrics], note)])


def definitions(metrics: dict) -> str:
    rows = [[name, what] for name, what in metrics["definitions"].items()]
    return "## Definitions\n\n" + pipes(["figure", "what it is"], rows)


def main(args: Namespace) -> None:
    given = (args.model, args.known, args.people, args.composition, args.without_ani)
    prepare(args, *(path for path in given if path is not None))
    runs = Runs(args)
    people = ["-people", args.people] if args.people else []
    others = [
        flag
        for name in ("composition", "without_ani")
        if getattr(args, name)
        for flag in (f"-{name}", getattr(args, name))
    ]
    wild = measured(
        runs, "strangers", args, args.dataset_dir, "--split", "all", "--n_shot", SHOTS, *people, *others
    )
    parts = [SAID, section("Strangers", args.o / "strangers", wild)]
    if args.tuned:
        flags = ["--split", "all", "--n_shot", 1, "--clips", args.tuned, "--finetune", *people]
        tuned = measured(runs, "tuned", args, args.dataset_dir, *flags)
        note = (
            "Trained on for a minute on the first quarter of the clip itself, of which there are few frames."
        )
        parts.append(section("Fine-tuned on a person", args.o / "tuned", tuned, note))
    if args.known:
        splits = ["--splits", args.splits] if args.splits else []
        flags = ["--split", "unseen", "--n_shot", SHOTS, *splits, *others]
        known = measured(runs, "unseen", args, args.known, *flags)
        parts.append(section("Unseen people of GRID", args.o / "unseen", known, "Their heads hardly move."))
        shown = sorted((args.o / "unseen/K1").glob("*/rows.png"))[:1]
        for file in shown:
            shutil.copyfile(file, args.assets / "rendering.png")
            caption = (
                "GRID (CC BY 4.0), a person whom no training saw: the rows of the table, from one reference."
            )
            parts.append(picture("rendering.png", "Rows of the table, as pictures", caption))
    write_page(args, "rendering", "Heads drawn in other poses", [*parts, definitions(wild)])


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
