"""Head motion as chance has it: rectified flow (Liu et al. 2022; Lipman et al. 2022) over windows of motion.

It hears loudness alone. The flow begins with the Gaussian process of `prior.py`, which already goes on from the past as
smoothly as heads do, and moves its sample to what a head does while this is said: with another sample, another motion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.headmotion.prior import MotionPrior
from utils.audio.loudness import FEATURES

DILATIONS = (1, 2, 4, 8, 16)
WAVES = 16  # of the time of the flow, each as sine and cosine


class Block(nn.Module):
    """A dilated convolution with a gate, told the time of the flow."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.told = nn.Linear(2 * WAVES, 2 * width)
        self.convolution = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, W, T), time (B, 32) -> (B, W, T)"""
        gain, shift = self.told(time).unsqueeze(-1).chunk(2, dim=1)
        hidden = F.layer_norm(x.mT, x.shape[1:2]).mT * (1 + gain) + shift
        return x + self.out(self.dropout(F.glu(self.convolution(hidden), dim=1)))


class HeadMotion(nn.Module):
    """Makes `frames` frames of motion that go on from `past` ones, while loudness is heard.

    width, rounds (through the dilations), dropout: of the network. guidance: how much more than it heard it makes of
    the loudness (classifier-free guidance, Ho and Salimans 2022; 1: no more; 0: it is deaf). emphasis: the same of what
    loudness does to chance. gain: of the motion that is made; the mean over people is livelier than most of them are.
    steps: of the flow.
    """

    def __init__(
        self,
        past: int = 32,
        frames: int = 64,
        width: int = 64,
        rounds: int = 2,
        dropout: float = 0.1,
        guidance: float = 1.0,
        emphasis: float = 1.5,
        gain: float = 0.94,
        steps: int = 8,
    ) -> None:
        super().__init__()
        self.config = dict(past=past, frames=frames, width=width, rounds=rounds, dropout=dropout)
        self.config |= dict(guidance=guidance, emphasis=emphasis, gain=gain, steps=steps)
        self.past, self.frames, self.gain = past, frames, gain
        self.prior = MotionPrior(past, frames)
        self.into = nn.Conv1d(6 + 6 + FEATURES + 2, width, 1)
        self.blocks = nn.ModuleList(Block(width, dilation, dropout) for dilation in DILATIONS * rounds)
        self.out = nn.Conv1d(width, 6, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def deviation(self) -> Tensor:
        """(6,): what motion is divided by to be standard"""
        return self.prior.deviation

    def fit(self, clips: list[Tensor], heard: list[Tensor]) -> None:
        """clips of motion (T, 6) and their loudness (T, 3): the process that the flow begins with"""
        self.prior.fit(clips, heard)

    def begin(self, chance: Tensor) -> Tensor:
        """chance (B, P, 6) white noise -> a standard past (B, P, 6), from which a recording's motion goes on"""
        return self.prior.begin(chance)

    def forward(self, chance: Tensor, time: Tensor, past: Tensor, loudness: Tensor, heard: Tensor) -> Tensor:
        """The flow's velocity (B, F, 6), of the white noise that stands for motion (`MotionPrior.chance`)

        chance (B, F, 6), time (B,) from 0 to 1, past (B, P, 6) standard, loudness (B, P + F, 3) of
        `utils.audio.loudness.features`, heard (B,): 1 where the network may hear it, else 0.
        """
        motion = torch.cat([past, self.prior.motion(chance, past)], dim=1)  # (B, P + F, 6)
        noise = F.pad(chance, (0, 0, self.past, 0))
        known = torch.zeros_like(motion[..., :1])
        known[:, : self.past] = 1
        listening = heard[:, None, None].expand_as(known)
        x = self.into(torch.cat([motion, noise, loudness * listening, listening, known], dim=-1).mT)
        told = waves(time)
        for block in self.blocks:
            x = block(x, told)
        return self.out(x)[..., self.past :].mT

    @torch.no_grad()
    def go_on(self, chance: Tensor, past: Tensor, loudness: Tensor, guidance: float | None = None) -> Tensor:
        """chance (B, F, 6) white noise, past (B, P, 6) standard, loudness (B, P + F, 3) -> standard motion (B, F, 6)"""
        guidance = self.config["guidance"] if guidance is None else guidance
        chance = chance * self.prior.sizes(loudness, self.config["emphasis"])
        step = 1 / self.config["steps"]
        for number in range(self.config["steps"]):  # the midpoint method: first order loses what is fast
            halfway = chance + step / 2 * self.guided(chance, number * step, past, loudness, guidance)
            chance = chance + step * self.guided(halfway, (number + 0.5) * step, past, loudness, guidance)
        return self.prior.motion(chance, past)

    def guided(self, chance: Tensor, time: float, past: Tensor, loudness: Tensor, guidance: float) -> Tensor:
        """The velocity at a time, of as much hearing as `guidance` says"""
        times = chance.new_full((len(chance),), time)
        found = []
        for share in (1 - guidance, guidance):
            heard = torch.full_like(times, float(len(found)))
            found.append(share * self(chance, times, past, loudness, heard) if share else 0.0)
        return found[0] + found[1]


def waves(time: Tensor) -> Tensor:
    """time (B,) from 0 to 1 -> (B, 32)"""
    rates = torch.exp(torch.linspace(0, math.log(100.0), WAVES, device=time.device))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
