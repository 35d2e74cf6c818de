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
    the loudness (classifier-free guidance, Ho and Salimans 2022; 1: no more). steps: of the flow.
    """

    def __init__(
        self,
        past: int = 32,
        frames: int = 64,
        width: int = 64,
        rounds: int = 2,
        dropout: float = 0.1,
        guidance: float = 1.5,
        steps: int = 12,
    ) -> None:
        super().__init__()
        self.config = dict(past=past, frames=frames, width=width, rounds=rounds, dropout=dropout)
        self.config |= dict(guidance=guidance, steps=steps)
        self.past, self.frames = past, frames
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

    def fit(self, clips: list[Tensor]) -> None:
        """clips of motion (T, 6): the process that the flow begins with"""
        self.prior.fit(clips)

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
        steps, count = self.config["steps"], len(chance)
        heard = torch.arange(2 * count, device=chance.device).lt(count).float()
        around = past.repeat(2, 1, 1), loudness.repeat(2, 1, 1), heard
        for step in range(steps):
            time = torch.full_like(heard, step / steps)
            hearing, deaf = self(chance.repeat(2, 1, 1), time, *around).chunk(2)
            chance = chance + torch.lerp(deaf, hearing, guidance) / steps
        return self.prior.motion(chance, past)


def waves(time: Tensor) -> Tensor:
    """time (B,) from 0 to 1 -> (B, 32)"""
    rates = torch.exp(torch.linspace(0, math.log(100.0), WAVES, device=time.device))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
