"""Tables of the README: Markdown with a caption that says how each number was obtained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.definitions import FIGURES
from evaluation.output import cell
from utils.errors import UserError
from utils.files import replacing

Line = dict[str, object]


@dataclass
class Table:
    """One table: its name, what it shows, its lines, the runs of scripts that they come from, more for the caption."""

    name: str
    title: str
    lines: list[Line]
    runs: list[dict]
    note: str = ""

    def markdown(self) -> str:
        names = list(self.lines[0])
        heads = [FIGURES[name].heading if name in FIGURES else name for name in names]
        rows = [[show(name, line[name]) for name in names] for line in self.lines]
        names = [name for name in names if name in FIGURES]
        return f"**{self.title}**\n\n{pipes(heads, rows)}\n\n{caption(names, self.runs, self.note)}"


def caption(figures: list[str], runs: list[dict], note: str = "") -> str:
    """How each number was obtained: the definitions of the figures, the machine and the commands of the runs"""
    machine = runs[0]["machine"]
    where = machine["gpu"] or f"{machine['cores']} {machine['processor']} CPU cores"
    commands = list(dict.fromkeys(f"`{one['command']}`" for one in runs))
    shown = "; ".join(commands[:2]) + ("; and so on for the other rows" if commands[2:] else "")
    legend = "; ".join(f"{FIGURES[name].heading}: {FIGURES[name].definition}" for name in figures)
    note = f" {note}" if note else ""
    return f"<sub>{legend}.{note} {where}, PyTorch {runs[0]['versions']['torch']}; {shown}</sub>"


def pipes(heads: list[str], rows: list[list[str]]) -> str:
    """heads (n) and rows of n cells -> lines of a Markdown table"""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def marks(script: str) -> tuple[str, str]:
    """Between which lines of a page the script's part is; a page may have parts of several scripts"""
    return f"<!-- {script} begins -->", f"<!-- {script} ends -->"


def insert(page: str, text: str, script: str) -> str:
    """The page with `text` between the script's marks, in place of what is there.

    Raises ValueError unless the page has each of them once, in order.
    """
    begin, end = marks(script)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def insert_into(path: Path, text: str, script: str) -> None:
    """The same in a file, which is replaced whole. Raises UserError for one without the marks."""
    page = insert(marked_page(path, script), text, script)
    with replacing(path) as part:
        part.write_text(page)


def marked_page(path: Path, script: str) -> str:
    """The text of a page into which the script's part can go. Raises UserError for any other."""
    try:
        page = path.read_text()
        insert(page, "", script)
    except (OSError, ValueError) as error:
        begin, end = marks(script)
        raise UserError(f"{path}: no page with the marks {begin} and {end}, once each") from error
    return page


def show(name: str, value: object) -> str:
    return cell(value, FIGURES[name].decimals) if name in FIGURES else str(value)
