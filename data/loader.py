"""Batches whose order is a function of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator, Sequence
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.store import ClipStore, group_of
from utils.distributed import rank, world_size
from utils.errors import UserError, leave_signals_to_the_main, signals_wait
from utils.memory import return_freed_memory

MOST_WORKERS = 8


class Sampling:
    """Draws a clip for sample number n: first a group of clips, then a clip of it.

    A group is a speaker in GRID and a word in LRW; one with c clips is drawn with a weight of c ** power, so that 1
    draws all clips alike and 0 all groups. Clips of fewer than `frames` frames
    are left out. Raises UserError where none remains.
    """

    def __init__(self, store: ClipStore, ids: Sequence[str], frames: int, seed: int, power: float) -> None:
        self.seed = seed
        self.groups: dict[str, list[str]] = {}
        for id in ids:
            if store.lengths[id] >= frames:
                self.groups.setdefault(group_of(id), []).append(id)
        if not self.groups:
            raise UserError(f"{store.path}: no training clip has {frames} frames; give a smaller -frames")
        weights = np.array([len(group) for group in self.groups.values()], float) ** power
        self.weights = weights / weights.sum()

    def draw(self, number: int) -> tuple[str, np.random.Generator]:
        """The clip of sample `number`, and the random numbers for everything else about that sample."""
        random = np.random.default_rng((self.seed, number))
        group = list(self.groups.values())[random.choice(len(self.weights), p=self.weights)]
        return group[random.integers(len(group))], random


class StepSampler:
    """The sample numbers of one process, batch by batch, from step `first` up to step `last`.

    A step's numbers are the same however many processes share them: with two, each takes half of the step's block.
    """

    def __init__(self, first: int, last: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.first, self.last, self.batch_size, self.rank, self.world = first, last, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            start = (step * self.world + self.rank) * self.batch_size
            yield list(range(start, start + self.batch_size))

    def __len__(self) -> int:
        return max(0, self.last - self.first)


def step_loader(
    dataset: Dataset, first: int, last: int, batch_size: int, workers: int | None = None
) -> DataLoader:
    """This process's batches, one a training step, from step `first` up to step `last`

    workers: how many processes prepare them (default: `default_workers`), 0 for this one.
    """
    workers = default_workers() if workers is None else workers
    sampler = StepSampler(first, last, batch_size, rank(), world_size())
    # A generator of its own: the loader must not draw from the numbers that dropout uses.
    options = dict(num_workers=workers, generator=torch.Generator(), pin_memory=torch.cuda.is_available())
    return StepLoader(dataset, batch_sampler=sampler, worker_init_fn=begin_worker, **options)


def default_workers() -> int:
    """How many processes should prepare one training process's batches: its share of the cores, but one, at most 8"""
    allowed = getattr(
        os, "sched_getaffinity", None
    )  # a job's share of a machine, where the system knows of such
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    return max(1, min(MOST_WORKERS, cores // processes - 1))


def begin_worker(_: int) -> None:
    """What a worker does first. It ends when the main process tells it to, or is no more."""
    return_freed_memory()
    leave_signals_to_the_main()


class StepLoader(DataLoader):
    """Kills at exit what workers an exception left: Python would end them by SIGTERM, and wait for them for ever."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        others = active_children()
        with signals_wait():
            batches = super().__iter__()
        workers = set(active_children()).difference(others)
        # Before that SIGTERM; atexit leaves spawned processes out.
        Finalize(None, _kill, (workers,), exitpriority=0)
        return batches


def _kill(workers: Collection[BaseProcess]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # by which PyTorch takes it for an accident
    for worker in workers:
        worker.kill()
