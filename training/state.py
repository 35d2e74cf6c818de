"""Everything a run needs to go on, in one file."""

from __future__ import annotations

import inspect
import json
from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from training.export import MovingAverage
from utils.errors import UserError, reason
from utils.files import replacing

STATE_FORMAT = "talking-face training state"


def run_settings(model: nn.Module, args: Namespace, processes: int) -> dict:
    """What must stay the same for a run to go on where it stopped."""
    names = ("dataset", "seed", "batch_size", "frames", "augment")
    settings = {name: getattr(args, name) for name in names if name in args}
    return dict(config=model.config, processes=processes, ema=bool(args.ema)) | settings


class TrainingState:
    """Everything a run needs to go on: step, networks, optimisers, moving average; one file, written whole.

    parts: objects with state_dict() and load_state_dict(). settings: what must be the same when a run resumes.
    """

    def __init__(
        self,
        path: Path,
        parts: dict[str, nn.Module | torch.optim.Optimizer],
        settings: dict,
        average: MovingAverage | None = None,
    ) -> None:
        self.path, self.parts, self.settings, self.average = path, parts, settings, average

    def save(self, step: int) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        if self.average:
            state["average"] = self.average.weights
        header = dict(format=STATE_FORMAT, settings=json.dumps(self.settings), step=step)
        with replacing(self.path) as part:
            torch.save(header | {"state": state}, part)

    def load(self, device: torch.device) -> int:
        """The step to go on from, 0 where there is no such file. Raises UserError for a file of another run."""
        if not self.path.exists():
            return 0
        saved = read_state(self.path)  # on the CPU, where Adam keeps its step counts
        before = with_defaults(json.loads(saved["settings"]), self.parts["model"])
        changed = changes(before, self.settings)
        if changed:
            what = f"other settings ({', '.join(changed)})"
            raise UserError(
                f"{self.path}: belongs to a run with {what}; choose another folder for the results"
            )
        held = [name for name in saved["state"] if name != "average"]
        if set(held) != set(self.parts):
            what = f"{', '.join(held)} -> {', '.join(self.parts)}"
            raise UserError(f"{self.path}: belongs to a run of other parts ({what}); choose another folder")
        for name, part in self.parts.items():
            part.load_state_dict(saved["state"][name])
        if self.average:
            self.average.weights = {name: x.to(device) for name, x in saved["state"]["average"].items()}
        return saved["step"]


def with_defaults(settings: dict, model: nn.Module) -> dict:
    """A saved run's settings; options that its network's configuration did not have yet take their defaults."""
    known = inspect.signature(type(model)).parameters
    defaults = {name: known[name].default for name in model.config if name in known}
    return settings | dict(config=defaults | settings["config"])


def read_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """A training state's dictionary, without running anything that a pickle may hold. Raises UserError."""
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        if saved["format"] != STATE_FORMAT:
            raise ValueError("another kind of file")
    except Exception as error:  # torch.load raises nearly anything for a damaged file
        raise UserError(
            f"{path}: not a whole training state ({reason(error, 100)}); delete it to start over"
        ) from error
    return saved


def changes(before: dict, now: dict) -> list[str]:
    """What is not as it was, each as "name old -> new"; of a dictionary in them only what it changed"""
    said = []
    for key, own in now.items():
        old = before.get(key, own)
        if isinstance(old, dict) and isinstance(own, dict):
            said += changes(old, own)
        elif old != own:
            said.append(f"{key} {old} -> {own}")
    return said


class EarlyStopping:
    """Remembers the best validation and how many have come since; a part of the training state."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since = patience, float("inf"), 0

    def improved(self, error: float) -> bool:
        """Notes one validation -> whether it is the best so far; an error that is no number never is"""
        better = error < self.best
        self.best, self.since = (error, 0) if better else (self.best, self.since + 1)
        return better

    @property
    def exhausted(self) -> bool:
        return 0 < self.patience <= self.since

    def state_dict(self) -> dict[str, float]:
        return dict(best=self.best, since=self.since)

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.since = state["best"], state["since"]
