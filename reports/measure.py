"""Runs the other scripts, each in a process of its own; what the same command measured before is kept."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

from reports.markdown import Line
from utils.errors import UserError

ROOT = Path(__file__).parent.parent


def shorter(path: Path) -> Path:
    """As one would type it here"""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def check_inputs(*paths: Path) -> None:
    """Raises UserError for the first that is not there."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: does not exist; see the README on stores and weights")


class Runner:
    """Runs test scripts on the clips of one store, each once, each into a folder of `out`."""

    def __init__(self, out: Path, dataset_dir: Path, splits: Path | None) -> None:
        self.out, self.dataset_dir = out, dataset_dir
        self.data = ["--dataset_dir", dataset_dir]
        self.lists = ["--splits", splits] if splits else []
        self.split_files = sorted(splits.glob("*.txt")) if splits else []
        self.measured: dict[str, dict] = {}

    def __call__(self, name: str, script: str, *options: object) -> dict:
        """The script's metrics.json, from OUT/name, made now or by an earlier run. Raises UserError where it failed.

        An earlier one counts where its command was the same, and no list of clips is newer, nor the store, nor a file
        among the options, each given as a Path.
        """
        folder = self.out / name
        parts = [script, *options, *self.data, "-sample_dir", folder, *self.lists]
        command = shlex.join(["python", *(str(part) for part in parts)])
        if name not in self.measured:
            inputs = [
                self.dataset_dir,
                *self.split_files,
                *(option for option in options if isinstance(option, Path)),
            ]
            result = folder / "metrics.json"
            self.measured[name] = _kept(result, command, inputs) or _measure(result, command)
        return self.measured[name]


def _kept(result: Path, command: str, inputs: list[Path]) -> dict | None:
    # Where one is missing, the script says so.
    if not all(path.exists() for path in (result, *inputs)):
        return None
    if result.stat().st_mtime < max(path.stat().st_mtime for path in inputs):
        return None
    metrics = json.loads(result.read_text())
    return metrics if metrics["command"] == command else None


def _measure(result: Path, command: str) -> dict:
    execute(command)
    return json.loads(result.read_text())


def execute(command: str) -> None:
    """Shows and runs `python SCRIPT ...`, a script of the root. Raises UserError where it fails."""
    print(f"\n{command}", flush=True)
    _, script, *options = shlex.split(command)
    status = finish([sys.executable, str(ROOT / script), *options])
    if status:
        raise UserError(f"{script} ended with status {status}; its message is above")


def finish(command: list[str]) -> int:
    """Runs a command to its end; -> its exit status. Stopped, it waits for what the command saves when it is."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def line(label: str, metrics: dict, row: str, figures: list[str]) -> Line:
    """One row of a script's results as a line of a table"""
    found = metrics["rows"][row]
    clips = f"{label} ({metrics['clips']} clips)"
    return {"clips": clips, "row": row} | {name: found.get(name) for name in figures}
