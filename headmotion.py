"""Train speech to head motion: how a head moves while this is said (Chen et al., ECCV 2020, Section 3.2).

    python headmotion.py --dataset_dir STORE.h5 -o model/headmotion                   the original's network
    python headmotion.py --dataset_dir STORE.h5 -network flow -o model/flow           a generative one: loudness alone
    python headmotion.py --dataset_dir STORE.h5 -people people.txt -leave_out w02 -o model/without_w02
    torchrun --nproc_per_node 8 headmotion.py ...                                     more processes, also over machines

STORE.h5 is a clip store; STORE_pose.h5, its poses, comes from `python -m preprocess.pose STORE.h5`. The original's
network regresses motion from 64 past frames and raw speech, and so moves little; the flow draws motion by chance, and
moves as heads do. -leave_out keeps a person out of the training, so that headmotion_test.py can measure on that one.
To resume, run the same command again. Writes OUT/headmotion.safetensors (the best validation's weights; the last ones
where there is no validation), OUT/headmotion_last.safetensors and OUT/headmotion_state.pt.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from data.heads.motion import MotionClips, MotionSamples, evened, left_out, read_people
from data.splits import add_split_flags, clip_ids
from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio
from training.export import start_from
from training.flags import add_loop_flags
from training.log import mean_values
from training.loop import Run
from training.losses.headmotion import flow_loss, regression_loss
from utils.audio.loudness import Levels, features
from utils.cli import add_device_flags, add_flag, add_number, add_switch, file_name, parser
from utils.distributed import launch
from utils.errors import UserError, run

NETWORKS = dict(original=RotateAudio, flow=HeadMotion)
OWN = dict(  # defaults of each network, where they differ
    original=dict(past=64, width=256, lr=3e-4, weight_decay=2e-5, even=0.0),
    flow=dict(past=32, width=64, lr=1e-3, weight_decay=1e-4, even=0.5),
)
CHOICE = dict(name="network", choices=NETWORKS, default="original", help="which one (default original)")
VALIDATION = 8  # batches, the same every time


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_split_flags(flags, "train.txt and val.txt", store=True)
    add_flag(flags, "poses", type=Path, metavar="FILE", help="the store's poses (default: STORE_pose.h5)")
    add_flag(flags, **CHOICE)
    folder = Path("model/headmotion")
    where = f"folder of weights (default {folder})"
    add_flag(flags, "model_dir", "-o", "--out-fold", type=Path, default=folder, help=where)
    name = "name of the weights' files (default headmotion)"
    add_flag(flags, "model_name", type=file_name("-model_name"), default="headmotion", help=name)
    add_flag(flags, "load_model", "-m", type=Path, help="weights to start from")
    add_flag(flags, "people", type=Path, metavar="FILE", help="speakers that are one person, a line a person")
    names = "persons that the training must not see, by a speaker's name: w02,w04"
    add_flag(flags, "leave_out", default="", metavar="NAME,...", help=names)
    add_device_flags(flags)
    add_loop_flags(
        flags, steps=2000, batch_size=32, frames=64, lr=3e-4, paper="64 frames, rate 3e-4", beta1=0.9
    )
    number = partial(add_number, flags)
    number("past", 64, "frames before, which it goes on from", least=2)
    number("width", 256, "of the features, the paper's", least=1)
    number("dropout", 0.1, "of the features, the paper's", least=0, below=1)
    number("weight_decay", 2e-5, "Adam's, the paper's", least=0)
    number("smoothing", 11, "frames of sound that the original averages", least=1)
    number("rounds", 2, "of the flow's dilations", least=1)
    number("deaf", 0.15, "share of the flow's windows that do not hear, for guidance", least=0, below=1)
    number("guidance", 1.0, "how much more than it heard the flow makes of the loudness", least=0)
    number("emphasis", 1.5, "the same of how loudness enlivens the flow's chance", least=0)
    number("even", 0.0, "of people's liveliness, how much is evened out: 0 none, 1 all", least=0)
    add_switch(flags, "augment", True, "mirror images, other amplitudes, speeds and levels (default true)")
    chosen = parser(None, help=False)
    add_flag(chosen, **CHOICE)
    flags.set_defaults(**OWN[chosen.parse_known_args(argv)[0].network])
    flags.epilog = (
        f"Defaults of -network flow: {' '.join(f'-{name} {value}' for name, value in OWN['flow'].items())}"
    )
    args = flags.parse_args(argv)
    args.leave_out = [name for name in args.leave_out.split(",") if name]
    args.sample_dir = args.model_dir
    return args


def build(args: Namespace) -> nn.Module:
    """The network that the flags describe"""
    torch.manual_seed(args.seed)
    sizes = {name: getattr(args, name) for name in ("past", "frames", "width", "dropout")}
    if args.network == "flow":
        return HeadMotion(**sizes, rounds=args.rounds, guidance=args.guidance, emphasis=args.emphasis)
    return RotateAudio(**sizes, smoothing=args.smoothing)


def split(args: Namespace, clips: MotionClips) -> tuple[dict[str, list[str]], list[str]]:
    """The clips of train and val, without those of the persons who are left out, and these persons' clips

    Raises UserError where no clip remains that is long enough.
    """
    groups = read_people(args.people)
    gone = left_out(clips.store.ids, groups, args.leave_out)
    ids = {}
    for name in ("train", "val"):
        own = clip_ids(clips.store, args.dataset, name, args.splits, optional=name == "val")
        ids[name] = [id for id in own if id not in gone]
    if not ids["train"]:
        raise UserError(f"-leave_out {','.join(args.leave_out)}: leaves nobody to train on")
    return ids, sorted(gone)


def fit(model: nn.Module, samples: MotionSamples) -> None:
    """What the network knows of motion before it is trained, out of the clips that the samples hold"""
    motion = [torch.from_numpy(track) for track in samples.tracks.values()]
    if isinstance(model, HeadMotion):
        heard = (features(one, Levels.of(one)) for one in samples.heard.values())
        model.fit(motion, [torch.from_numpy(one) for one in heard])
    else:
        model.fit(motion)


def loss_of(
    network: nn.Module,
    model: nn.Module,
    batch: dict[str, Tensor],
    deaf: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of a batch in radians and face widths. network: the model, as the loop calls it"""
    batch = batch | {name: batch[name] / model.deviation for name in ("past", "motion")}
    if isinstance(model, HeadMotion):
        return flow_loss(network, model.prior, batch, deaf, generator)
    made = network(batch["past"], batch["sound"])
    return regression_loss(made.float(), batch["motion"])


@torch.no_grad()
def validate(
    args: Namespace, model: nn.Module, samples: MotionSamples | None, device: torch.device
) -> dict[str, float]:
    """The loss of the same windows and the same chance every time; nothing where there are no clips for it"""
    rows, generator = [], torch.Generator(device).manual_seed(0)
    for number in range(VALIDATION if samples else 0):
        numbers = range(number * args.batch_size, (number + 1) * args.batch_size)
        batch = torch.utils.data.default_collate([samples[one] for one in numbers])
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        rows.append(loss_of(model, model, batch, 0.0, generator)[1])
    return mean_values(rows)


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, loss, update; now and then a validation, a checkpoint."""
    clips = MotionClips(args.dataset_dir, args.poses)
    ids, gone = split(args, clips)
    model = build(args)
    tracks = {name: {id: clips.motion(id) for id in own} for name, own in ids.items()}
    tracks["train"] = evened(tracks["train"], args.even)
    sizes = dict(past=args.past, frames=args.frames, power=args.speaker_power, raw=args.network == "original")
    samples = MotionSamples(clips, tracks["train"], seed=args.seed, augment=args.augment, **sizes)
    held = MotionSamples(clips, tracks["val"], seed=0, augment=False, **sizes) if ids["val"] else None
    fit(model, samples)
    model.to(device)
    start_from(model, args.load_model)
    facts = dict(left_out=gone, even=args.even, heard="loudness" if args.network == "flow" else "raw speech")
    run = Run(args, device, dict(model=model), clips, ids, **facts)
    network = run.parallel(model)
    for batch in run.steps(samples):
        with run.autocast():
            loss, parts = loss_of(network, model, batch, args.deaf)
        run.update("model", loss)
        if run.step_done(parts, batch["motion"].shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(args, exported, held, device))


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
