"""What head motion is trained by: the original's squared error, or the flow's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.headmotion.prior import MotionPrior
from training.losses import Parts


def regression_loss(made: Tensor, true: Tensor) -> tuple[Tensor, Parts]:
    """made, true (B, F, 6), standard -> mean squared error: the original's only loss (its critic never trained it)"""
    loss = F.mse_loss(made, true)
    return loss, dict(motion=loss)


def flow_loss(
    network: nn.Module,
    prior: MotionPrior,
    batch: dict[str, Tensor],
    deaf: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Parts]:
    """The squared error of the flow's velocity at a random time (Lipman et al. 2022), of a network `HeadMotion`

    batch: past (B, P, 6), motion (B, F, 6), both standard, loudness (B, P + F, 3). deaf: share of the windows that do
    not hear, for guidance.
    """
    past, true = batch["past"], prior.chance(batch["motion"], batch["past"])
    options = dict(device=true.device, generator=generator)
    start, time = torch.randn(true.shape, **options), torch.rand(len(true), **options)
    start = start * prior.sizes(batch["loudness"])
    heard = torch.rand(len(true), **options).ge(deaf).float()
    between = torch.lerp(start, true, time[:, None, None])
    made = network(between, time, past, batch["loudness"], heard).float()
    loss = F.mse_loss(made, true - start)
    return loss, dict(flow=loss)
