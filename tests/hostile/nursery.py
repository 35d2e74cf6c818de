"""Runs of a script in processes of their own, which tests may kill, without the seconds that each takes to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys
from importlib import import_module
import torch
from utils.errors import run
torch.set_num_threads(1)
module = import_module(sys.argv[1])
work = getattr(module, "main", None) or (lambda args: module.launch(module.train, args))
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(log, 1), os.dup2(log, 2)
            status = run(work, lambda: module.parse_args(json.loads(line)))
        finally:
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """`with Nursery("atnet", log) as nursery:` imports a script once; each run is then a copy of that process."""

    def __init__(self, module: str, log: Path) -> None:
        self.module, self.log, self.child = module, log, 0

    def __enter__(self) -> Nursery:
        command = [sys.executable, "-c", SCRIPT, self.module, str(self.log)]
        environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def start(self, words: Sequence[object]) -> None:
        self.process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self.process.stdin.flush()
        self.child = int(self.process.stdout.readline())

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it may just have ended
            os.kill(self.child, signal.SIGKILL)

    def status(self) -> int:
        """Waits for the end of the run"""
        return int(self.process.stdout.readline())
