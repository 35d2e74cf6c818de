"""What AT-net is trained by (Section 3.1)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def coefficient_loss(predicted: Tensor, true: Tensor, eigenvalues: Tensor | None = None) -> Tensor:
    """predicted, true (B, T, K) -> mean squared error in PCA space; with eigenvalues (K,), of whitened coefficients."""
    if eigenvalues is None:
        return F.mse_loss(predicted, true)
    return ((predicted - true).square() / eigenvalues).mean()
