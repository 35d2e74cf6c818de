"""The losses of Section 3.4 as plain functions; each adds up parts that the log shows by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MOUTH_Y = slice(97, 136, 2)  # the y coordinates of landmarks 48 to 67
Parts = dict[str, Tensor]


def coefficient_loss(predicted: Tensor, true: Tensor, eigenvalues: Tensor | None = None) -> Tensor:
    """predicted, true (B, T, K) -> mean squared error in PCA space; with eigenvalues (K,), of whitened coefficients."""
    if eigenvalues is None:
        return F.mse_loss(predicted, true)
    return ((predicted - true).square() / eigenvalues).mean()


def dynamic_pixel_loss(
    fake: Tensor, real: Tensor, attention: Tensor, beta: float, weight: Tensor | None = None
):
    """Eq. 5: absolute error of frames (B, T, 3, H, W), weighted by the attention (B, T, 1, H, W) and at least by beta.

    The gradient stops at the attention, which could otherwise lower the loss by looking away. weight: one more map
    (B, T, 1, H, W), of mean 1 or above, for places that matter more.
    """
    pixelwise = attention.detach() + beta
    return pixel_loss(fake, real, pixelwise if weight is None else pixelwise * weight)


def pixel_loss(fake: Tensor, real: Tensor, weight: Tensor | None = None) -> Tensor:
    """frames (B, T, 3, H, W), weight (B, T, 1, H, W) -> weighted mean absolute error"""
    error = (fake - real).abs()
    return (error if weight is None else error * weight).mean()


def texture_loss(fake: Tensor, real: Tensor, weight: Tensor | None = None) -> Tensor:
    """frames (B, T, 3, H, W): how far the strength of fine detail differs, wherever that detail lies exactly

    The root mean square of the Laplacian in windows of 8 x 8 pixels, fake against real. The mean absolute error alone
    prefers blur to detail that is a pixel off (not in the paper). weight: a map (B, T, 1, H, W) of what matters more.
    """
    strengths = [_detail(frames.float().flatten(0, 1)) for frames in (fake, real)]
    difference = (strengths[0] - strengths[1]).abs()
    if weight is not None:
        difference = difference * F.avg_pool2d(weight.flatten(0, 1), 8, 4)
    return difference.mean()


def _detail(images: Tensor) -> Tensor:
    """images (N, 3, H, W) -> (N, 3, H / 4 - 1, W / 4 - 1)"""
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    with torch.autocast(images.device.type, enabled=False):  # bfloat16's own steps would pass for detail
        edges = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel.expand(3, 1, 3, 3), groups=3)
        return (F.avg_pool2d(edges.square(), 8, 4) + 1e-6).sqrt()


def mouth_map(landmarks: Tensor, size: int, strength: float) -> Tensor:
    """landmarks (B, T, 136) -> (B, T, 1, H, W): 1, and 1 + strength within the mouth, with a soft edge"""
    mouth = landmarks.unflatten(-1, (68, 2))[..., 48:68, :]
    centre, spread = mouth.mean(-2), mouth.amax(-2) - mouth.amin(-2)
    axis = (torch.arange(size, device=landmarks.device) * 2 + 1) / size - 1
    across = (axis - centre[..., 0:1]) / (0.55 * spread[..., 0:1] + 0.06)  # (B, T, W)
    down = (axis - centre[..., 1:2]) / (0.55 * spread[..., 1:2] + 0.08)  # (B, T, H)
    radius = across.square().unsqueeze(-2) + down.square().unsqueeze(-1)
    return (1 + strength * torch.exp(-radius.square())).unsqueeze(2)


def landmark_loss(predicted: Tensor, true: Tensor, mouth_weight: float) -> Tensor:
    """predicted, true (B, T, 136) -> mean squared error, the mouth's y coordinates weighted by mouth_weight.

    The original multiplied prediction and target by 100 before squaring, which is a mouth_weight of 10,000.
    """
    squared = (predicted - true).square()
    weights = torch.ones_like(squared[0, 0])
    weights[MOUTH_Y] = mouth_weight
    return (squared * weights).mean()


def discriminator_loss(
    logits_real: Tensor,
    logits_fake: Tensor,
    landmarks_real: Tensor,
    landmarks_fake: Tensor,
    true: Tensor,
    landmark_weight: float,
    mouth_weight: float,
) -> tuple[Tensor, Parts]:
    """Eq. 6: tell real clips from fake ones (logits (B,)), and read the true landmarks (B, T, 136) off both.

    landmark_weight: of reading, against telling apart (the paper's: 1); mouth_weight: as in `landmark_loss`.
    """
    parts = {
        "real": F.binary_cross_entropy_with_logits(logits_real, torch.ones_like(logits_real)),
        "fake": F.binary_cross_entropy_with_logits(logits_fake, torch.zeros_like(logits_fake)),
        "landmark_real": landmark_loss(landmarks_real, true, mouth_weight),
        "landmark_fake": landmark_loss(landmarks_fake, true, mouth_weight),
    }
    weights = dict(landmark_real=landmark_weight, landmark_fake=landmark_weight)
    return sum(weights.get(name, 1) * part for name, part in parts.items()), parts


def adversarial_loss(logits: Tensor) -> Tensor:
    """logits (B,) of fake clips -> the non-saturating generator loss"""
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def hinge_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Patch logits (N, 1, h, w) -> the hinge loss of a discriminator (not in the paper)"""
    return F.relu(1 - logits_real).mean() + F.relu(1 + logits_fake).mean()


def matching_loss(features_fake: Sequence[Tensor], features_real: Sequence[Tensor]) -> Tensor:
    """How far the discriminator's features of fake pictures are from the real ones' (Wang et al. 2018, Eq. 5)"""
    pairs = zip(features_fake, features_real, strict=True)
    return sum(F.l1_loss(fake, real.detach()) for fake, real in pairs) / len(features_fake)


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
