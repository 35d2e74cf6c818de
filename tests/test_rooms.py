"""The rooms of the house: who may import whom, and how large a room grows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_USE = {"utils": set(), "models": {"utils"}, "data": {"utils"}}
MAY_USE |= {
    room: {"utils", "models", "data"} for room in ("training", "evaluation", "animation", "preprocess")
}
MAY_USE["page"] = {"utils", "models", "data", "evaluation", "animation"}
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}
MAY_USE |= {script: set(MAY_USE) - SCRIPTS for script in SCRIPTS}
MAY_USE["reports"] = set(MAY_USE) - SCRIPTS
OURS = {*MAY_USE, "tests"}
MODULES = sorted(
    path.relative_to(ROOT) for name in MAY_USE for path in [ROOT / f"{name}.py", *(ROOT / name).rglob("*.py")]
    if path.is_file()
)  # fmt: skip


def imported(path: Path) -> set[str]:
    """The first names of all that a module imports, at its top or within functions"""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module if not node.level else f"{path.parts[0]}.{node.module}")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_one_way(path):
    room = path.parts[0].removesuffix(".py")
    wrong = (imported(path) & OURS) - MAY_USE[room] - ({room} if len(path.parts) > 1 else set())
    assert not wrong, f"{path} must not import {', '.join(sorted(wrong))}"


def test_all_rooms_are_seen():
    assert {"utils", "models", "reports", "atnet"} <= OURS and len(MODULES) > 60
