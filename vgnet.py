"""Train VG-net: one example image and landmarks to frames (Sections 3.2 to 3.4).

    python vgnet.py --dataset grid --dataset_dir store/grid.h5 -model_dir model/vgnet -sample_dir sample/vgnet
    python vgnet.py -device_ids 0,1 -batch_size 10 ...         # two GPUs
    torchrun --nproc_per_node 8 vgnet.py ...                   # more, also over machines
    python vgnet.py -warp flow -width 32 -blocks 4 ...         # the recipe of the shipped weights: docs/training.md

To resume, run the same command again. Writes MODEL_DIR/NAME.safetensors, the weights of the best validation, for
vgnet_test.py and demo.py, NAME_last.safetensors, and NAME_state.pt, with the discriminators.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from data.augment import augment
from data.loader import step_loader
from data.splits import clip_ids
from data.store import ClipStore, aligned_store
from data.vgnet import PortraitSamples
from models import Discriminator, MouthDiscriminator, VGNet, VGOutput, load_model
from models.reading.critic import ReadingCritic
from models.reading.reader import LipReader
from models.vgnet import ATTENTIONS, WARPS
from training.export import take_weights
from training.flags import add_training_flags
from training.log import mean_values
from training.loop import Run
from training.losses import frozen
from training.losses.vgnet import Batch, generator_loss, judge_loss, mouth_map
from training.pictures import landmark_pictures, save_rows, to_pictures
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import is_main, launch
from utils.errors import UserError, run
from utils.face.landmarks import TEMPLATE, normalise

READER = Path(__file__).parent / "weights/lipread.safetensors"


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_training_flags(flags, "vgnet", steps=100000, batch_size=10, frames=16, lr=2e-4)
    add_network_flags(flags)
    add_loss_flags(flags)
    args = flags.parse_args(argv)
    if args.reader != READER and not args.reading_weight:
        raise UserError(f"-reader {args.reader}: is for -reading_weight; give that too")
    return args


def add_network_flags(flags: ArgumentParser) -> None:
    """What the networks look like"""
    number = partial(add_number, flags)
    number("width", 64, "channels of the first layer, the paper's", least=2)
    number("blocks", 9, "residual blocks, the paper's", least=0)
    number("dropout", 0.5, "in the residual blocks, the paper's", least=0, below=1)
    memory = "of the ConvGRU (default time)"
    add_flag(flags, "recurrence", choices=("time", "none"), default="time", help=memory)
    warp = "landmark: move the pixels first; flow: and learn how skin moves between the landmarks"
    add_flag(flags, "warp", choices=WARPS, default="none", help=warp)
    lids = "with a warp: the skin above closing eyes slides over them (the paper: no)"
    add_switch(flags, "lids", False, lids)
    attention = "none: frames are regressed directly, by the motion map alone (default map)"
    add_flag(flags, "attention", choices=ATTENTIONS, default="map", help=attention)
    judges = "channels of the discriminators' first layers (default: -width)"
    number("discriminator_width", None, judges, least=1, kind=int)


def add_loss_flags(flags: ArgumentParser) -> None:
    """What counts for how much in training"""
    number = partial(add_number, flags, least=0)
    number("pixel_weight", 10.0, "dynamic pixel-wise loss; the paper's: 10")
    dynamic = "weigh pixels by the attention (default), or false for plain L1, the paper's ND"
    add_switch(flags, "dynamic_pixel_loss", True, dynamic)
    number("beta", 0.5, "least pixel weight; the paper's: 0.5")
    number("mouth_weight", 2.0, "extra pixel weight of the mouth; the paper's: 0")
    number("eye_weight", 0.0, "extra pixel weight of the eyes, whose lids blink; the paper's: 0")
    number("motion_weight", 0.0, "error of the motion map by itself, for the warps; the paper's: 0")
    sparse = "mean attention where the warp alone is right, so that little is painted; the paper's: 0"
    number("attention_weight", 0.0, sparse)
    number("texture_weight", 0.0, "strength of fine detail; the paper's: 0")
    number("mouth_adversarial_weight", 0.0, "GAN loss of a discriminator of mouths; the paper's: 0")
    number("mouth_matching_weight", 0.0, "features of that discriminator, fake against real; the paper's: 0")
    number(
        "reading_weight", 0.0, "what the lip reader -reader sees in mouths, fake against real; the paper's: 0"
    )
    help = "its weights, for -reading_weight (default: the shipped)"
    add_flag(flags, "reader", type=Path, default=READER, help=help)
    number("adversarial_weight", 0.1, "GAN loss; the paper's: 1")
    number("adversarial_start", 0, "step from which the discriminators train; at -steps or beyond: never")
    number("landmark_weight", 1.0, "landmarks read off frames, in both networks' losses; the paper's: 1")
    number("mouth_landmark_weight", 10.0, "of the mouth's y among them; the original's effect: 10000")


@torch.no_grad()
def validate(model: VGNet, loader: list[Batch], device: torch.device) -> dict[str, float]:
    """Over the same validation samples each time: mean absolute error of frames and of the still image, in [0, 255]."""
    rows = []
    for batch in loader:
        batch = augment({name: tensor.to(device) for name, tensor in batch.items()})
        fake = model(batch["example_image"], batch["landmarks"], batch["example_landmarks"])
        example = batch["example_image"].unsqueeze(1)
        mouth = mouth_map(batch["landmarks"], example.shape[-1], 1.0) - 1
        error = {"frame": fake.frames, "still": fake.still, "static": example}
        error = {name: (image - batch["frames"]).abs() * 127.5 for name, image in error.items()}
        rows.append({name: value.mean() for name, value in error.items()})
        rows[-1] |= {
            f"mouth_{name}": (value * mouth).sum() / mouth.sum() / 3 for name, value in error.items()
        }
    return mean_values(rows)


def save_sample(path: Path, fake: VGOutput, batch: Batch) -> None:
    """One clip: example and landmarks, then rows of real, fake, attention, motion and still frames."""
    real, example = to_pictures(batch["frames"][0, ::2]), to_pictures(batch["example_image"][:1])
    rows = [
        landmark_pictures(batch["landmarks"][0, ::2], real.shape[-1], "lime", example.expand_as(real)),
        real,
    ]
    rows += [to_pictures(maps[0, ::2]) for maps in (fake.frames, fake.attention, fake.motion, fake.still)]
    save_rows(path, rows)


def build(args: Namespace, size: int, device: torch.device) -> tuple[VGNet, dict[str, nn.Module]]:
    """The generator, and the discriminators that have a weight, as the flags describe them"""
    if args.lids and args.warp == "none":
        raise UserError("-lids true: lids are a warp's; give -warp landmark or -warp flow, too")
    torch.manual_seed(args.seed)
    names = ("width", "blocks", "recurrence", "warp", "dropout", "attention", "lids")
    generator = VGNet(**{name: getattr(args, name) for name in names}, size=size)
    generator.centre_landmarks(torch.from_numpy(normalise(TEMPLATE)))
    width = args.discriminator_width or args.width
    judges: dict[str, nn.Module] = {}
    if args.adversarial_weight or args.landmark_weight:
        judges["clips"] = Discriminator(width, size=size)
    if args.mouth_adversarial_weight or args.mouth_matching_weight:
        judges["mouths"] = MouthDiscriminator(width, size)
    for network in (generator, *judges.values()):
        network.to(device, memory_format=torch.channels_last)
    return generator, judges


def warm_start(model: VGNet, path: Path | None) -> None:
    """Weights of the file; a network with a warp may start from one without its lids or its learned flow."""
    if path is None:
        return
    base = load_model(path, expect=VGNet)
    same = {name for name, value in base.config.items() if value == model.config[name]}
    more = WARPS.index(model.config["warp"]) >= WARPS.index(base.config["warp"]) > 0
    if more and same >= base.config.keys() - {"warp", "lids"}:
        model.start_from_warp(base)
    else:
        take_weights(model, base, path)


def open_store(path: Path) -> ClipStore:
    """Raises UserError for crops of a size that VG-net cannot halve four times."""
    store = aligned_store(path)
    if store.size % 16:
        raise UserError(f"{path}: VG-net needs crops of a multiple of 16 pixels, not {store.size}")
    return store


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, discriminators' update, generator's update; now and then a validation and a checkpoint."""
    store = open_store(args.dataset_dir)
    train_ids = clip_ids(store, args.dataset, "train", args.splits)
    val_ids = clip_ids(store, args.dataset, "val", args.splits, optional=True)
    samples = PortraitSamples(store, train_ids, args.frames, args.seed, args.augment, args.speaker_power)
    model, judges = build(args, store.size, device)
    warm_start(model, args.load_model)
    run = Run(args, device, dict(model=model) | judges, store, dict(train=train_ids, val=val_ids))
    generate, judging = run.parallel(model), {name: run.parallel(judge) for name, judge in judges.items()}
    critic = None
    if args.reading_weight:
        critic = ReadingCritic(load_model(args.reader, device, expect=LipReader))
    validation = validation_batches(store, val_ids, args.frames) if is_main() else []
    for drawn in run.steps(samples):
        batch = augment(drawn)
        judged = run.done >= args.adversarial_start
        with run.autocast():
            fake = generate(batch["example_image"], batch["landmarks"], batch["example_landmarks"])
        parts = {}
        for name, judge in judging.items() if judged else ():
            with run.autocast():
                loss, said = judge_loss(name, judge, fake, batch, args)
            run.update(name, loss)
            parts |= said
        with run.autocast(), frozen(judges.values()):
            loss, generated = generator_loss(fake, batch, judges if judged else {}, args, critic)
        run.update("model", loss)
        if run.step_done(parts | generated, fake.frames.shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(exported, validation, device), by="mouth_frame")
            save_sample(run.picture(), fake, batch)


def validation_batches(store: ClipStore, ids: list[str], frames: int) -> list[Batch]:
    """The same 8 batches of 4 samples each time; none where there are no clips"""
    if not ids:
        return []
    return list(step_loader(PortraitSamples(store, ids, frames, seed=1, augment=False), 0, 8, 4, 0))


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
