"""The losses of Section 3.4 as plain functions; each adds up parts that the log shows by name."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import VGOutput
from training.losses import Parts

MOUTH, EYES = slice(48, 68), (slice(36, 42), slice(42, 48))
MOUTH_Y = slice(97, 136, 2)  # the y coordinates of landmarks 48 to 67
EXPLAINED = 0.08  # error of a warped pixel, of 2, that leaves the attention mostly free to open
Batch = dict[str, Tensor]


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


def attention_loss(attention: Tensor, still: Tensor, real: Tensor) -> Tensor:
    """attention (B, T, 1, H, W), still and real (B, T, 3, H, W) -> the mean attention where the still image is right

    The motion map of a network with a warp repeats the warped image, so that nothing else would shut the attention
    there. What it costs falls with the warp's own error, averaged over 5 x 5 pixels: to 1 / e at EXPLAINED (not in the
    paper).
    """
    error = (still.float() - real).abs().mean(2).detach()  # (B, T, H, W)
    error = F.avg_pool2d(error, 5, 1, 2, count_include_pad=False)
    return (attention.float().squeeze(2) * torch.exp(-error / EXPLAINED)).mean()


def mouth_map(landmarks: Tensor, size: int, strength: float) -> Tensor:
    """landmarks (B, T, 136) -> (B, T, 1, H, W): 1, and 1 + strength within the mouth, with a soft edge"""
    return 1 + strength * region_map(landmarks, MOUTH, size)


def eyes_map(landmarks: Tensor, size: int) -> Tensor:
    """landmarks (B, T, 136) -> (B, T, 1, H, W): 1 within the eyes and 0 elsewhere, with a soft edge"""
    return sum(region_map(landmarks, eye, size) for eye in EYES)


def region_map(landmarks: Tensor, points: slice, size: int) -> Tensor:
    """landmarks (B, T, 136) -> (B, T, 1, H, W): 1 about these points of each face, with a soft edge"""
    region = landmarks.unflatten(-1, (68, 2))[..., points, :]
    centre, spread = region.mean(-2), region.amax(-2) - region.amin(-2)
    axis = (torch.arange(size, device=landmarks.device) * 2 + 1) / size - 1
    across = (axis - centre[..., 0:1]) / (0.55 * spread[..., 0:1] + 0.06)  # (B, T, W)
    down = (axis - centre[..., 1:2]) / (0.55 * spread[..., 1:2] + 0.08)  # (B, T, H)
    radius = across.square().unsqueeze(-2) + down.square().unsqueeze(-1)
    return torch.exp(-radius.square()).unsqueeze(2)


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


def places_that_matter(landmarks: Tensor, size: int, args: Namespace) -> Tensor | None:
    """landmarks (B, T, 136) -> the map (B, T, 1, H, W) that weighs pixels, 1 or above; None for all alike"""
    if not args.mouth_weight and not args.eye_weight:
        return None
    weight = mouth_map(landmarks, size, args.mouth_weight)
    return weight + args.eye_weight * eyes_map(landmarks, size) if args.eye_weight else weight


def generator_loss(
    fake: VGOutput,
    batch: Batch,
    judges: dict[str, nn.Module],
    args: Namespace,
    critic: nn.Module | None = None,
) -> tuple[Tensor, Parts]:
    """Eq. 7: the generator's terms, kept apart so that the log can show each.

    judges: the discriminators that it has to please, of "clips" and of "mouths"; critic: a `ReadingCritic`.
    """
    weight = places_that_matter(batch["landmarks"], fake.frames.shape[-1], args)
    pixel = partial(dynamic_pixel_loss, attention=fake.attention, beta=args.beta)
    pixel = pixel if args.dynamic_pixel_loss else pixel_loss
    parts = {"pixel": pixel(fake.frames, batch["frames"], weight=weight)}
    if args.motion_weight:
        # Where the attention is shut, nothing else would keep the motion map an image to which it could open.
        parts["motion"] = pixel_loss(fake.motion, batch["frames"], weight)
    if args.attention_weight:
        parts["attention"] = attention_loss(fake.attention, fake.still, batch["frames"])
    if args.texture_weight:
        parts["texture"] = texture_loss(fake.frames, batch["frames"], weight)
    if "clips" in judges:
        logits, landmarks = judges["clips"](fake.frames, batch["example_landmarks"])
        parts["adversarial"] = adversarial_loss(logits.float())
        parts["landmark"] = landmark_loss(landmarks.float(), batch["landmarks"], args.mouth_landmark_weight)
    if "mouths" in judges:
        both = torch.cat([batch["frames"], fake.frames])
        logits, seen = judges["mouths"](both, torch.cat([batch["landmarks"]] * 2))
        real, false = zip(*(features.chunk(2) for features in seen), strict=True)
        parts["mouth_adversarial"] = -logits.float().chunk(2)[1].mean()
        parts["mouth_matching"] = matching_loss(false, real)
    if critic is not None:
        parts["reading"] = reading_loss(critic, fake.frames, batch["frames"], batch["landmarks"])
    return sum(getattr(args, f"{name}_weight") * part for name, part in parts.items()), parts


def reading_loss(critic: nn.Module, fake: Tensor, real: Tensor, landmarks: Tensor) -> Tensor:
    """frames (B, T, 3, H, W), landmarks (B, T, 136): how unlike what a `ReadingCritic` sees in both is, 1 less the
    cosine, mean over frames (not in the paper)
    """
    windows = critic.windows(landmarks, real.shape[-1])
    with torch.no_grad():
        true = critic(real, windows)
    return 1 - F.cosine_similarity(critic(fake, windows).float(), true.float(), dim=-1).mean()


def judge_clips(
    discriminator: nn.Module, fake: VGOutput, batch: Batch, args: Namespace
) -> tuple[Tensor, Parts]:
    """Eq. 6 on one batch; the generator gets no gradient."""
    example = batch["example_landmarks"]
    # One call for both, so that batch normalisation sees real and fake alike.
    both = torch.cat([batch["frames"], fake.frames.detach()])
    logits, landmarks = discriminator(both, torch.cat([example, example]))
    (real, false), (read_real, read_fake) = logits.float().chunk(2), landmarks.float().chunk(2)
    landmarks, weights = batch["landmarks"], (args.landmark_weight, args.mouth_landmark_weight)
    return discriminator_loss(real, false, read_real, read_fake, landmarks, *weights)


def judge_mouths(
    discriminator: nn.Module, fake: VGOutput, batch: Batch, _: Namespace
) -> tuple[Tensor, Parts]:
    """The hinge loss of the discriminator of mouths on one batch; the generator gets no gradient."""
    both = torch.cat([batch["frames"], fake.frames.detach()])
    logits, _ = discriminator(both, torch.cat([batch["landmarks"]] * 2))
    loss = hinge_loss(*logits.float().chunk(2))
    return loss, {"mouths": loss}


JUDGES = {"clips": judge_clips, "mouths": judge_mouths}


def judge_loss(
    name: str, judge: nn.Module, fake: VGOutput, batch: Batch, args: Namespace
) -> tuple[Tensor, Parts]:
    """The loss of a discriminator of "clips" or "mouths", and its parts for the log"""
    loss, parts = JUDGES[name](judge, fake, batch, args)
    return loss, {f"judge_{part}": value.detach() for part, value in parts.items()}
