"""What rhythmic head motion's renderer is trained by (Section 3), without anybody's weights unless VGG's are given.

A batch names its tensors as `RhythmicNet.forward` does, and has besides: image (B, 3, H, W), the truth; template
(B, 1, H, W), 1 in the boxes of the truth's eyes and mouth; and where there are pseudo flows, flow_ref, flow_ani
(B, 2, H, W) in pixels and confidence_ref, confidence_ani (B, 1, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import RhythmicDiscriminator, RhythmicOutput
from models.rhythmic.discriminator import Opinion
from training.losses import Parts, frozen
from training.losses.vgnet import hinge_loss, matching_loss

Batch = dict[str, Tensor]
WINDOW = 7  # pixels a side, of the structural similarity
LEVELS = 4  # of the Laplacian pyramid
BLACK = -1 + 2 * 10 / 255  # the render has nothing where all colours are below this
# The published ones, but for what stands in for VGG19: pyramid, structure and regions. `mask` is off there too.
WEIGHTS = dict(
    adversarial=1, matching=10, perceptual=10, pyramid=10, structure=2, regions=5, flow=10, warp=10
)
WEIGHTS |= dict(mask=0)


def masked_error(made: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """made, true (B, C, H, W), mask (B, 1, H, W) -> mean absolute error where the mask is; 0 where it is nowhere"""
    error = (made.float() - true).abs().mean(1, keepdim=True)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def pyramid_loss(fake: Tensor, real: Tensor, levels: int = LEVELS) -> Tensor:
    """pictures (B, 3, H, W) -> the mean absolute errors of their Laplacian pyramids, added over levels and what is left

    A level is what is lost by halving and doubling again.
    """
    difference, total = fake.float() - real, 0.0
    for _ in range(levels):
        if min(difference.shape[-2:]) < 4:
            break
        coarse = F.avg_pool2d(difference, 2)
        up = F.interpolate(coarse, difference.shape[-2:], mode="bilinear", align_corners=False)
        total = total + (difference - up).abs().mean()
        difference = coarse
    return total + difference.abs().mean()


def structure_loss(fake: Tensor, real: Tensor) -> Tensor:
    """pictures (B, 3, H, W) in [-1, 1] -> 1 - SSIM (Wang et al. 2004), uniform windows, as `evaluation` measures it"""
    fake, real = fake.float(), real.float()
    with torch.autocast(fake.device.type, enabled=False):
        many = torch.cat([fake, real, fake * fake, real * real, fake * real], dim=1)
        a, b, aa, bb, ab = F.avg_pool2d(many, WINDOW, 1).chunk(5, dim=1)
        spread = WINDOW**2 / (WINDOW**2 - 1)  # a sample's variance
        aa, bb, ab = spread * (aa - a * a), spread * (bb - b * b), spread * (ab - a * b)
        # Against 2, the range of pictures; the mean's term is of values that begin at 0.
        first, second = (0.01 * 2) ** 2, (0.03 * 2) ** 2
        a, b = a + 1, b + 1
        likeness = (2 * a * b + first) * (2 * ab + second) / ((a * a + b * b + first) * (aa + bb + second))
    return 1 - likeness.mean()


def regions_loss(fake: Tensor, real: Tensor, template: Tensor) -> Tensor:
    """pictures (B, 3, H, W), template (B, 1, H, W) -> mean absolute error in the boxes of eyes and mouth"""
    return masked_error(fake, real, template)


def flow_loss(flow: Tensor, given: Tensor, confidence: Tensor) -> Tensor:
    """flow, given (B, 2, H, W) in pixels, confidence (B, 1, H, W) -> mean over all pixels of the error that counts"""
    return ((flow.float() - given).abs() * confidence).mean()


def warp_loss(warped: Tensor, real: Tensor, template: Tensor, inside: Tensor | None = None) -> Tensor:
    """warped, real (B, 3, H, W), template (B, 1, H, W) -> mean absolute error outside the template

    The warped picture is covered there, and compared inside would draw skin into the mouth, as the original's is.
    inside (B, 1, H, W): of the rest, what counts.
    """
    mask = (template <= 0.5).float()
    return masked_error(warped, real, mask if inside is None else mask * inside)


def silhouette(ani_image: Tensor) -> Tensor:
    """ani_image (B, 3, H, W) -> (B, 1, H, W): 1 where the render shows anything"""
    return (ani_image.amax(1, keepdim=True) > BLACK).float()


def mask_loss(weight: Tensor, warped: Tensor, real: Tensor) -> Tensor:
    """weight (B, 1, H, W) of what is synthesised, warped, real (B, 3, H, W): it is to be low where the warp is right"""
    right = (1 - (warped.float() - real).abs().sum(1, keepdim=True)).clamp(0, 1).detach()
    return (weight * right).mean() + ((1 - weight) * (1 - right)).mean()


def movement_parts(output: RhythmicOutput, batch: Batch) -> Parts:
    """flow, warp and mask, each the sum over the pictures that the network warps"""
    parts: Parts = {}

    def add(name: str, value: Tensor) -> None:
        parts[name] = parts[name] + value if name in parts else value

    real, template = batch["image"], batch["template"]
    for which in ("ref", "ani"):
        flow, weight, warped = (getattr(output, f"{name}_{which}") for name in ("flow", "weight", "warped"))
        if flow is None:
            continue
        if f"flow_{which}" in batch:
            add("flow", flow_loss(flow, batch[f"flow_{which}"], batch[f"confidence_{which}"]))
        inside = silhouette(batch["ani_image"]) if which == "ani" else None
        add("warp", warp_loss(warped, real, template, inside))
        add("mask", mask_loss(weight, warped, real))
    return parts


def judged(judge: RhythmicDiscriminator, batch: Batch, image: Tensor) -> Opinion:
    return judge(batch["warp_label"], batch["warp_image"], batch["label"], image)


def picture_parts(
    fake: Tensor,
    batch: Batch,
    judge: RhythmicDiscriminator | None,
    real: Opinion | None,
    vgg: nn.Module | None,
) -> Parts:
    """What one picture (B, 3, H, W) costs; real: the judge's opinion of the truth"""
    image = batch["image"]
    parts = dict(
        pyramid=pyramid_loss(fake, image),
        structure=structure_loss(fake, image),
        regions=regions_loss(fake, image, batch["template"]),
    )
    if judge is not None:
        opinion = judged(judge, batch, fake)
        count = len(opinion.logits)
        # The original's generator gets max(0, 1 - D), which ends where its discriminator is deceived.
        parts["adversarial"] = -sum(one.float().mean() for one in opinion.logits) / count
        pairs = zip(opinion.features, real.features, strict=True)
        parts["matching"] = sum(len(a) * matching_loss(a, b) for a, b in pairs) / count  # the sum over layers
    if vgg is not None:
        parts["perceptual"] = vgg(fake, image)
    return parts


def pictures(output: RhythmicOutput) -> list[Tensor]:
    """The pictures that are to look like the truth"""
    return [one for one in (output.frames, output.raw, output.blended) if one is not None]


def generator_loss(
    output: RhythmicOutput,
    batch: Batch,
    judge: RhythmicDiscriminator | None = None,
    weights: Mapping[str, float] | None = None,
    vgg: nn.Module | None = None,
) -> tuple[Tensor, Parts]:
    """The generator's terms, weighed by WEIGHTS or `weights` in their place, and apart for the log; the judge gets no
    gradient. Terms of the weight 0 are not in the total. vgg: a `PerceptualLoss`
    """
    weights = WEIGHTS | dict(weights or {})
    parts: Parts = {}
    judges = [] if judge is None else [judge]
    with frozen(judges):
        real = None
        if judge is not None:
            with torch.no_grad():
                real = judged(judge, batch, batch["image"])
        for fake in pictures(output):
            for name, value in picture_parts(fake, batch, judge, real, vgg).items():
                parts[name] = parts.get(name, 0) + value
    parts |= movement_parts(output, batch)
    return sum(weights[name] * part for name, part in parts.items() if weights[name]), parts


def judge_loss(judge: RhythmicDiscriminator, output: RhythmicOutput, batch: Batch) -> tuple[Tensor, Parts]:
    """The hinge loss of real and made pictures, the sum over the latter; the generator gets no gradient"""
    real = judged(judge, batch, batch["image"])
    loss = 0.0
    for fake in pictures(output):
        made = judged(judge, batch, fake.detach())
        pairs = zip(real.logits, made.logits, strict=True)
        loss = loss + sum(hinge_loss(a.float(), b.float()) for a, b in pairs) / len(real.logits)
    return loss, {"judge": loss.detach()}
