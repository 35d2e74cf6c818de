"""Pages of docs/: tables and pictures in Markdown, each with a line that says how it was obtained."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.definitions import FIGURES
from evaluation.output import cell, pipes
from utils.cli import add_flag, parser
from utils.errors import UserError
from utils.files import writable_folder, write_text


@dataclass
class Table:
    """Its title, its lines {column: value}, the metrics.json of the runs that they come from, and more to say."""

    title: str
    lines: list[dict]
    runs: list[dict]
    note: str = ""

    def __str__(self) -> str:
        columns = {name: FIGURES.get(name, (name,)) for name in self.lines[0]}
        rows = [
            [
                cell(value, *columns[name][1:2]) if name in FIGURES else str(value)
                for name, value in line.items()
            ]
            for line in self.lines
        ]
        table = pipes([heading for heading, *_ in columns.values()], rows)
        return f"## {self.title}\n\n{table}\n\n{provenance(self.runs, self.note)}"


def provenance(runs: Sequence[dict], note: str = "") -> str:
    """One line: more to say, data, clips, machine, and the commands that printed the figures"""
    counts = dict.fromkeys(f"{one['split']} ({one['clips']} clips)" for one in runs)
    machine = runs[0]["machine"]
    facts = [f"{runs[0]['dataset'].upper()}, {' and '.join(counts)}"]
    facts += [machine["gpu"] or f"{machine['cores']} {machine['processor']} CPU cores"]
    facts += [f"PyTorch {runs[0]['versions']['torch']}"]
    commands = [f"`{command}`" for command in dict.fromkeys(one["command"] for one in runs)]
    commands[2:] = ["and so on for the other rows"] * bool(commands[2:])
    return f"<sub>{f'{note} ' if note else ''}{'; '.join([*facts, *commands])}.</sub>"


def legend(tables: Sequence[Table]) -> str:
    """What each figure of the tables is, as a list"""
    names = {name for table in tables for name in table.lines[0]}
    found = [f"- {one.heading}: {one.definition}." for name, one in FIGURES.items() if name in names]
    return "\n".join(["## Definitions", "", *found])


def picture(file: str, what: str, caption: str = "") -> str:
    return f"![{what}](../assets/{file})\n\n<sub>{caption or what + '.'}</sub>"


def page_flags(description: str | None, out: str) -> ArgumentParser:
    """A parser with -dataset_dir, -splits, -o and -docs"""
    flags = parser(description)
    add_flag(flags, "dataset_dir", type=Path, default=Path("store/grid.h5"), help="clip store")
    add_flag(flags, "splits", type=Path, help="folder of test.txt, unseen.txt, ... with clip ids")
    add_flag(flags, "o", type=Path, default=Path(out), help=f"what the scripts write stays here ({out})")
    add_flag(flags, "docs", type=Path, help="where the page goes, its pictures into ../assets (default docs)")
    return flags


def parse_page(flags: ArgumentParser, module: str, argv: list[str] | None) -> Namespace:
    """The arguments, with the command itself as `command`, and where pictures go as `assets`"""
    args = flags.parse_args(argv)
    args.command = shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
    args.docs = args.docs or (args.o / "docs" if getattr(args, "only", None) else Path("docs"))
    args.assets = args.docs.parent / "assets"
    return args


def prepare(args: Namespace, *inputs: Path) -> None:
    """Makes the folders. Raises UserError where one cannot be written, and for the first input that is not there."""
    for path in (args.dataset_dir, *inputs):
        if not path.exists():
            raise UserError(f"{path}: does not exist; see the README on stores and weights")
    for folder in (args.o, args.docs, args.assets):
        writable_folder(folder)


def write_page(args: Namespace, name: str, title: str, parts: Sequence[object]) -> None:
    """Writes the page NAME.md: which command made it, a title, and its parts"""
    made = f"*Made by `{args.command}`; run it again rather than edit this page. What it says: [reading](reading.md).*"
    write_text(args.docs / f"{name}.md", "\n\n".join([made, f"# {title}", *map(str, parts)]) + "\n")
    print(f"\n{args.docs / name}.md: written")
