"""Rhythmic head motion's renderer as the flags of its training describe it: networks, batches, pictures to look at."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from data.augment import recolour
from models import RhythmicDiscriminator, RhythmicNet, RhythmicOutput
from models.rhythmic.generator import PAPER
from models.rhythmic.layers import NORMS
from models.rhythmic.maps import edge_map, photometric_confidence, template_mask
from models.rhythmic.person import guide_inputs, label_inputs
from training.losses.rhythmic import WEIGHTS, Batch
from training.pictures import save_rows, to_pictures
from utils.cli import add_flag, add_number, add_switch
from utils.media.images import to_network

SWITCHES = dict(
    adaptive_spade="weights of the finer levels are made of the references",
    warp_ref="a warped reference takes part",
    warp_ani="a reference moved to the target's pose in three dimensions takes part",
    spade_combine="pictures take part by SPADE (non-linear composition), or false: they are blended (linear)",
    add_raw_loss="frames without the pictures are trained too",
    use_new="hybrid embedding, and the mean of all pictures' SPADEs",
    crop_ref="eyes and mouth of warped pictures are black, to be drawn from the landmarks",
)
OWN_SWITCHES = dict(
    no_warp="the composition sees the pictures as they were, not warped (default false)",
    no_atten="the mean over the references, not attention (default false)",
    label_skips="the label's map keeps the edges' places (the paper: no)",
    landmark_flow="flow nets add to the landmarks' thin plate (the paper: no)",
    halved="towers, attention and flow nets begin at half the size, for CPUs (the paper: no)",
)
NETWORK = [*(name for name in SWITCHES if name != "crop_ref"), *OWN_SWITCHES]
SHOWN = 8  # samples of a batch, in pictures
GUIDES = dict(ref="warp", ani="ani")  # the network's names of flows, and of pictures


def add_network_flags(flags: ArgumentParser) -> None:
    """What the networks look like"""
    for name, help in SWITCHES.items():
        add_switch(flags, name, True, f"{help} (default true)")
    for name, help in OWN_SWITCHES.items():
        add_switch(flags, name, False, help)
    number = partial(add_number, flags)
    number("ngf", PAPER[0], "channels at the whole size, the paper's; twice as many at each half", least=2)
    number("max_channels", PAPER[-1], "at most so many, the paper's", least=2)
    number("n_downsample_G", len(PAPER) - 1, "halvings, the paper's", least=3, below=9)
    number("nff", 32, "channels of the flow nets at the whole size, the paper's", least=2)
    number("n_downsample_F", 3, "halvings of the flow nets, the paper's", least=1, below=9)
    number("n_blocks_F", 6, "residual blocks of the flow nets, the paper's", least=0)
    add_flag(
        flags, "norm", choices=NORMS, default="batch", help="of the generator (default batch, the paper's)"
    )
    number("ndf", 32, "channels of the discriminator's first layer, the paper's", least=2)
    number("n_layers_D", 4, "its layers, the paper's", least=1, below=9)
    number("num_D", 1, "discriminators, each at half the size, the paper's", least=1, below=5)


def add_loss_flags(flags: ArgumentParser) -> None:
    """What counts for how much in training"""
    number = partial(add_number, flags, least=0)
    of = dict(
        adversarial="hinge GAN loss; the paper's",
        matching="features of the discriminator; the paper's",
        perceptual="VGG19's features, with -vgg; the paper's",
        pyramid="Laplacian pyramids, absolute error (the paper: none)",
        structure="1 - SSIM (the paper: none)",
        regions="absolute error in the boxes of eyes and mouth (the paper: none)",
        flow="flows against those of the landmarks; the paper's",
        warp="warped pictures against the truth; the paper's",
        mask="weights of warped pictures against their error; the paper's",
    )
    for name, help in of.items():
        number(f"{name}_weight", float(WEIGHTS[name]), help)
    number("adversarial_start", 0, "step from which the discriminator trains; the paper's: 0")
    number("judge_rate", 4.0, "its learning rate, over -lr; the paper's: 4")
    help = "weights of torchvision's vgg19, for the perceptual loss (default: none, and no such loss)"
    add_flag(flags, "vgg", type=Path, metavar="FILE", help=help)


def build(args: Namespace, size: int, device: torch.device) -> tuple[RhythmicNet, dict[str, nn.Module]]:
    """The generator, and the discriminator where it has a weight. Raises UserError for flags that clash."""
    torch.manual_seed(args.seed)
    widths = [min(args.ngf << level, args.max_channels) for level in range(args.n_downsample_G + 1)]
    flow = [args.nff << level for level in range(args.n_downsample_F + 1)]
    options = {name: getattr(args, name) for name in NETWORK}
    # By default on, and without meaning where pictures do not take part by SPADE.
    options["spade_combine"] = args.spade_combine and (args.warp_ref or args.warp_ani)
    options["add_raw_loss"] = args.add_raw_loss and options["spade_combine"]
    model = RhythmicNet(widths, flow, args.n_blocks_F, size, args.norm, **options)
    judges: dict[str, nn.Module] = {}
    if args.adversarial_weight or args.matching_weight:
        judges["judge"] = RhythmicDiscriminator(args.ndf, args.n_layers_D, args.num_D)
    for network in (model, *judges.values()):
        network.to(device, memory_format=torch.channels_last)
    return model, judges


def prepare(samples: dict[str, Tensor], covered: bool) -> Batch:
    """A batch of `RhythmicSamples`, on the device -> what networks and losses want, see `training.losses.rhythmic`

    covered: eyes and mouth of warped pictures are black
    """
    images = [samples["ref_images"], samples["image"].unsqueeze(1), samples["ani_image"].unsqueeze(1)]
    images = to_network(torch.cat(images, dim=1))  # (B, K + 2, 3, H, W)
    with torch.autocast(images.device.type, enabled=False):
        images = recolour(images, samples) if "colour" in samples else images
        references, image, ani = images[:, :-2], images[:, -2], images[:, -1]
        target, size = samples["landmarks"], image.shape[-1]
        chosen = torch.arange(len(image), device=image.device), samples["warp"]
        points = dict(warp=samples["ref_landmarks"][chosen], ani=samples["ani_landmarks"])
        batch = label_inputs(references, samples["ref_landmarks"])
        batch |= dict(image=image, label=edge_map(target, size), template=template_mask(target, size))
        for flow, name in GUIDES.items():
            picture = references[chosen] if name == "warp" else ani
            batch |= guide_inputs(picture, points[name], target, name, covered, True)
            right = photometric_confidence(picture, image, batch[f"flow_{flow}"])
            batch[f"confidence_{flow}"] = batch[f"confidence_{flow}"] * right
    return batch


def loss_weights(args: Namespace) -> dict[str, float]:
    return {name: getattr(args, f"{name}_weight") for name in WEIGHTS}


def save_sample(path: Path, output: RhythmicOutput, batch: Batch) -> None:
    """Columns of samples; rows: reference to be warped, moved head, target's label, truth, made frame, and its parts"""
    rows = [batch[name] for name in ("warp_image", "ani_image", "label", "image")]
    parts = ("frames", "raw", "warped_ref", "weight_ref", "warped_ani", "weight_ani")
    rows += [getattr(output, name) for name in parts if getattr(output, name) is not None]
    save_rows(path, [to_pictures(row[:SHOWN].detach()) for row in rows])
