"""Runs the root's scripts, each in a process and a folder of its own; what the same command made before is kept."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from evaluation.output import write_json
from utils.errors import UserError

ROOT = Path(__file__).parent.parent


class Runs:
    """Commands in folders of args.o"""

    def __init__(self, args: Namespace) -> None:
        self.args, self.out = args, args.o
        self.data = ["--dataset_dir", args.dataset_dir, *(["--splits", args.splits] if args.splits else [])]

    def __call__(self, name: str, script: str, *options: object, resumes: bool = False) -> Path:
        """-> OUT/name, where `python SCRIPT OPTIONS` has done its work, now or before. Raises UserError if it fails.

        script: a file of the root's, or a module such as preprocess.grid.

        It is run again where the command has changed, or a file or folder among the options (given as a Path) is newer;
        in an emptied folder, unless the script `resumes`: such a folder is refused, as it may have cost days.
        """
        folder, record = self.out / name, self.out / name / "run.json"
        inputs = [one for one in options if isinstance(one, Path) and folder not in (one, *one.parents)]
        called = [script] if script.endswith(".py") else ["-m", script]
        now = {"command": shlex.join(["python", *called, *map(str, options)])}
        now["inputs"] = max(map(newest, inputs), default=0.0)
        before = json.loads(record.read_text()) if record.exists() else None
        same = before and before["command"] == now["command"] and before["inputs"] >= now["inputs"]
        if same and before["finished"]:
            return folder
        if before and resumes and not same:
            raise UserError(f"{folder}: by another command or older data; choose another -o, or delete it")
        if before and not resumes:
            shutil.rmtree(folder)
        write_json(record, now | {"finished": False})
        print(f"\n{now['command']}", flush=True)
        place = [str(ROOT / script)] if script.endswith(".py") else called
        status = finish([sys.executable, *place, *map(str, options)])
        if status:
            raise UserError(f"{script} ended with status {status}; its message is above")
        write_json(record, now | {"finished": True})
        return folder

    def measure(self, name: str, script: str, *options: object) -> dict:
        """What a test script writes as metrics.json, of the clips in args.dataset_dir and args.splits"""
        folder = self(name, script, *options, *self.data, "-sample_dir", self.out / name)
        return json.loads((folder / "metrics.json").read_text())


def newest(path: Path) -> float:
    """When a file, or a folder's newest, was written; infinity for none"""
    files = [*path.rglob("*")] if path.is_dir() else [path]
    return max((one.stat().st_mtime if one.exists() else math.inf for one in files), default=math.inf)


def finish(command: list[str]) -> int:
    """Runs a command to its end; -> its exit status. Stopped, it waits for what the command saves when it is."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
