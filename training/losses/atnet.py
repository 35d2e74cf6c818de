"""What AT-net is trained by (Section 3.1)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def coefficient_loss(predicted: Tensor, true: Tensor, eigenvalues: Tensor | None = None) -> Tensor:
    """predicted, true (B, T, K) -> mean squared error in PCA space; with eigenvalues (K,), of whitened coefficients."""
    if eigenvalues is None:
        return F.mse_loss(predicted, true)
    return ((predicted - true).square() / eigenvalues).mean()


def opening_losses(predicted: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Openings of the mouth (B, T) -> what a mean squared error of coefficients cares too little for

    opening: its error; speed: that of its first differences; shape: 1 - correlation over each window; range: the error
    of its standard deviation over each window, which the others would rather have too small. All relative to how the
    true openings vary; the last two of windows in which the mouth moves.
    """
    scale = true.var() + 1e-9
    opening = F.mse_loss(predicted, true) / scale
    speed = F.mse_loss(predicted.diff(dim=1), true.diff(dim=1)) / (true.diff(dim=1).square().mean() + 1e-9)
    a, b = predicted - predicted.mean(1, keepdim=True), true - true.mean(1, keepdim=True)
    spread, true_spread = (one.square().mean(1).add(1e-9).sqrt() for one in (a, b))
    moves = (true_spread > 0.3 * scale.sqrt()).float()
    moves = moves / moves.sum().clamp(min=1)
    shape = 1 - (a * b).mean(1) / (spread * true_spread + 0.01 * scale)
    range_ = (spread - true_spread).square() / scale
    return dict(opening=opening, speed=speed, shape=(shape * moves).sum(), range=(range_ * moves).sum())
