"""What both training loops need: precision, schedule, moving average, state on disk, a clean stop."""

from __future__ import annotations

import copy
import inspect
import json
import math
import os
import signal
import time
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.checkpoint import load_model, save_model
from utils.cli import add_device_flags, add_flag, add_number, add_switch
from utils.distributed import any_process, is_main, rank
from utils.errors import Terminated, UserError, reason
from utils.files import replacing, writable_folder

STATE_FORMAT = "talking-face training state"


def add_training_flags(parser: ArgumentParser, steps: int, batch_size: int, frames: int, lr: float) -> None:
    """Flags that atnet.py and vgnet.py share; the numbers are the script's defaults."""
    add_device_flags(parser)
    add_flag(
        parser, "dataset", choices=("grid", "lrw"), default="grid", help="whose splits to use (default grid)"
    )
    add_flag(
        parser, "dataset_dir", type=Path, default=Path("store/grid.h5"), help="clip store, a file or a folder"
    )
    add_flag(parser, "splits", type=Path, help="folder with train.txt and val.txt, one clip id a line")
    add_flag(parser, "load_model", type=Path, help="weights to start from, instead of random ones")
    add_loop_flags(parser, steps, batch_size, frames, lr, paper="frames 16, rate 2e-4")
    add_switch(parser, "augment", True, "change voices, faces and light (default true)")


def add_loop_flags(
    parser: ArgumentParser, steps: int, batch_size: int, frames: int, lr: float, paper: str
) -> None:
    """Flags of every training loop; paper: what the paper set, for the help"""
    number = partial(add_number, parser)
    number("steps", steps, "training steps in all")
    number("batch_size", batch_size, "clips a step and process")
    number("frames", frames, f"frames a clip; the paper: {paper}")
    number("lr", lr, f"Adam's learning rate; the paper: {paper}")
    number("beta1", 0.5, "Adam's first beta, the paper's")
    number("beta2", 0.999, "Adam's second beta, the paper's")
    number("cooldown", 0, "last steps, over which the rate falls to zero")
    number("clip", 5.0, "largest gradient norm, 0 for any")
    number("ema", 0.0, "decay of the weights' moving average, 0 for none")
    number("seed", 0, "of weights, data order and augmentation")
    number("speaker_power", 0.5, "1: clips are drawn alike; 0: speakers are")
    number("num_thread", max(1, min(4, (os.cpu_count() or 2) - 1)), "processes that prepare batches")
    number("save_every", 500, "steps between checkpoints, validations and pictures")
    add_flag(
        parser,
        "precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="auto: bf16 where it is fast",
    )
    add_switch(parser, "compile", False, "torch.compile the networks (default false)")


def check_training(args: Namespace) -> None:
    """Raises UserError for a number that makes no sense, or a folder that cannot be written."""
    least = dict(
        steps=1, batch_size=1, frames=2, save_every=1, num_thread=0, seed=0, lr=0, cooldown=0, clip=0
    )
    least |= dict(filters=1, components=1, feature_weight=0, scheduled_sampling=0, patience=0)
    least |= dict(width=2, blocks=0, hidden=1, layers=1, dropout=0, ema=0, beta1=0, beta2=0)
    least |= dict(discriminator_width=1, adversarial_start=0, beta=0, speaker_power=0)
    least |= {name: 0 for name in vars(args) if name.endswith("_weight")}
    below_one = ("dropout", "ema", "beta1", "beta2")
    for name, smallest in least.items():
        value = getattr(args, name, None)
        if value is None:  # a flag of the other script, or one with a default of its own
            continue
        if not value >= smallest or (name in below_one and value >= 1):
            limit = f"from {smallest} to below 1" if name in below_one else f"of at least {smallest}"
            raise UserError(f"-{name} {value}: give a number {limit}")
    if is_main():
        writable_folder(args.model_dir)
        writable_folder(args.sample_dir)


def start_from(model: nn.Module, path: Path | None) -> None:
    """Copies the weights of the file into the network. Raises UserError where they are another network's."""
    if path is not None:
        take_weights(model, load_model(path, expect=type(model)), path)


def take_weights(model: nn.Module, loaded: nn.Module, path: Path) -> None:
    """Copies those of the loaded network. Raises UserError, which names its file, where it is another one."""
    if loaded.config != model.config:
        changed = [f"{key} {value}" for key, value in loaded.config.items() if value != model.config[key]]
        raise UserError(f"{path}: its network has {', '.join(changed)}; give the same flags to start from it")
    model.load_state_dict(loaded.state_dict())


def run_settings(model: nn.Module, args: Namespace, processes: int) -> dict:
    """What must stay the same for a run to go on where it stopped."""
    names = ("dataset", "seed", "batch_size", "frames", "augment")
    settings = {name: getattr(args, name) for name in names if name in args}
    return dict(config=model.config, processes=processes, ema=bool(args.ema)) | settings


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; "auto" answers yes only where the hardware multiplies it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    tests = (getattr(torch.cpu, f"_is_{feature}_supported", bool) for feature in ("amx_tile", "avx512_bf16"))
    return any(test() for test in tests)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in bfloat16 where `use_bf16` says so."""
    # Its cache of cast weights would outlive a change of requires_grad between two networks' turns.
    return torch.autocast(device.type, torch.bfloat16, use_bf16(precision, device), cache_enabled=False)


def learning_rate(step: int, args: Namespace) -> float:
    """Constant, then linear to zero over the last `cooldown` steps."""
    left = args.steps - step
    return args.lr * min(1.0, left / args.cooldown) if args.cooldown else args.lr


def update(optimiser: torch.optim.Optimizer, loss: Tensor, step: int, args: Namespace) -> None:
    """One step down the gradient of `loss`, at the schedule's rate, with the norm clipped."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    group = optimiser.param_groups[0]
    if args.clip:
        nn.utils.clip_grad_norm_(group["params"], args.clip)
    group["lr"] = learning_rate(step, args)
    optimiser.step()


class MovingAverage:
    """An exponential moving average of a network's weights and a copy of its buffers."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Early on the average forgets faster, so that it is not held back by the first random weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 - decay)
            else:
                self.weights[name].copy_(tensor)


def export(
    model: nn.Module, average: MovingAverage | None, args: Namespace, step: int, **notes: object
) -> nn.Module:
    """Writes the weights, or their moving average, for testing and the demo; -> that network, in eval mode.

    notes: what else the weights should say of their training
    """
    exported = averaged(model, average)
    save_model(args.model_dir / f"{args.model_name}.safetensors", exported, export_notes(args, step) | notes)
    return exported


def averaged(model: nn.Module, average: MovingAverage | None) -> nn.Module:
    """A copy in eval mode, with the moving average of the weights where there is one"""
    copied = copy.deepcopy(model)
    if average:
        copied.load_state_dict(average.weights)
    return copied.eval()


def export_notes(args: Namespace, step: int) -> dict:
    """What weights say of the run that made them"""
    names = ("dataset", "frames", "batch_size", "seed")
    return dict(steps=step) | {name: getattr(args, name) for name in names if name in args}


def seed_step(seed: int, step: int) -> None:
    """Dropout is a function of (seed, step, process), so that a resumed run repeats the uninterrupted one."""
    torch.manual_seed(((seed * 1_000_003 + step) * 1009 + rank()) % 2**63)


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


class Stop:
    """Turns Ctrl-C (or SIGTERM) into a request that the loop reads between two steps; the next one ends the process.

    What follows within a second is the same request: a terminal and a launcher may both hand it on. Under torchrun,
    which hands on whatever it gets, and kills by itself what has not ended after 30 seconds, only the first one counts
    until the loop has saved and ended.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.asked = device, False
        self.first, self.kind = math.inf, KeyboardInterrupt  # when the first signal came, and what it means
        self.torchrun = "TORCHELASTIC_RUN_ID" in os.environ

    def __enter__(self) -> Stop:
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        kind = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if not self.asked:
            self.asked, self.first, self.kind = True, time.monotonic(), kind
        elif not self.torchrun and time.monotonic() - self.first > 1:
            raise kind

    def requested(self) -> bool:
        return any_process(self.asked, self.device)

    def end(self, done: int) -> None:
        """After the loop has saved `done` steps: raises what the signal stands for, if one came."""
        if self.asked:
            raise self.kind(f"saved at step {done}; run the same command again to go on")


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
