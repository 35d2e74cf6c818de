"""What NR-net is trained by (Eskimez et al. 2020, Section III)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from training.losses import Parts


def noise_resilient_loss(
    made: Tensor, features: Tensor, true: Tensor, feature_weight: float, scale: Tensor | float = 1.0
) -> tuple[Tensor, Parts]:
    """L1 of the coefficients heard in clean speech and in noise, plus feature_weight x the MSE of their features.

    made (N B, T, K), features (N B, C, L), true (B, T, K); N is 1 for clean speech alone, or 2 with the same speech in
    noise behind it. scale (K,): what errors are divided by. Gradients flow through both (Section III of Eskimez et al.
    2020).
    """
    names = ("clean", "noisy")[: len(made) // len(true)]
    parts = {
        name: ((half - true) / scale).abs().mean()
        for name, half in zip(names, made.split(len(true)), strict=True)
    }
    if len(names) == 2:
        clean, noisy = features.split(len(true))
        parts["features"] = F.mse_loss(clean, noisy)
    weights = dict(clean=1.0, noisy=1.0, features=feature_weight)
    return sum(weights[name] * part for name, part in parts.items()), parts
