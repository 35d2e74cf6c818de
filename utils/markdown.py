"""Tables of the README: Markdown with a caption that says how each number was obtained."""

from __future__ import annotations

from dataclasses import dataclass

from utils.report import FIGURES, cell

Line = dict[str, object]


def marks(name: str) -> tuple[str, str]:
    """The comments of a page between which what `name` writes goes"""
    return f"<!-- {name} begins -->", f"<!-- {name} ends -->"


BEGIN, END = marks("tables.py")


@dataclass
class Table:
    """One table: its name, what it shows, its lines, and the runs of scripts that they come from."""

    name: str
    title: str
    lines: list[Line]
    runs: list[dict]

    def markdown(self) -> str:
        names = list(self.lines[0])
        heads = [FIGURES[name].heading if name in FIGURES else name for name in names]
        rows = [[show(name, line[name]) for name in names] for line in self.lines]
        table = [heads, ["---"] * len(names), *rows]
        return "\n".join(
            [f"**{self.title}**", "", *(f"| {' | '.join(row)} |" for row in table), "", self.caption()]
        )

    def caption(self) -> str:
        """How each number was obtained"""
        machine = self.runs[0]["machine"]
        where = machine["gpu"] or f"{machine['cores']} {machine['processor']} CPU cores"
        commands = list(dict.fromkeys(f"`{one['command']}`" for one in self.runs))
        shown = "; ".join(commands[:2]) + ("; and so on for the other rows" if commands[2:] else "")
        names = [name for name in self.lines[0] if name in FIGURES]
        legend = "; ".join(f"{FIGURES[name].heading}: {FIGURES[name].definition}" for name in names)
        return f"<sub>{legend}. {where}, PyTorch {self.runs[0]['versions']['torch']}; {shown}</sub>"


def insert(page: str, text: str, name: str = "tables.py") -> str:
    """The page with `text` between the marks of `name`, in place of what is there. Raises ValueError without them."""
    begin, end = marks(name)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def show(name: str, value: object) -> str:
    return cell(value, FIGURES[name].decimals) if name in FIGURES else str(value)
