"""Train NR-net: raw speech to landmark coefficients that noise does not upset (Eskimez et al., TASLP 2020).

    python nrnet.py -i TRAIN.h5 -o model/base                                  base
    python nrnet.py -i TRAIN.h5 -n NOISE.h5 -o model/nr                        noise-resilient
    python nrnet.py -i TRAIN.h5 --temporal_condition -o model/tc               sees its own previous frame
    python nrnet.py -i TRAIN.h5 -n NOISE.h5 --temporal_condition -o model/nr_tc   both
    python nrnet.py -i TRAIN.h5 --pca eigen_vectors.npy mean_shape.npy --template mean.npy   the original's file
    torchrun --nproc_per_node 8 nrnet.py ...                                   more processes, also over machines

TRAIN.h5 comes from `python -m preprocess.nrnet`, NOISE.h5 from `python -m preprocess.noise`; files made for the
original will do (data/nrnet_file.py has the layout). Those hold no landmark basis: --pca gives it, as to convert.py.
-m starts from weights, a temporal network also from a base one's. To resume, run the same command again. Writes
OUT/nrnet.safetensors (the best validation's weights, for nrnet_test.py and demo.py), OUT/nrnet_last.safetensors and
OUT/nrnet_state.pt.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.nrnet import Mixing, WaveformSamples, read_mixing
from data.nrnet_file import SpeechFile
from data.splits import spread
from models import NRNet, load_model
from models.original.bases import BASIS, add_basis_flags, read_shape_basis
from training.export import take_weights
from training.flags import add_loop_flags
from training.log import mean_values
from training.loop import Run
from training.losses.nrnet import noise_resilient_loss
from utils.audio.noise import mix
from utils.audio.raw_speech import set_level, speech_context
from utils.cli import add_device_flags, add_flag, add_number, add_switch, parser
from utils.distributed import launch
from utils.errors import UserError, note, run
from utils.face.basis import LandmarkBasis

CLIPS = 50  # of the validation, at most, of all its speakers


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("-i", "--in-file", type=Path, required=True, metavar="TRAIN.h5", help="training file")
    flags.add_argument("-n", "--in-noise", type=Path, metavar="NOISE.h5", help="train noise-resilient")
    start = "weights to start from, or nrnet.safetensors' folder"
    add_flag(flags, "load_model", "-m", "--model", type=Path, help=start)
    folder = Path("model/nrnet")
    where = f"folder of weights (default {folder})"
    add_flag(flags, "model_dir", "-o", "--out-fold", type=Path, default=folder, help=where)
    add_basis_flags(flags)
    add_switch(flags, "temporal_condition", False, "each frame also sees the coefficients of the one before")
    add_device_flags(flags)
    paper = "128 windows a step, rate 1e-4"
    add_loop_flags(flags, steps=20000, batch_size=16, frames=8, lr=1e-4, paper=paper)
    number = partial(add_number, flags)
    number("filters", 64, "of the first convolution, doubled by each of the others; the paper's: 64", least=1)
    number("width", 21, "of the convolutions' kernels; the paper's: 21", least=1)
    number("dropout", 0.2, "behind each convolution; the original's had no effect", least=0, below=1)
    number("components", 6, "of the PCA, where TRAIN.h5 holds landmarks", least=1)
    number("feature_weight", 1e-3, "of the features' squared difference, clean and noisy", least=0)
    number("snr_low", 6.0, "dB, the loudest noise")
    number("snr_high", 30.0, "dB, the softest noise")
    sampling = "share of frames, in the end, that see the network's own frame before"
    number("scheduled_sampling", 0.0, sampling, least=0)
    number("patience", 20, "validations without gain before it stops, 0 for all steps", least=0)
    add_flag(
        flags, "level", choices=("rms", "peak"), default="rms",
        help="what of a recording is brought to 1: its root mean square (default), or its peak, as the original's",
    )  # fmt: skip
    add_switch(flags, "legacy_snr", False, "0 to 8 dB over each stretch, which the original drew by mistake")
    add_switch(flags, "whiten", False, "divide each coefficient's error by its deviation (the paper: no)")
    args = flags.parse_args(argv)
    args.sample_dir, args.model_name, args.noise = args.model_dir, "nrnet", args.in_noise is not None
    drawn = "0 to 8 dB by stretch" if args.legacy_snr else f"{args.snr_low:g} to {args.snr_high:g} dB"
    args.snr = drawn if args.noise else "no noise"
    return args


def read_basis(args: Namespace, file: SpeechFile) -> tuple[LandmarkBasis | None, np.ndarray | None]:
    """What gives the coefficients a meaning, and those (K,) of a whole face at rest. Raises UserError."""
    if args.pca and file.basis:
        raise UserError(f"--pca: {args.in_file} has a landmark basis of its own; leave it out")
    if args.template and not args.pca:
        raise UserError("--template: belongs to --pca; give both")
    basis = file.basis
    if args.pca:
        given = read_shape_basis(args.pca, args.template, dict(components=file.components))
        basis = LandmarkBasis(*(given[name].numpy() for name in BASIS[:3]), "face")
        if args.template:
            return basis, given["initial"].numpy()
    if basis is None:
        note(f"{args.in_file} has no landmark basis, so its faces cannot be drawn; give it with --pca")
    return basis, file.resting(basis) if basis is None or basis.space == "face" else None


def build(args: Namespace, file: SpeechFile) -> NRNet:
    """The network that the flags describe, with the coefficients' basis in its buffers, where there is one."""
    torch.manual_seed(args.seed)
    basis, start = read_basis(args, file)
    try:
        model = NRNet(
            components=file.components,
            filters=args.filters,
            width=args.width,
            temporal=args.temporal_condition,
            dropout=args.dropout,
            dimensions=len(basis.mean) // 68 if basis else 2,
            space=basis.space if basis else "face",
            level=args.level,
        )
    except (ValueError, RuntimeError):
        raise UserError(f"-width {args.width}: four such convolutions need 1 to 141 samples") from None
    if basis:
        model.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    else:
        model.landmark_components.zero_()
    if start is not None:
        model.initial.copy_(torch.from_numpy(start))
    return model


def warm_start(model: NRNet, path: Path | None) -> None:
    """Weights of the file, or of nrnet.safetensors in the folder; a temporal network may start from a base one."""
    if path is None:
        return
    path = path / "nrnet.safetensors" if path.is_dir() else path
    base = load_model(path, expect=NRNet)
    if model.temporal and base.config | dict(temporal=True) == model.config != base.config:
        model.start_from_base(base)
    else:
        take_weights(model, base, path)


def heard_noises(args: Namespace, mixing: Mixing | None) -> dict:
    """What states and weights say of the noise that training heard"""
    return dict(noise=args.noise, snr=args.snr, noise_kinds=mixing.kinds if mixing else [])


@torch.no_grad()
def validate(model: NRNet, file: SpeechFile, mixing: Mixing | None, device: torch.device) -> dict[str, float]:
    """Over whole clips, each heard the same way every time: mean absolute error of the coefficients"""
    rows = []
    for number, id in enumerate(spread(file.splits["val"], CLIPS)):
        speech, true = file.clip(id)
        speech, random = set_level(speech, model.config["level"]), np.random.default_rng(number)
        heard = dict(clean=speech)
        if mixing:
            noise = mixing.noises[random.integers(len(mixing.noises))]
            heard["noisy"] = mix(speech, noise, mixing.ratio(random), random)
        batch = np.stack([speech_context(one, len(true)) for one in heard.values()])
        made = model(torch.from_numpy(batch).to(device)).coefficients.float().cpu().numpy()
        rows.append({name: np.abs(one - true).mean() for name, one in zip(heard, made, strict=True)})
    return mean_values(rows)


def hear(network: nn.Module, batch: dict[str, Tensor], args: Namespace, step: int) -> tuple[Tensor, Tensor]:
    """The network's output for the clean speech and, where there is noise, the noisy speech behind it"""
    speech = torch.cat([batch[name] for name in ("clean", "noisy") if name in batch])
    if not args.temporal_condition:
        return network(speech)
    previous = batch["previous"].repeat(len(speech) // len(batch["clean"]), 1, 1)
    share = args.scheduled_sampling * min(1.0, 2 * step / args.steps)
    own = torch.rand(previous.shape[:2], device=previous.device) < share if share else None
    return network(speech, previous, own)


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, loss, update; now and then a validation, a checkpoint."""
    file, ratios = SpeechFile(args.in_file, args.components), (args.snr_low, args.snr_high)
    mixing = read_mixing(args.in_noise, *ratios, args.legacy_snr) if args.in_noise else None
    if not file.splits["val"]:
        note(f"{args.in_file}: no clips to validate on; the last weights are kept, -patience does nothing")
    model = build(args, file).to(device)
    warm_start(model, args.load_model)
    ids = {split: file.splits[split] for split in ("train", "val")}
    run = Run(args, device, dict(model=model), file, ids, **heard_noises(args, mixing))
    level, start = model.config["level"], model.initial.cpu().numpy()
    samples = WaveformSamples(file, level, args.frames, args.seed, args.speaker_power, start, mixing)
    network = run.parallel(model)
    scale = torch.from_numpy(file.deviations()).to(device).clamp(min=1e-6) if args.whiten else 1.0
    for batch in run.steps(samples):
        with run.autocast():
            made, features = hear(network, batch, args, run.done)
        made, features = made.float(), features.float()
        loss, parts = noise_resilient_loss(made, features, batch["target"], args.feature_weight, scale)
        run.update("model", loss)
        if run.step_done(parts, batch["target"].shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(exported, file, mixing, device))


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
