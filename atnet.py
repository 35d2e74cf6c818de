"""Train AT-net: speech to landmark coefficients (Section 3.1).

    python atnet.py --dataset grid --dataset_dir store/grid.h5 -model_dir model/atnet -sample_dir sample/atnet
    python atnet.py -device_ids 0,1 -batch_size 16 ...         # two GPUs
    torchrun --nproc_per_node 8 atnet.py ...                   # more, also over machines
    python atnet.py -lstm false ...                            # AT-net single: no example, no LSTM
    python atnet.py -features whisper -encoder whisper.safetensors ...  # on what a speech recogniser hears

The landmark basis comes from `python -m preprocess.pca STORE` (default: STORE's name with _pca.npz). To resume, run
the same command again. Writes MODEL_DIR/NAME.safetensors, the weights of the best validation, for atnet_test.py and
demo.py, NAME_last.safetensors, and NAME_state.pt.

With -features whisper a small head is trained on Whisper's encoder (convert.py makes its file), which stays as it is
and travels in the weights. What the encoder hears of the training clips is kept beside the store, at the first use.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.atnet import HeardSamples, SpeechSamples, whole_clip
from data.splits import clip_ids, held_out, spread
from data.store import ClipStore, aligned_store
from models import ATNet, ATNetSingle, WhisperATNet, WhisperEncoder, load_model
from training.export import start_from
from training.flags import add_training_flags
from training.hearing import heard_clips, heard_windows
from training.log import mean_values
from training.loop import Run
from training.losses.atnet import coefficient_loss, opening_losses
from training.pictures import landmark_pictures, save_rows
from utils.cli import add_flag, add_number, add_switch, parser
from utils.distributed import launch
from utils.errors import UserError, run
from utils.face.basis import LandmarkBasis, default_basis_path, refuse_leaks
from utils.face.landmarks import TEMPLATE, mouth_opening, normalise

CLIPS = 50  # of the validation, at most
OPENING_LOSSES = (
    ("opening", 0.5, "opening"),
    ("speed", 0.2, "opening's speed"),
    ("shape", 0.3, "opening's course"),
    ("range", 0.3, "opening's range"),
)


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_training_flags(flags, "atnet", steps=20000, batch_size=16, frames=16, lr=2e-4)
    add_switch(flags, "lstm", True, "AT-net with LSTM (default), or false for AT-net single")
    add_flag(flags, "pca", type=Path, help="landmark basis (default: STORE's name with _pca.npz)")
    add_switch(flags, "whiten", False, "divide each coefficient's error by its variance (the paper: no)")
    add_flag(
        flags, "channels", default="64,128,256,256,512", help="of the convolutions (default: the paper's)"
    )
    widths = "after the convolutions (default: the paper's)"
    add_flag(flags, "audio_features", default="2048,256", help=widths)
    add_number(flags, "hidden", 256, "LSTM width, the paper's", least=1)
    add_number(flags, "layers", 3, "LSTM layers, the paper's", least=1)
    kinds = "mfcc: the paper's (default); whisper: a recogniser's, with a network of its own"
    add_flag(flags, "features", choices=("mfcc", "whisper"), default="mfcc", help=kinds)
    encoder = "weights of Whisper's encoder, for -features whisper without -load_model"
    add_flag(flags, "encoder", type=Path, help=encoder)
    add_number(flags, "windows", 4000, "of -features whisper: different windows of 4 s to hear", least=1)
    add_number(flags, "dropout", 0.1, "of -features whisper", least=0, below=1)
    gain = "of -features whisper: how far the mouth goes, against what the head learned"
    add_number(flags, "gain", 1.0, gain, least=0)
    weight = "of -features whisper: weight of the loss on the mouth's"
    for name, value, what in OPENING_LOSSES:
        add_number(flags, f"{name}_weight", value, f"{weight} {what}", least=0)
    return flags.parse_args(argv)


def build(args: Namespace, basis: LandmarkBasis) -> nn.Module:
    """The network that the flags describe, with the basis in its buffers."""
    if args.features == "whisper":
        return build_on_whisper(args, basis)
    widths = dict(
        components=basis.components.shape[1],
        channels=_widths(args.channels, 5),
        audio_features=_widths(args.audio_features, 2),
    )
    torch.manual_seed(args.seed)
    model = ATNet(**widths, hidden=args.hidden, layers=args.layers) if args.lstm else ATNetSingle(**widths)
    model.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    return model


def build_on_whisper(args: Namespace, basis: LandmarkBasis) -> WhisperATNet:
    """The network on Whisper's features. Raises UserError where no file has its encoder."""
    if args.load_model:
        encoder = load_model(args.load_model, expect=WhisperATNet).encoder
    elif args.encoder:
        encoder = load_model(args.encoder, expect=WhisperEncoder)
    else:
        raise UserError("-features whisper: give -encoder FILE, which convert.py makes, or -load_model FILE")
    torch.manual_seed(args.seed)
    sizes = encoder.config | dict(positions=WhisperATNet.POSITIONS)
    model = WhisperATNet(basis.components.shape[1], dropout=args.dropout, gain=args.gain, encoder=sizes)
    model.set_encoder(encoder)
    model.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    return model


def _widths(text: str, count: int) -> list[int]:
    try:
        widths = [int(number) for number in text.split(",")]
    except ValueError:
        widths = []
    if len(widths) != count or min(widths) < 1:
        raise UserError(f"{text}: give {count} widths separated by commas")
    return widths


@torch.no_grad()
def validate(
    model: nn.Module, store: ClipStore, ids: list[str], device: torch.device, heard: dict | None = None
) -> dict[str, float]:
    """Over whole clips from rest: mean squared error, and the correlation of true and predicted mouth opening.

    heard: of a WhisperATNet, the clips' features by their ids.
    """
    basis, rows = LandmarkBasis.of(model), []
    example = torch.from_numpy(basis.project(np.zeros((1, 136), np.float32))).to(device)
    for clip_id in ids:
        audio, true, rest = whole_clip(store[clip_id], store.size)
        if heard is None:
            predicted = model(torch.from_numpy(audio).to(device)[None], example)[0]
        else:
            predicted = model.follow(heard[clip_id].float())[: len(true)]
        predicted = predicted.float().cpu().numpy()
        shapes = np.stack([basis.reconstruct(predicted), true]) + rest  # (2, T, 136)
        openings = mouth_opening(shapes.reshape(2, -1, 68, 2))
        correlation = np.corrcoef(openings)[0, 1] if openings.std(1).min() > 0 else 0.0
        rows.append(
            dict(mse=np.mean((predicted - basis.project(true)) ** 2), opening_correlation=correlation)
        )
    return mean_values(rows)


def save_sample(path: Path, predicted: Tensor, true: Tensor, basis: LandmarkBasis, size: int) -> None:
    """Every other frame of one clip: the true landmarks above the predicted ones, on the average face."""
    face = torch.from_numpy(normalise(TEMPLATE))
    rows = []
    for coefficients, colour in ((true, "lime"), (predicted, "red")):
        moved = basis.reconstruct(coefficients[::2].detach().float().cpu().numpy())
        rows.append(landmark_pictures(torch.from_numpy(moved) + face, size, colour))
    save_rows(path, rows)


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, loss, update; now and then a validation, a picture, a checkpoint."""
    if args.encoder and (args.features != "whisper" or args.load_model):
        raise UserError(
            "-encoder: is for -features whisper without -load_model, whose weights have an encoder"
        )
    store = aligned_store(args.dataset_dir)
    basis_path = args.pca or default_basis_path(args.dataset_dir)
    basis = LandmarkBasis.load(basis_path)
    refuse_leaks(basis_path, held_out(store, args.dataset, args.splits))
    train_ids = clip_ids(store, args.dataset, "train", args.splits)
    val_ids = clip_ids(store, args.dataset, "val", args.splits, optional=True)
    model = build(args, basis).to(device)
    start_from(model, args.load_model)
    facts = dict(features="whisper", windows=args.windows) if args.features == "whisper" else {}
    run = Run(args, device, dict(model=model), store, dict(train=train_ids, val=val_ids), **facts)
    basis = LandmarkBasis.of(model)  # that of the loaded weights, where there are any
    validation = spread(val_ids, CLIPS)
    if args.features == "whisper":
        train_on_whisper(run, model, store, basis, train_ids, validation)
        return
    samples = SpeechSamples(store, train_ids, basis, args.frames, args.seed, args.augment, args.speaker_power)
    network = run.parallel(model)
    eigenvalues = model.landmark_eigenvalues if args.whiten else None
    for batch in run.steps(samples):
        with run.autocast():
            predicted = network(batch["audio"], batch["example"])
        loss = coefficient_loss(predicted.float(), batch["target"], eigenvalues)
        run.update("model", loss)
        if run.step_done(dict(loss=loss), predicted.shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(exported, store, validation, device), by="mse")
            save_sample(run.picture(), predicted[0], batch["target"][0], basis, store.size)


def train_on_whisper(
    run: Run,
    model: WhisperATNet,
    store: ClipStore,
    basis: LandmarkBasis,
    train_ids: list[str],
    val_ids: list[str],
) -> None:
    """The same loop for the head of a WhisperATNet, on what its encoder has heard before."""
    args, network = run.args, run.parallel(model.head)
    samples = HeardSamples(heard_windows(args, model, store, train_ids), basis, args.seed)
    heard = heard_clips(model, store, val_ids)
    weights = {name: getattr(args, f"{name}_weight") for name, _, _ in OPENING_LOSSES}
    direction = torch.from_numpy(basis.opening_weights()).to(run.device)
    for batch in run.steps(samples):
        with run.autocast():
            predicted = network(batch["features"]).float()
        parts = dict(loss=coefficient_loss(predicted, batch["target"]) / model.landmark_eigenvalues.mean())
        parts |= opening_losses(predicted @ direction, batch["target"] @ direction)
        run.update("model", sum(weights.get(name, 1.0) * part for name, part in parts.items()))
        if run.step_done(parts, predicted.shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(exported, store, val_ids, run.device, heard), by="mse")
            save_sample(run.picture(), predicted[0], batch["target"][0], basis, store.size)


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
