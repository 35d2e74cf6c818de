"""What lip-to-speech's generator has to please in training: three discriminators and the sync net (Section 3.3)"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.lips.hearing import Hearing
from models.lips.sound import HALF

LEAST_FRAMES = 20  # that the discriminators can judge


class Verdict(NamedTuple):
    """Logits of being real (B,) for each size of mel: of the mel alone, and of it with the video's context"""

    alone: list[Tensor]
    given: list[Tensor]


class SpeechJudge(nn.Module):
    """mels of three sizes, context (B, K) -> `Verdict`; width: of the first layers, 32 as published"""

    def __init__(self, context: int = 512, width: int = 32) -> None:
        super().__init__()
        self.config = dict(context=context, width=width)
        self.sizes = nn.ModuleList(MelJudge(context, width, halvings) for halvings in (2, 3, 4))

    def forward(self, mels: tuple[Tensor, Tensor, Tensor], context: Tensor) -> Verdict:
        verdicts = [judge(mel, context) for judge, mel in zip(self.sizes, mels, strict=True)]
        return Verdict(*(list(logits) for logits in zip(*verdicts, strict=True)))


class MelJudge(nn.Module):
    """mel (B, 5 * 2 ** halvings, T), context (B, K) -> logits (B,), (B,)"""

    def __init__(self, context: int, width: int, halvings: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(halvings + 1)]
        blocks = [JudgeBlock(a, b) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), *blocks)
        last = widths[-1]
        self.alone = nn.Conv2d(last, last, 5)
        self.alone_out = nn.Linear(last, 1)
        self.given = nn.Conv2d(last + context, last, 5, padding=2)
        self.given_next = nn.Conv2d(last, last, 5)
        self.given_out = nn.Linear(last, 1)

    def forward(self, mel: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.layers(mel.unsqueeze(1))
        alone = F.leaky_relu(self.alone(F.leaky_relu(maps, 0.2)), 0.2).mean((2, 3))
        around = context[..., None, None].expand(-1, -1, *maps.shape[2:])
        given = self.given(F.leaky_relu(torch.cat([maps, around], dim=1), 0.2))
        given = F.leaky_relu(self.given_next(F.leaky_relu(given, 0.2)), 0.2).mean((2, 3))
        return self.alone_out(alone).squeeze(1), self.given_out(given).squeeze(1)


class JudgeBlock(nn.Module):
    """Two 5 x 5 convolutions beside a shortcut, at half the height and width, over the root of two"""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 5, padding=2)
        self.conv2 = nn.Conv2d(inputs, outputs, 5, padding=2)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        made = F.avg_pool2d(self.conv1(F.leaky_relu(maps, 0.2)), 2)
        made = self.conv2(F.leaky_relu(made, 0.2))
        # Pooled first: the same, at a quarter of the cost.
        return (made + self.shortcut(F.avg_pool2d(maps, 2))) * HALF


class SyncNet(Hearing):
    """Normalised mels (B, 80, 4 S) -> (B, S, features): what the mouth of each frame should look like (Section 3.4)

    width: of its convolutions, 128 as published. temperature: of the contrast between frames; where `learned`, training
    finds it.
    """

    def __init__(
        self, features: int = 512, width: int = 128, temperature: float = 1.0, learned: bool = False
    ) -> None:
        super().__init__(features, width)
        self.config = dict(features=features, width=width, temperature=temperature, learned=learned)
        start = torch.tensor(math.log(temperature))
        if learned:
            self.log_temperature = nn.Parameter(start)
        else:
            self.register_buffer("log_temperature", start)

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(min=0.01)
