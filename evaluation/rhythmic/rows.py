"""The rows of rhythmic_test.py's table: ways to make a task's frames, without a network and with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import nn

from evaluation.rhythmic.tasks import Task
from models import RhythmicNet
from models.head3d.head import Head
from models.rhythmic.person import Person, joined, nearest
from utils.media.images import to_uint8

REPEATED, MOVED, WARPED = "reference repeated", "3-D head alone", "landmark warp alone"
BOTH = "3-D head and landmark warp"
FULL, NO_ANI = "full", "without ani"
TUNED, TRUTH = "full, fine-tuned", "ground truth"
CHUNK = 16  # frames at a time
Frames = np.ndarray  # (N, H, H, 3) uint8


def without_network(task: Task) -> dict[str, Frames]:
    """The rows that need none; each frame from the reference whose pose is the nearest, the first row from the key"""
    heads, key = task.heads(), task.key_head
    chosen = nearest(joined([head.rest for head in heads]), task.pose)
    made: dict[str, list[Frames]] = {name: [] for name in (MOVED, WARPED, BOTH)}
    for part in stretches(chosen):
        head, (landmarks, pose) = heads[chosen[part.start]], (task.landmarks[part], task.pose[part])
        made[MOVED].append(to_uint8(head.pictures(pose)))
        made[WARPED].append(to_uint8(head.reshaped(landmarks)))
        made[BOTH].append(to_uint8(head.reshaped(landmarks, pose)))
    return {REPEATED: repeated(key, task)} | {name: np.concatenate(parts) for name, parts in made.items()}


def repeated(head: Head, task: Task) -> Frames:
    picture = to_uint8(head.image[None])
    return np.broadcast_to(picture, (len(task.pose), *picture.shape[1:]))


def stretches(chosen: np.ndarray) -> Iterator[slice]:
    """chosen (T,) -> slices of at most CHUNK frames within which it is the same"""
    start = 0
    for end in range(1, len(chosen) + 1):
        if end == len(chosen) or chosen[end] != chosen[start] or end - start == CHUNK:
            yield slice(start, end)
            start = end


def with_network(network: RhythmicNet, task: Task) -> Frames:
    """The frames as a network draws them: the nearest reference is turned, or the key where that is another one"""
    person = Person(network, task.heads())
    if task.key != task.references[0]:
        person.key = task.key_head
    parts = [slice(start, start + CHUNK) for start in range(0, len(task.pose), CHUNK)]
    return np.concatenate(
        [to_uint8(person.draw(task.landmarks[part], task.pose[part]).frames) for part in parts]
    )


def composition_of(network: RhythmicNet) -> str:
    """How it puts pictures and what it paints together, as a row's name"""
    return "non-linear composition" if network.config["spade_combine"] else "linear composition"


def network_rows(networks: Mapping[str, RhythmicNet], task: Task) -> dict[str, Frames]:
    return {name: with_network(network, task) for name, network in networks.items()}


def drop_ani(network: RhythmicNet) -> RhythmicNet:
    """The same weights (a copy), which leave the moved head out"""
    from copy import deepcopy

    copied: nn.Module = deepcopy(network)
    copied.flow_ani = copied.see_ani = None
    copied.config = copied.config | dict(warp_ani=False)
    return copied
