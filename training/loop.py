"""The scaffold of every training loop; losses and updates stay in the scripts.

run = Run(args, device, dict(model=model), store, dict(train=train_ids, val=val_ids))
network = run.parallel(model)
for batch in run.steps(samples):
    with run.autocast():
        predicted = network(batch["audio"])
    run.update("model", loss(predicted, batch["target"]))
    if run.step_done(dict(loss=loss), frames):
        exported = run.averaged()
        run.save(exported, validate(exported), by="mse")
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.loader import step_loader
from data.nrnet_file import SpeechFile
from data.splits import ids_hash
from data.store import ClipStore
from training import precision
from training.export import MovingAverage, averaged, export, plain_flags
from training.log import Log, Progress
from training.optimiser import optimiser, set_rate
from training.state import TrainingState, Validation
from training.stop import Stop
from utils.distributed import highest, is_main, parallel, rank, take_for_all, world_size
from utils.errors import UserError, note
from utils.files import writable_folder
from utils.files.locks import Lock

BAD_STEPS = 25  # in a row, after which a run has diverged
SETTINGS = ("dataset", "seed", "batch_size", "accumulate", "frames", "augment")


class Run:
    """A training run: where it begins, its steps, what it says meanwhile, and what it leaves.

    networks: what is trained, by name; "model" is exported, the others serve it. Each gets an optimiser.
    data: the store that the clips come from (its path, and lengths of all clips); ids: those of each split; facts: what
    else weights say of their training. All of that must be the same when a run resumes, but for the store's place.
    Raises UserError where the folders cannot be written, hold another run's state, or another run is at it right now.
    """

    def __init__(
        self,
        args: Namespace,
        device: torch.device,
        networks: dict[str, nn.Module],
        data: ClipStore | SpeechFile,
        ids: dict[str, Sequence[str]],
        **facts: object,
    ) -> None:
        self.args, self.device, self.networks = args, device, networks
        lengths = {split: [f"{id} {data.lengths[id]}" for id in names] for split, names in ids.items()}
        clips = {f"{split}_clips": f"{len(names)}, {ids_hash(names)}" for split, names in lengths.items()}
        self.facts = dict(data=data.path.name) | clips | facts
        self.model = networks["model"]
        self.optimisers = {name: optimiser(network, args) for name, network in networks.items()}
        self.average = MovingAverage(self.model, args.ema) if args.ema else None
        self.scaler = precision.grad_scaler(args.precision, device)
        fresh = self.scaler.state_dict()
        self.fixed_scale = fresh["scale"] == 1.0
        self.validation = Validation(getattr(args, "patience", 0), getattr(args, "endurance", 0))
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if is_main():
            writable_folder(args.model_dir)
            writable_folder(args.sample_dir)
        self.state = self._state(clips | facts)
        self.lock = take_for_all(Lock(self.state.path, "is being trained"))
        self.first = self.done = self.sound = self.state.load(
            device
        )  # steps; sound: up to the last finite one
        self.halvings = self.validation.halvings
        self.saved = [self.done]  # the steps of all states of this run
        if not self.fixed_scale and self.scaler.get_scale() == 1.0:  # the run was in another precision before
            self.scaler.load_state_dict(fresh)
        self.buffers = Buffers(networks.values())
        self.bad_steps, self.last, self.part = 0, False, 0

    def _state(self, facts: dict) -> TrainingState:
        named = {name: getattr(self.args, name) for name in SETTINGS if name in self.args}
        configs = {name: network.config for name, network in self.networks.items() if name != "model"}
        settings = dict(config=self.model.config, processes=world_size(), ema=bool(self.args.ema))
        optimisers = {
            "optimiser" if name == "model" else f"optimiser_{name}": one
            for name, one in self.optimisers.items()
        }
        parts = self.networks | optimisers | dict(scaler=self.scaler, validation=self.validation)
        path = self.args.model_dir / f"{self.args.model_name}_state.pt"
        return TrainingState(
            path, parts, settings | named | configs | facts, plain_flags(self.args), self.average
        )

    def parallel(self, network: nn.Module, compiled: bool = True) -> nn.Module:
        """The network as the loop calls it: compiled with -compile, its gradients averaged over the processes

        compiled: false for one whose gradient has a gradient, which torch.compile does not give.
        """
        compiled = compiled and self.args.compile
        return parallel(torch.compile(network) if compiled else network, self.device)

    def autocast(self) -> torch.autocast:
        """A context that computes in the type of -precision"""
        return precision.autocast(self.args.precision, self.device)

    def steps(self, samples: Dataset) -> Iterator[dict[str, Tensor]]:
        """The batches, on the device, of all steps that are to be done; -accumulate of them make a step.

        Raises KeyboardInterrupt at the end where a signal asked for it, after the run is saved. The run's files are
        others' from then on.
        """
        with closing(self.lock):
            yield from self._steps(samples)

    def _steps(self, samples: Dataset) -> Iterator[dict[str, Tensor]]:
        args = self.args
        first, last = (step * args.accumulate for step in (self.done, args.steps))
        if self.validation.exhausted or first >= last:
            if is_main():
                over = f"this run is over, at step {self.done}"
                note(f"{self.state.path}: {over}; give more -steps, or another folder")
            return
        loader = step_loader(samples, first, last, args.batch_size, args.num_thread)
        log = Log(args.model_dir / "logs" if is_main() else None)
        self.model.train()
        self.clock = time.monotonic()
        with Stop() as self.stop, Progress(args.steps, self.done, log) as self.bar:
            for number, batch in enumerate(loader, start=first):
                seed_step(args.seed, number)
                self.part, self.bad = number % args.accumulate, torch.zeros((), device=self.device)
                yield {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
                if self.last or self._patience_ends():
                    break
                self._halve()
        self.stop.end(self.done)

    def update(self, name: str, loss: Tensor) -> None:
        """One step of a network down the gradient of `loss`, at the schedule's rate, with the norm clipped

        With -accumulate the gradients of several batches are averaged first. Gradients that are not finite are skipped.
        """
        args, its = self.args, self.optimisers[name]
        if self.part == 0:
            its.zero_grad(set_to_none=True)
        self.scaler.scale(loss / args.accumulate).backward()
        if self.part + 1 < args.accumulate:
            return
        group = its.param_groups[0]
        # Changes nothing, but for a norm that is not finite: then no gradient is, so that the scaler skips the step.
        norm = nn.utils.clip_grad_norm_(group["params"], float("inf"))
        self.bad = torch.maximum(self.bad, (~norm.isfinite()).float())
        self.scaler.unscale_(its)
        if args.clip:
            nn.utils.clip_grad_norm_(group["params"], args.clip)
        set_rate(its, self.done, args, self.halvings, getattr(args, f"{name}_rate", 1.0))
        self.scaler.step(its)

    def step_done(self, losses: dict[str, Tensor], frames: int) -> bool:
        """After the updates of a batch of so many frames: counts it; -> whether to validate and save now

        True in the main process alone. Raises UserError where the losses have long been no numbers.
        """
        self.bar.count(frames * world_size())
        if self.part + 1 < self.args.accumulate:
            return False
        self.scaler.update(1.0 if self.fixed_scale else None)
        bad, asked = highest([self.bad, self.stop.asked], self.device)  # the one wait for a GPU in a step
        self.stop.asked = bool(asked)
        self._heed(bool(bad))
        self.done += 1
        self.last = self.stop.asked or self.done == self.args.steps
        # What a step that was no number left behind is not worth a validation.
        scheduled = not bad and self.done % self.args.validate_every == 0
        self.scheduled = scheduled or self.done == self.args.steps
        self.bar.step(losses, self.done, skipped=bool(bad))
        if not is_main():
            return False
        due = self.last or self.scheduled
        if not due and not bad and self._time_is_up():
            self._save_state()
        return due

    def _time_is_up(self) -> bool:
        return time.monotonic() - self.clock > 60 * self.args.save_minutes

    def _heed(self, bad: bool) -> None:
        """Takes back what a step that was no number left in running statistics, and gives up after many of them"""
        if not bad:
            self.bad_steps, self.sound = 0, self.done + 1
            self.buffers.keep()
            if self.average:
                self.average.update(self.model, self.done)
            return
        self.bad_steps += 1
        self.buffers.restore()
        most = BAD_STEPS
        if self.done + 1 == self.args.steps:
            # One bad last step is nothing; a short run may have had hardly a sound one.
            most = min(5, max(1, self.args.steps - self.first - 1))
        if self.bad_steps >= most:
            self._give_up(f"the gradients of {self.bad_steps} steps in a row are not finite")

    def _give_up(self, what: str) -> NoReturn:
        # What the last finite gradient made of the weights is what no gradient of was finite any more.
        if self.saved[-1] >= self.sound and len(self.saved) > 1 and is_main() and self.state.take_back():
            self.saved.pop()
        kept = f"the state of step {self.saved[-1]} is kept" if self.saved[-1] else "no state is kept"
        where = f"{self.state.path}: diverged after step {self.sound}"
        raise UserError(f"{where}: {what}; {kept}; lower -lr or -clip")

    def _patience_ends(self) -> bool:
        """After a validation: whether it was the last that -patience grants, in all processes"""
        if not (self.part + 1 == self.args.accumulate and self.scheduled and self.validation.patience):
            return False
        return bool(highest([self.validation.exhausted], self.device)[0])

    def _halve(self) -> None:
        """After a validation: all processes learn how often it has asked for half the rate"""
        if self.part + 1 == self.args.accumulate and self.scheduled and self.validation.endurance:
            self.halvings = int(highest([self.validation.halvings], self.device)[0])

    def averaged(self) -> nn.Module:
        """A copy of the model in eval mode, with the moving average of its weights where there is one"""
        return averaged(self.model, self.average)

    def save(self, exported: nn.Module, errors: dict[str, float], by: str = "") -> None:
        """Notes the validation's errors, and writes weights and state.

        NAME.safetensors gets the weights of the best validation, judged by the error named `by`, or else by the sum of
        all, NAME_last.safetensors the last ones; where nothing validates, both are the last.
        """
        if not all(parameter.isfinite().all() for parameter in exported.parameters()):
            self._give_up("weights are not finite")
        if errors:
            self.bar.note(errors)
        # A validation that a signal brought about does not count: an uninterrupted run would not have it.
        judged = bool(errors) and self.scheduled
        best = judged and self.validation.improved(errors[by] if by else sum(errors.values()))
        ends = self.last or self.validation.exhausted
        weights = {
            name: self.args.model_dir / f"{self.args.model_name}{name}.safetensors" for name in ("", "_last")
        }
        chosen = [weights["_last"]] if ends else []
        if best or not errors or (ends and not weights[""].exists()):
            chosen.append(weights[""])
        for path in chosen:
            export(path, exported, self.args, self.done, self.facts | dict(validation=errors))
        if ends or best or not errors or self._time_is_up():
            self._save_state(best)

    def _save_state(self, best: bool = False) -> None:
        self.state.save(self.done, best)
        self.saved.append(self.done)
        self.clock = time.monotonic()

    def picture(self) -> Path:
        """Where a picture of this step goes"""
        return self.args.sample_dir / f"{self.args.model_name}_{self.done:07d}.png"


class Buffers:
    """The running statistics of networks, as they were after the last step that was a number"""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        buffers = [buffer for network in networks for buffer in network.buffers()]
        self.own = [buffer for buffer in buffers if buffer.is_floating_point()]
        self.kept = [buffer.clone() for buffer in self.own]

    @torch.no_grad()
    def keep(self) -> None:
        if self.own:
            torch._foreach_copy_(self.kept, self.own)

    @torch.no_grad()
    def restore(self) -> None:
        if self.own:
            torch._foreach_copy_(self.own, self.kept)


def seed_step(seed: int, step: int) -> None:
    """Dropout is a function of (seed, step, process), so that a resumed run repeats the uninterrupted one."""
    torch.manual_seed(((seed * 1_000_003 + step) * 1009 + rank()) % 2**63)
