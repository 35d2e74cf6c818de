"""Train the lip reader: which word a mouth says, by a memory of how mouths sound (Kim et al., ICCV 2021).

    python lipread.py --lrw store/lrw --checkpoint_dir model/lipread --backend GRU          # the paper's on LRW
    python lipread.py --lrw store/words.h5 -size 64 -view 0.7 -front 24 -load_lips weights/lip2speech.safetensors ...
    python lipread.py --lrw store/lrw --backend MSTCN --opt adamw -schedule cosine -heads 8 -mixup 0.4
    torchrun --nproc_per_node 8 lipread.py ...                                                 # more GPUs, machines
    python lipread.py --lrw store/words.h5 --checkpoint WEIGHTS.safetensors --mode test        # its accuracy alone

The store comes from `python -m preprocess.lrw`, or `python -m preprocess.words` for GRID's words. The original's flags
and ours mean the same: --lrw is -dataset_dir, --checkpoint_dir -model_dir, --checkpoint -load_model, --n_slot -slots,
--augmentations -augment, --workers -num_thread, --gpu -device_ids, --max_timesteps -frames. --epochs counts passes over
the training words, in place of -steps; --batch_size is each process's. To resume, run the same command again. Writes
MODEL_DIR/NAME.safetensors, the weights of the best validation, for lipread_test.py, which has every figure;
NAME_last.safetensors, and NAME_state.pt.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data.lips.mouths import change_mouths
from data.lips.words import FRAMES, WholeWords, WordSamples, word_classes, word_ids
from data.splits import spread
from data.store import ClipStore, aligned_store
from models import load_model
from models.reading.reader import LipReader, Reading
from training.flags import add_training_flags
from training.loop import Run
from training.losses.lipread import reading_loss
from training.optimiser import add_optimiser_flags
from training.reading import add_reader_flags, add_reading_loss_flags, build, mixed
from training.seeing import seen_words
from utils.cli import add_flag, add_number, add_switch, gpus_of_original, parser, renamed
from utils.distributed import is_main, launch, world_size
from utils.errors import UserError, run

NAMES = dict(
    lrw="dataset_dir", checkpoint_dir="model_dir", checkpoint="load_model", n_slot="slots", augmentations="augment",
    workers="num_thread", gpu="device_ids", max_timesteps="frames",
)  # fmt: skip
VALIDATED = 510  # words, at most, the same each time
EPOCHS_AT_FULL_RATE = 2  # of the original, before a tenth of -lr


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_training_flags(
        flags, "lipread", 100000, 80, FRAMES, 0.1, "29 frames, SGD at 0.1, 80 clips a GPU", beta1=0.9
    )
    add_optimiser_flags(flags, "sgd", 0.1)
    add_run_flags(flags)
    add_reader_flags(flags)
    add_reading_loss_flags(flags)
    flags.set_defaults(dataset="lrw", endurance=5, speaker_power=1.0, clip=0.0)
    args = flags.parse_args(renamed(sys.argv[1:] if argv is None else argv, NAMES))
    if args.mode != "train" and args.load_model is None:
        raise UserError(f"--mode {args.mode}: needs the weights to measure; give --checkpoint FILE")
    if args.epochs and args.steps != flags.get_default("steps"):
        raise UserError(f"--epochs {args.epochs}: counts in place of -steps; give one of them")
    if args.blind and not args.memory:
        raise UserError("-blind: a network without a memory hears nothing; leave one of them out")
    if args.seen and args.keep != "front":
        raise UserError("-seen: what is seen once must not learn; give -keep front")
    args.device_ids = gpus_of_original(args)
    return args


def add_run_flags(flags: ArgumentParser) -> None:
    """For how long, and in what way"""
    add_number(flags, "epochs", None, "passes over the training words, in place of -steps", least=1, kind=int)
    modes = "val, test: only print what the weights of --checkpoint make of that split"
    add_flag(flags, "mode", choices=("train", "val", "test"), default="train", help=modes)
    add_switch(flags, "test_aug", False, "mean of a clip and its mirror image when measured (default false)")
    add_switch(flags, "dataparallel", True, "train on all of --gpu (default), or false for the first alone")
    add_switch(flags, "distributed", False, "the same; torchrun starts more processes")
    add_number(flags, "weight_decay", 1e-5, "the optimiser's, the original's", least=0)
    add_number(
        flags, "cutout", 0.5, "share of words of whose mouths a square is hidden; the original's: 1", least=0
    )
    add_number(
        flags, "time_mask", 0, "frames, at most, that a clip's mean frame stands for (the paper: no)", least=0
    )
    reduce = f"a tenth of --lr after {EPOCHS_AT_FULL_RATE} passes over the words, as the original (default: for sgd)"
    add_switch(flags, "reduce_lr_at_1epoch", None, reduce)


def read(network: nn.Module, batch: dict[str, Tensor], args: Namespace) -> tuple[Reading, dict[str, Tensor]]:
    """The network's reading of a training batch of `WordSamples`, and the batch as it was given, mixed with -mixup"""
    mouths, blind = batch["mouths"], None
    if not args.seen:
        mouths = change_mouths(mouths, batch.get("changes"))
    if args.mixup:
        batch, mouths = mixed(batch, mouths, args.classes, args.mixup)
    if args.blind:
        blind = torch.rand(len(mouths), device=mouths.device) < args.blind
    sound = batch["mel"] if args.memory else None
    return network(mouths, sound, batch["boundary"] if args.boundary else None, blind), batch


@torch.no_grad()
def validate(
    model: LipReader, store: ClipStore, ids: list[str], device: torch.device, mirrored: bool = False
) -> dict[str, float]:
    """Share of words that are read wrong from the mouth alone, and from mouth and sound"""
    if not ids:
        return {}
    samples = WordSamples(
        store, ids, model.classes, model.config["size"], model.config["view"], seed=0, augment=False
    )
    wrong: dict[str, int] = {}
    for batch in DataLoader(WholeWords(samples, ids), batch_size=32):
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        views = [batch["mouths"], batch["mouths"].flip(-1)][: 1 + mirrored]
        boundary = batch["boundary"] if model.config["boundary"] else None
        readings = [model(change_mouths(one, None), batch["mel"], boundary) for one in views]
        for name in ("recalled", "heard"):
            logits = [getattr(reading, name) for reading in readings]
            if logits[0] is not None:
                count = int((sum(logits).argmax(1) != batch["label"]).sum())
                wrong[name] = wrong.get(name, 0) + count
    return {f"{name}_error": count / len(ids) for name, count in wrong.items()}


def train(args: Namespace, device: torch.device) -> None:
    """The loop: a batch read from the mouth, and from mouth and sound; the losses; now and then a validation."""
    store = aligned_store(args.dataset_dir)
    ids = dict(
        train=word_ids(store, "train", args.splits), val=word_ids(store, "val", args.splits, optional=True)
    )
    per_epoch = -(-len(ids["train"]) // (args.batch_size * args.accumulate * world_size()))
    if args.epochs:
        args.steps = args.epochs * per_epoch
    reduced = args.opt == "sgd" if args.reduce_lr_at_1epoch is None else args.reduce_lr_at_1epoch
    args.reduce_at = EPOCHS_AT_FULL_RATE * per_epoch if reduced else 0
    classes = word_classes(store)
    args.classes = len(classes)
    model = build(args, classes, device)
    run = Run(args, device, dict(model=model), store, ids)
    options = dict(
        augment=args.augment, power=args.speaker_power, cutout=args.cutout, time_mask=args.time_mask
    )
    samples = WordSamples(store, ids["train"], classes, args.size, args.view, args.seed, **options)
    if args.seen:
        samples = seen_words(args, model, samples, store, ids["train"])
    network = run.parallel(model)
    weights = {name: value for name, value in vars(args).items() if name.endswith("_weight")}
    for batch in run.steps(samples):
        with run.autocast():
            reading, batch = read(network, batch, args)
            loss, parts = reading_loss(reading, batch, args.smoothing, **weights)
        run.update("model", loss)
        if run.step_done(parts, batch["mouths"].shape[:2].numel()):
            exported = run.averaged()
            chosen = spread(ids["val"], VALIDATED)
            run.save(exported, validate(exported, store, chosen, device), by="recalled_error")


def measure(args: Namespace, device: torch.device) -> None:
    """Prints the accuracy of weights on a split; lipread_test.py has the rest"""
    if not is_main():
        return
    store = aligned_store(args.dataset_dir)
    model = load_model(args.load_model, device, expect=LipReader)
    errors = validate(model, store, word_ids(store, args.mode, args.splits), device, args.test_aug)
    said = {name.removesuffix("_error"): 100 * (1 - value) for name, value in errors.items()}
    figures = ", ".join(f"{name} {value:.2f} %" for name, value in said.items())
    print(f"{args.load_model}, {args.mode}: words right, from the mouth and the sound {figures}")


def main(args: Namespace) -> None:
    launch(train if args.mode == "train" else measure, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
