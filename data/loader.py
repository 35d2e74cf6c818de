"""Batches whose order is a function of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from data.store import ClipStore, group_of
from utils.distributed import rank, world_size
from utils.errors import UserError


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


def step_loader(dataset: Dataset, first: int, last: int, batch_size: int, workers: int) -> DataLoader:
    """This process's batches, one a training step, from step `first` up to step `last`."""
    sampler = StepSampler(first, last, batch_size, rank(), world_size())
    # A generator of its own: the loader must not draw from the numbers that dropout uses.
    options = dict(num_workers=workers, generator=torch.Generator(), pin_memory=torch.cuda.is_available())
    return DataLoader(dataset, batch_sampler=sampler, **options)


def default_workers() -> int:
    """How many processes should prepare batches: one less than this process's share of the machine's cores"""
    share = (os.cpu_count() or 2) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(8, share - 1))
