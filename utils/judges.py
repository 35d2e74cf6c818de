"""What VG-net is trained by: its own loss, and the discriminators that judge its frames (Section 3.4)."""

from __future__ import annotations

from argparse import Namespace
from functools import partial

import torch
from torch import Tensor, nn

from models import VGOutput
from utils.losses import (
    Parts,
    adversarial_loss,
    discriminator_loss,
    dynamic_pixel_loss,
    hinge_loss,
    landmark_loss,
    matching_loss,
    mouth_map,
    pixel_loss,
    texture_loss,
)
from utils.training import autocast, update

Batch = dict[str, Tensor]


def generator_loss(
    fake: VGOutput, batch: Batch, judges: dict[str, nn.Module], args: Namespace
) -> tuple[Tensor, Parts]:
    """Eq. 7: the generator's terms, kept apart so that the log can show each.

    judges: the discriminators that it has to please, of "clips" and of "mouths".
    """
    weight = (
        mouth_map(batch["landmarks"], fake.frames.shape[-1], args.mouth_weight) if args.mouth_weight else None
    )
    pixel = partial(dynamic_pixel_loss, attention=fake.attention, beta=args.beta)
    pixel = pixel if args.dynamic_pixel_loss else pixel_loss
    parts = {"pixel": pixel(fake.frames, batch["frames"], weight=weight)}
    if args.motion_weight:
        # Where the attention is shut, nothing else would keep the motion map an image to which it could open.
        parts["motion"] = pixel_loss(fake.motion, batch["frames"], weight)
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
    return sum(getattr(args, f"{name}_weight") * part for name, part in parts.items()), parts


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


def learn_to_judge(
    judges: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Adam],
    fake: VGOutput,
    batch: Batch,
    step: int,
    args: Namespace,
) -> Parts:
    """A step of every discriminator -> the parts of their losses"""
    parts = {}
    for name, judge in judges.items():
        with autocast(args.precision, fake.frames.device):
            loss, judged = JUDGES[name](judge, fake, batch, args)
        update(optimisers[name], loss, step, args)
        parts |= {f"judge_{part}": value.detach() for part, value in judged.items()}
    return parts
