"""Everything a run needs to go on, in one file; the one before it, and the best by validation, beside it."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import warnings
from pathlib import Path

import torch
from torch import nn

from training.export import MovingAverage
from training.state_check import check_archive, check_header, check_parts
from utils.errors import UserError, note, reason
from utils.files import replacing

STATE_FORMAT = "talking-face training state"
LATER = {"scaler", "validation"}  # parts that states had not from the beginning
UNSAID = {"model_dir", "sample_dir", "cuda", "device_ids", "num_thread", "save_minutes"}


class TrainingState:
    """What a run consists of, and the files that hold it.

    PATH is the last state, NAME_previous.pt the one before, NAME_best.pt that of the best validation. parts: objects
    with state_dict() and load_state_dict(). settings: what must be the same when a run resumes. flags: what may change,
    but is said.
    """

    def __init__(
        self,
        path: Path,
        parts: dict[str, object],
        settings: dict,
        flags: dict | None = None,
        average: MovingAverage | None = None,
    ) -> None:
        self.path, self.parts, self.settings, self.flags = path, parts, settings, flags or {}
        self.average, self.whole = average, True  # whole: whether the last state on disk can be trusted

    def beside(self, which: str) -> Path:
        """atnet_state.pt -> atnet_state_previous.pt"""
        return self.path.with_name(f"{self.path.stem}_{which}.pt")

    def save(self, step: int, best: bool = False) -> None:
        """Writes the state, whole or not at all; the last one becomes the previous. best: also keep it as the best."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        if self.average:
            state["average"] = self.average.weights
        header = dict(format=STATE_FORMAT, step=step)
        header |= dict(settings=json.dumps(self.settings), flags=json.dumps(self.flags))
        if self.path.exists() and self.whole:
            _keep(self.path, self.beside("previous"))
        with replacing(self.path) as part:
            try:
                torch.save(header | {"state": state}, part)
            except RuntimeError as error:  # what PyTorch raises on a full disk
                raise UserError(
                    f"{self.path}: cannot be written ({reason(error, 100)}); free some space"
                ) from error
            if best:  # first, or a run killed in between would go on without it
                _keep(part, self.beside("best"))
        self.whole = True

    def take_back(self) -> bool:
        """The last state steps aside, as NAME_diverged.pt, for the one before it; -> False where there is none."""
        if not self.beside("previous").exists():
            return False
        _keep(self.path, self.beside("diverged"))
        os.replace(self.beside("previous"), self.path)
        return True

    def load(self, device: torch.device) -> int:
        """The step to go on from, 0 where there is no state. Raises UserError for one of another run.

        Where the last state is missing or damaged, the previous one stands in, which is said.
        """
        saved, path = self._read()
        if saved is None:
            return 0
        self._check(saved)
        try:
            check_parts(saved["state"], self.parts, self.average.weights if self.average else None)
        except ValueError as error:
            what = f"damaged, or of another run ({reason(error, 160)})"
            raise UserError(f"{path}: {what}; delete it, or choose another folder for the results") from error
        for name, part in self.parts.items():
            if name in saved["state"]:
                part.load_state_dict(saved["state"][name])
        if self.average:
            self.average.weights = {name: x.to(device) for name, x in saved["state"]["average"].items()}
        return saved["step"]

    def _read(self) -> tuple[dict | None, Path]:
        """The last state, or the one before, and its file"""
        previous = self.beside("previous")
        if self.path.exists():
            try:
                return read_state(self.path), self.path  # on the CPU, where Adam keeps its step counts
            except UserError:
                if not previous.exists():
                    raise
        if not previous.exists():
            return None, self.path
        saved, self.whole = read_state(previous), False
        note(f"{self.path}: missing or damaged; going on from {previous.name}, step {saved['step']}")
        return saved, previous

    def _check(self, saved: dict) -> None:
        before = with_defaults(json.loads(saved["settings"]), self.parts["model"])
        changed = changes(before, self.settings)
        if changed:
            what = f"other settings ({', '.join(changed)})"
            raise UserError(
                f"{self.path}: belongs to a run with {what}; choose another folder for the results"
            )
        if "patience" in saved["state"]:  # as it was called before
            saved["state"]["validation"] = saved["state"].pop("patience")
        held = set(saved["state"]) - {"average"}
        if held - LATER != set(self.parts) - LATER:
            what = f"{', '.join(sorted(held))} -> {', '.join(self.parts)}"
            raise UserError(f"{self.path}: belongs to a run of other parts ({what}); choose another folder")
        said = {name: value for name, value in self.flags.items() if name not in {*UNSAID, *self.settings}}
        changed = changes(json.loads(saved.get("flags", "{}")), said)
        if changed:
            note(f"{self.path}: goes on from step {saved['step']} with other flags: {', '.join(changed)}")


def _keep(path: Path, other: Path) -> None:
    """`other` becomes what `path` is, without a second copy where the file system can"""
    with replacing(other) as part:
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)


def with_defaults(settings: dict, model: nn.Module) -> dict:
    """A saved run's settings; options that its network's configuration did not have yet take their defaults."""
    known = inspect.signature(type(model)).parameters
    defaults = {name: known[name].default for name in model.config if name in known}
    return settings | dict(config=defaults | settings["config"])


def read_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """A training state's dictionary, without running anything that a pickle may hold. Raises UserError."""
    try:
        check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles: the error below says it in one line
            saved = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(saved, dict) or saved.get("format") != STATE_FORMAT:
            raise ValueError("another kind of file")
        check_header(saved)
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
            said.append(reason(ValueError(f"{key} {old} -> {own}")))
    return said


class Validation:
    """The best error so far, how many validations have come since, and how often they asked for half the learning rate

    A part of the training state. patience, endurance: after how many validations without a better one to stop, or to
    halve the rate; 0 for never.
    """

    def __init__(self, patience: int = 0, endurance: int = 0) -> None:
        self.patience, self.endurance = patience, endurance
        self.best, self.since, self.halvings = float("inf"), 0, 0

    def improved(self, error: float) -> bool:
        """Notes one validation -> whether it is the best so far; an error that is no number never is"""
        better = error < self.best
        self.best, self.since = (error, 0) if better else (self.best, self.since + 1)
        self.halvings += bool(self.endurance and self.since and self.since % self.endurance == 0)
        return better

    @property
    def exhausted(self) -> bool:
        """Whether `patience` validations have brought nothing; never for a patience of 0"""
        return 0 < self.patience <= self.since

    def state_dict(self) -> dict[str, float]:
        return dict(best=self.best, since=self.since, halvings=self.halvings)

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.since, self.halvings = state["best"], state["since"], state.get("halvings", 0)
