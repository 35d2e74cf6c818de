"""Train VG-net: one example image and landmarks to frames (Sections 3.2 to 3.4).

    python vgnet.py --dataset grid --dataset_dir store/grid.h5 -model_dir model/vgnet -sample_dir sample/vgnet
    python vgnet.py -device_ids 0,1 -batch_size 10 ...         # two GPUs
    torchrun --nproc_per_node 8 vgnet.py ...                   # more, also over machines
    python vgnet.py -warp flow -width 32 -blocks 4 ...         # the recipe of the shipped weights, see the README

To resume, run the same command again. Writes MODEL_DIR/NAME.safetensors, for vgnet_test.py and demo.py, and
MODEL_DIR/NAME_state.pt, with the discriminators.
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
from data.store import ClipStore
from data.vgnet import PortraitSamples
from models import Discriminator, MouthDiscriminator, VGNet, VGOutput, load_model
from models.vgnet import ATTENTIONS, WARPS
from training.export import MovingAverage, export, take_weights
from training.flags import add_training_flags, check_training
from training.log import Log, Progress, mean_values
from training.loop import seed_step, update
from training.losses.vgnet import Batch, generator_loss, learn_to_judge, mouth_map
from training.pictures import landmark_pictures, save_rows, to_pictures
from training.precision import autocast
from training.state import TrainingState, run_settings
from training.stop import Stop
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import is_main, launch, parallel, world_size
from utils.errors import UserError, run
from utils.face.landmarks import TEMPLATE, normalise


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_training_flags(flags, steps=100000, batch_size=10, frames=16, lr=2e-4)
    add_flag(flags, "model_dir", type=Path, default=Path("model/vgnet"), help="folder to save weights")
    add_flag(flags, "model_name", default="vgnet", help="name of the weights' file (default vgnet)")
    pictures = Path("sample/vgnet")
    add_flag(flags, "sample_dir", type=Path, default=pictures, help="folder of pictures made in training")
    add_network_flags(flags)
    add_loss_flags(flags)
    return flags.parse_args(argv)


def add_network_flags(flags: ArgumentParser) -> None:
    """What the networks look like"""
    width = "channels of the first layer (default 64, the paper's)"
    add_flag(flags, "width", type=int, default=64, help=width)
    add_flag(flags, "blocks", type=int, default=9, help="residual blocks (default 9, the paper's)")
    dropout = "in the residual blocks (default 0.5, the paper's)"
    add_flag(flags, "dropout", type=float, default=0.5, help=dropout)
    memory = "of the ConvGRU (default time)"
    add_flag(flags, "recurrence", choices=("time", "none"), default="time", help=memory)
    warp = "landmark: move the pixels first; flow: and learn how skin moves between the landmarks"
    add_flag(flags, "warp", choices=WARPS, default="none", help=warp)
    attention = "none: frames are regressed directly, by the motion map alone (default map)"
    add_flag(flags, "attention", choices=ATTENTIONS, default="map", help=attention)
    add_flag(
        flags,
        "discriminator_width",
        type=int,
        help="the discriminators' first layers' channels (default: -width)",
    )


def add_loss_flags(flags: ArgumentParser) -> None:
    """What counts for how much in training"""
    number = partial(add_number, flags)
    number("pixel_weight", 10.0, "dynamic pixel-wise loss; the paper's: 10")
    dynamic = "weigh pixels by the attention (default), or false for plain L1, the paper's ND"
    add_switch(flags, "dynamic_pixel_loss", True, dynamic)
    number("beta", 0.5, "least pixel weight; the paper's: 0.5")
    number("mouth_weight", 2.0, "extra pixel weight of the mouth; the paper's: 0")
    number("motion_weight", 0.0, "error of the motion map by itself, for the warps; the paper's: 0")
    number("texture_weight", 0.0, "strength of fine detail; the paper's: 0")
    number("mouth_adversarial_weight", 0.0, "GAN loss of a discriminator of mouths; the paper's: 0")
    number("mouth_matching_weight", 0.0, "features of that discriminator, fake against real; the paper's: 0")
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
    torch.manual_seed(args.seed)
    names = ("width", "blocks", "recurrence", "warp", "dropout", "attention")
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


def adam(network: nn.Module, args: Namespace) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=args.lr, betas=(args.beta1, args.beta2), fused=True)


def warm_start(model: VGNet, path: Path | None) -> None:
    """Weights of the file; a network with a learned flow may start from one with the landmark warp alone."""
    if path is None:
        return
    base = load_model(path, expect=VGNet)
    if base.config["warp"] == "landmark" and base.config | dict(warp="flow") == model.config:
        model.start_from_landmark_warp(base)
    else:
        take_weights(model, base, path)


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, discriminator step, generator step; now and then a log line, a picture, a checkpoint."""
    check_training(args)
    store = ClipStore(args.dataset_dir)
    if store.size % 16:
        raise UserError(
            f"{args.dataset_dir}: VG-net needs crops of a multiple of 16 pixels, not {store.size}"
        )
    train_ids = clip_ids(store, args.dataset, "train", args.splits)
    val_ids = clip_ids(store, args.dataset, "val", args.splits, optional=True)
    samples = PortraitSamples(store, train_ids, args.frames, args.seed, args.augment, args.speaker_power)
    model, judges = build(args, store.size, device)
    warm_start(model, args.load_model)
    optimiser, optimisers = adam(model, args), {name: adam(judge, args) for name, judge in judges.items()}
    average = MovingAverage(model, args.ema) if args.ema else None
    state = TrainingState(
        args.model_dir / f"{args.model_name}_state.pt",
        dict(model=model, optimiser=optimiser)
        | judges
        | {f"optimiser_{name}": one for name, one in optimisers.items()},
        run_settings(model, args, world_size()) | {name: judge.config for name, judge in judges.items()},
        average,
    )
    first = state.load(device)
    generate = parallel(torch.compile(model) if args.compile else model, device)
    judging = {name: parallel(judge, device) for name, judge in judges.items()}
    validation = []
    if val_ids and is_main():
        chosen = PortraitSamples(store, val_ids, args.frames, seed=1, augment=False)
        validation = list(step_loader(chosen, 0, 8, 4, 0))
    log = Log(args.model_dir / "logs" if is_main() else None)
    loader = step_loader(samples, first, args.steps, args.batch_size, args.num_thread)
    done = first
    with Stop(device) as stop, Progress(args, first) as bar:
        for step, batch in enumerate(loader, start=first):
            batch = augment({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()})
            seed_step(args.seed, step)
            judged = step >= args.adversarial_start
            model.train()
            with autocast(args.precision, device):
                fake = generate(batch["example_image"], batch["landmarks"], batch["example_landmarks"])
            parts = learn_to_judge(judging, optimisers, fake, batch, step, args) if judged else {}
            for judge in judges.values():
                judge.requires_grad_(False)
            with autocast(args.precision, device):
                loss, generated = generator_loss(fake, batch, judges if judged else {}, args)
            update(optimiser, loss, step, args)
            for judge in judges.values():
                judge.requires_grad_(True)
            if average:
                average.update(model, step)
            done, last = step + 1, step + 1 == args.steps or stop.requested()
            parts |= {name: part.detach() for name, part in generated.items()}
            bar.step(parts, batch["frames"].shape[:2].numel() * world_size(), log, done)
            if is_main() and (last or done % args.save_every == 0):
                state.save(done)
                exported = export(model, average, args, done)
                if validation:
                    log.scalars("validation", bar.note(validate(exported, validation, device)), done)
                save_sample(args.sample_dir / f"{args.model_name}_{done:07d}.png", fake, batch)
            if last:
                break
    log.close()
    stop.end(done)


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
