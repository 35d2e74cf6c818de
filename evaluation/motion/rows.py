"""The rows of headmotion_test.py's table: networks, and what they are seen beside; each makes a clip's motions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from data.heads.motion import MotionClips, sound_frames
from evaluation.motion import alignment, figures
from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio
from models.headmotion.stream import motion_stream, sound_motion_stream
from utils.audio.loudness import Levels
from utils.face.motion import AXES

STILL, OTHER, TRUTH = "still head", "another person's true motion", "true motion"
CHANCE, FLOW, ORIGINAL = "chance alone (Gaussian process)", "flow on loudness", "original's network"
PIECE = 500  # frames of sound at a time


class Deaf(nn.Module):
    """A network's Gaussian process without its flow: heads' average spectrum, whatever is said"""

    def __init__(self, network: HeadMotion) -> None:
        super().__init__()
        self.network, self.past, self.frames, self.gain = network, network.past, network.frames, 1.0
        self.deviation = network.deviation

    def begin(self, chance: Tensor) -> Tensor:
        return self.network.begin(chance)

    def go_on(self, chance: Tensor, past: Tensor, loudness: Tensor) -> Tensor:
        prior = self.network.prior
        return prior.motion(chance * prior.level.exp(), past)


class Fold(NamedTuple):
    """A network from one file, and the clips that its training left out, as the file says"""

    name: str
    network: HeadMotion | RotateAudio
    left_out: frozenset[str]

    @classmethod
    def of(cls, name: str, network: HeadMotion | RotateAudio) -> Fold:
        return cls(name, network, frozenset(network.metadata.get("left_out", ())))


def chosen(folds: Sequence[Fold], id: str) -> dict[str, nn.Module]:
    """By row, the network that has not seen this clip: that which left it out, else the one that left out nobody"""
    rows: dict[str, nn.Module] = {}
    for fold in sorted(folds, key=lambda fold: id in fold.left_out):  # what left it out comes last, and stays
        row = FLOW if isinstance(fold.network, HeadMotion) else ORIGINAL
        if id in fold.left_out or not fold.left_out:
            rows[row] = fold.network
    return {row: rows[row] for row in (ORIGINAL, FLOW) if row in rows}


def made(network: nn.Module, clips: MotionClips, id: str, seed: int) -> np.ndarray:
    """(T, 6), streamed as the demo does"""
    if isinstance(network, RotateAudio):
        sound, frames = clips.sound(id), clips.lengths[id]
        pieces = (sound_frames(sound, n, min(PIECE, frames - n)) for n in range(0, frames, PIECE))
        return np.concatenate([*sound_motion_stream(network, pieces)])
    return np.concatenate([*motion_stream(network, [clips.loudness(id)], seed)])


@torch.no_grad()
def motions(
    networks: dict[str, nn.Module], clips: MotionClips, id: str, others: Sequence[str], seeds: int
) -> dict[str, list[np.ndarray]]:
    """Each row's motions of a clip. others: clips of other people; seeds: how many of what chance makes

    Without others their row is left out.
    """
    true = clips.motion(id)
    rows = {STILL: [np.zeros_like(true)]}
    if others:
        rows[OTHER] = [clips.motion(other)[: len(true)] for other in others]
    for row, network in networks.items():
        if isinstance(network, HeadMotion):
            rows[CHANCE] = [made(Deaf(network), clips, id, seed) for seed in range(seeds)]
        count = seeds if isinstance(network, HeadMotion) else 1
        rows[row] = [made(network, clips, id, seed) for seed in range(count)]
    return rows | {TRUTH: [true]}


def clip_figures(
    motions: Sequence[np.ndarray], true: np.ndarray, heard: np.ndarray, seeds: bool = True
) -> dict[str, float]:
    """Motions of one clip in one row, true (T, 6), heard (T,) dB -> its figures, means over the motions

    seeds: whether the motions are of seeds, and so have a variety.
    """
    loud = alignment.envelope(Levels.of(heard).place(heard))
    turning = [alignment.turning(motion) for motion in motions]
    found = {}
    for name, of in (("deviation", figures.deviations), ("speed", figures.speeds)):
        values = np.mean([of(motion) for motion in motions], axis=0)
        found |= {f"{name}_{axis}": float(value) for axis, value in zip(AXES, values, strict=True)}
    at_lags = np.array([alignment.correlations(speed, loud) for speed in turning])
    for lag, values in zip(alignment.LAGS, at_lags.T, strict=True):
        found[f"alignment_{lag:+d}"] = mean(values)
    distances = np.array([alignment.peak_distance(speed, loud) for speed in turning])
    found["peak_distance"], found["peak_chance"] = (mean(one) for one in distances.T)
    found["variety"] = figures.variety(motions) if seeds else math.nan
    found["error"] = mean(np.array([figures.error(one, true[: len(one)]) for one in motions]))
    return found


def mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
