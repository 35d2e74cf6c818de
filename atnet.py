"""Train AT-net: speech to landmark coefficients (Section 3.1).

    python atnet.py --dataset grid --dataset_dir store/grid.h5 -model_dir model/atnet -sample_dir sample/atnet
    python atnet.py -device_ids 0,1 -batch_size 16 ...         # two GPUs
    torchrun --nproc_per_node 8 atnet.py ...                   # more, also over machines
    python atnet.py -lstm false ...                            # AT-net single: no example, no LSTM

The landmark basis comes from `python -m preprocess.pca STORE` (default: STORE's name with _pca.npz). To resume, run
the same command again. Writes MODEL_DIR/NAME.safetensors, for atnet_test.py and demo.py, and MODEL_DIR/NAME_state.pt.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.atnet import SpeechSamples, whole_clip
from data.loader import step_loader
from data.splits import clip_ids, held_out
from data.store import ClipStore
from models import ATNet, ATNetSingle
from training.export import MovingAverage, export, start_from
from training.flags import add_training_flags, check_training
from training.log import Log, Progress, mean_values
from training.loop import seed_step, update
from training.losses.atnet import coefficient_loss
from training.pictures import landmark_pictures, save_rows
from training.precision import autocast
from training.state import TrainingState, run_settings
from training.stop import Stop
from utils.cli import add_flag, add_switch, parser
from utils.distributed import is_main, launch, parallel, world_size
from utils.errors import UserError, run
from utils.face.basis import LandmarkBasis, default_basis_path, refuse_leaks
from utils.face.landmarks import TEMPLATE, mouth_opening, normalise


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_training_flags(flags, steps=20000, batch_size=16, frames=16, lr=2e-4)
    add_switch(flags, "lstm", True, "AT-net with LSTM (default), or false for AT-net single")
    add_flag(flags, "model_dir", type=Path, default=Path("model/atnet"), help="folder to save weights")
    add_flag(flags, "model_name", default="atnet", help="name of the weights' file (default atnet)")
    add_flag(
        flags,
        "sample_dir",
        type=Path,
        default=Path("sample/atnet"),
        help="folder of pictures made in training",
    )
    add_flag(flags, "pca", type=Path, help="landmark basis (default: STORE's name with _pca.npz)")
    add_switch(
        flags,
        "whiten",
        False,
        "divide each coefficient's error by its variance (default: as in the paper, no)",
    )
    add_flag(
        flags,
        "channels",
        default="64,128,256,256,512",
        help="of the five convolutions (default: the paper's)",
    )
    add_flag(
        flags,
        "audio_features",
        default="2048,256",
        help="widths after the convolutions (default: the paper's)",
    )
    add_flag(flags, "hidden", type=int, default=256, help="LSTM width (default 256, the paper's)")
    add_flag(flags, "layers", type=int, default=3, help="LSTM layers (default 3, the paper's)")
    return flags.parse_args(argv)


def build(args: Namespace, basis: LandmarkBasis) -> nn.Module:
    """The network that the flags describe, with the basis in its buffers."""
    widths = dict(
        components=basis.components.shape[1],
        channels=_widths(args.channels, 5),
        audio_features=_widths(args.audio_features, 2),
    )
    torch.manual_seed(args.seed)
    model = ATNet(**widths, hidden=args.hidden, layers=args.layers) if args.lstm else ATNetSingle(**widths)
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
def validate(model: nn.Module, store: ClipStore, ids: list[str], device: torch.device) -> dict[str, float]:
    """Over whole clips from rest: mean squared error, and the correlation of true and predicted mouth opening."""
    basis, rows = LandmarkBasis.of(model), []
    example = torch.from_numpy(basis.project(np.zeros((1, 136), np.float32))).to(device)
    for clip_id in ids:
        audio, true, rest = whole_clip(store[clip_id], store.size)
        predicted = model(torch.from_numpy(audio).to(device)[None], example)[0].float().cpu().numpy()
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
    """The loop: batch, loss, backward, step; now and then a log line, a picture, a checkpoint."""
    check_training(args)
    store = ClipStore(args.dataset_dir)
    basis = LandmarkBasis.load(args.pca or default_basis_path(args.dataset_dir))
    refuse_leaks(args.pca or default_basis_path(args.dataset_dir), held_out(store, args.dataset, args.splits))
    train_ids = clip_ids(store, args.dataset, "train", args.splits)
    val_ids = clip_ids(store, args.dataset, "val", args.splits, optional=True)
    model = build(args, basis).to(device)
    start_from(model, args.load_model)
    optimiser = torch.optim.Adam(model.parameters(), lr=args.lr, betas=(args.beta1, args.beta2), fused=True)
    average = MovingAverage(model, args.ema) if args.ema else None
    state = TrainingState(
        args.model_dir / f"{args.model_name}_state.pt",
        dict(model=model, optimiser=optimiser),
        run_settings(model, args, world_size()),
        average,
    )
    first = state.load(device)
    basis = LandmarkBasis.of(model)  # that of the loaded weights, where there are any
    samples = SpeechSamples(store, train_ids, basis, args.frames, args.seed, args.augment, args.speaker_power)
    network = parallel(torch.compile(model) if args.compile else model, device)
    eigenvalues = model.landmark_eigenvalues if args.whiten else None
    log = Log(args.model_dir / "logs" if is_main() else None)
    loader = step_loader(samples, first, args.steps, args.batch_size, args.num_thread)
    model.train()
    done = first
    with Stop(device) as stop, Progress(args, first) as bar:
        for step, batch in enumerate(loader, start=first):
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            seed_step(args.seed, step)
            with autocast(args.precision, device):
                predicted = network(batch["audio"], batch["example"])
            loss = coefficient_loss(predicted.float(), batch["target"], eigenvalues)
            update(optimiser, loss, step, args)
            if average:
                average.update(model, step)
            done, last = step + 1, step + 1 == args.steps or stop.requested()
            bar.step(dict(loss=loss), batch["audio"].shape[:2].numel() * world_size(), log, done)
            if is_main() and (last or done % args.save_every == 0):
                state.save(done)
                exported = export(model, average, args, done)
                if val_ids:
                    log.scalars(
                        "validation",
                        bar.note(validate(exported, store, val_ids[:: 1 + len(val_ids) // 50], device)),
                        done,
                    )
                picture = args.sample_dir / f"{args.model_name}_{done:07d}.png"
                save_sample(picture, predicted[0], batch["target"][0], basis, store.size)
            if last:
                break
    log.close()
    stop.end(done)


if __name__ == "__main__":
    sys.exit(run(lambda args: launch(train, args), parse_args))
