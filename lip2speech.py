"""Train lip-to-speech: the mouth of a silent talking face to its voice (VCA-GAN, NeurIPS 2021).

    python lip2speech.py --grid store/grid.h5 --checkpoint_dir model/lip2speech --subject overlap
    python lip2speech.py --grid store/grid.h5 --subject overlap --batch_size 88 --epochs 500 --eval_step 720 \\
        --dataparallel True --gpu 0,1,2,3                       # the paper's, on four GPUs
    torchrun --nproc_per_node 8 lip2speech.py ...               # more, also over machines
    python lip2speech.py --grid store/grid.h5 --checkpoint WEIGHTS.safetensors --mode test    # its validation figures

The store comes from `python -m preprocess.grid`. The original's flags and ours mean the same: --grid is -dataset_dir,
--checkpoint_dir -model_dir, --checkpoint -load_model, --eval_step -validate_every, --window_size -frames,
--augmentations -augment, --gpu -device_ids, --workers -num_thread, --temp -temperature. --epochs counts passes over the
training clips, in place of -steps; --batch_size is that of all of --gpu together, under torchrun each process's. To
resume, run the same command again. Writes MODEL_DIR/NAME.safetensors, the weights of the best validation, for
lip2speech_test.py, NAME_last.safetensors, and NAME_state.pt, with the discriminators.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from torch import Tensor, nn

from data.lips.mouths import change_mouths
from data.lips.speech import MouthSamples
from data.lips.subjects import SUBJECTS, subject, subject_ids
from data.splits import ids_hash, spread
from data.store import ClipStore, aligned_store
from models import load_model
from models.lips.generator import LipToSpeech, Speech
from models.lips.judges import LEAST_FRAMES
from training.flags import add_training_flags
from training.lips import add_loss_flags, add_network_flags, build, warm_start
from training.log import mean_values
from training.loop import Run
from training.losses import frozen
from training.losses.lip2speech import (
    R1_EVERY,
    Batch,
    contrast_loss,
    generator_loss,
    judge_loss,
    masked_error,
    reconstruction_loss,
    text_loss,
)
from training.pictures import save_speech
from utils.audio.offset import read_offsets
from utils.cli import add_flag, add_number, add_switch, gpus_of_original, parser, renamed
from utils.distributed import is_main, launch, world_size
from utils.errors import UserError, note, run

NAMES = dict(
    grid="dataset_dir", checkpoint_dir="model_dir", checkpoint="load_model", eval_step="validate_every",
    window_size="frames", augmentations="augment", gpu="device_ids", workers="num_thread", temp="temperature",
)  # fmt: skip
CLIPS = 24  # of the validation, at most, the same each time


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    paper = "40 frames, rate 1e-4, 22 clips a GPU"
    add_training_flags(flags, "lip2speech", 100000, 22, 40, 1e-4, paper, beta1=0.9)
    add_run_flags(flags)
    add_network_flags(flags)
    add_loss_flags(flags)
    args = flags.parse_args(renamed(sys.argv[1:] if argv is None else argv, NAMES))
    if args.mode != "train" and args.load_model is None:
        raise UserError(f"--mode {args.mode}: needs the weights to measure; give --checkpoint FILE")
    if args.mode != "train" and args.offsets is not None:
        raise UserError(
            f"-offsets {args.offsets}: is for training; --mode {args.mode} measures clips as they are"
        )
    if args.adversarial_weight and args.frames < LEAST_FRAMES:
        raise UserError(f"--window_size {args.frames}: the discriminators need {LEAST_FRAMES} frames or more")
    if args.epochs and args.steps != flags.get_default("steps"):
        raise UserError(f"--epochs {args.epochs}: counts in place of -steps; give one of them")
    args.device_ids = gpus_of_original(args)
    if args.cuda and torch.cuda.is_available() and "LOCAL_RANK" not in os.environ:
        args.batch_size = -(
            -args.batch_size // len(args.device_ids.split(","))
        )  # the original's is that of all its GPUs together
    return args


def add_run_flags(flags: ArgumentParser) -> None:
    """Whose clips, for how long, and in what way"""
    help = f"{SUBJECTS} (default overlap); data/lips/subjects.py has the rules"
    add_flag(flags, "subject", type=subject, default="overlap", help=help)
    add_number(flags, "epochs", None, "passes over the training clips, in place of -steps", least=1, kind=int)
    help = (
        "table of preprocess.offsets: training clips whose sound is early or late are moved (the paper: no)"
    )
    add_flag(flags, "offsets", type=Path, metavar="CSV", help=help)
    modes = "val, test: only print what the weights of --checkpoint make of that split"
    add_flag(flags, "mode", choices=("train", "val", "test"), default="train", help=modes)
    add_switch(flags, "dataparallel", True, "train on all of --gpu (default), or false for the first alone")
    add_number(flags, "weight_decay", 1e-5, "Adam's, the original's", least=0)
    add_switch(flags, "amsgrad", True, "Adam's variant, the original's (default true)")


def ids_of(args: Namespace, store: ClipStore, split: str, optional: bool = False) -> list[str]:
    """The clips of a split. Raises UserError where there are none, unless `optional`."""
    return subject_ids(store, args.subject, split, args.splits, args.dataset, optional)


def offsets_of(args: Namespace, ids: list[str]) -> dict[str, float]:
    """The part of -offsets that is of these clips. Raises UserError where it has none of them."""
    if args.offsets is None:
        return {}
    table = read_offsets(args.offsets)
    own = {id: table[id] for id in ids if id in table}
    if not own:
        raise UserError(f"{args.offsets}: has none of the training clips; make it of {args.dataset_dir}")
    if len(own) < len(ids) and is_main():
        note(
            f"{args.offsets}: lacks {len(ids) - len(own)} of {len(ids)} training clips, which stay as they are"
        )
    return own


def hear(network: nn.Module, batch: Batch) -> Speech:
    """The generator's output for a batch of `MouthSamples`"""
    whole = bool((batch["frames"] == batch["mouths"].shape[1]).all())  # the one wait for a GPU
    mouths = change_mouths(batch["mouths"], batch.get("changes"))
    return network(mouths, None if whole else batch["frames"], voice=batch.get("voice"))


def teach_judges(
    judging: dict[str, nn.Module], speech: Speech, batch: Batch, run: Run, judged: bool
) -> tuple[dict[str, Tensor], Tensor | None]:
    """One step of the discriminators and of the sync net -> their losses; what the sync net hears in true mels"""
    parts, heard = {}, None
    if judged:
        with run.autocast():
            loss, parts = judge_loss(judging["judge"], batch, speech, (run.done + 1) % R1_EVERY == 0)
        run.update("judge", loss)
    if "sync" in judging:
        with run.autocast():
            heard = judging["sync"](batch["mel"])
        temperature = run.networks["sync"].temperature
        run.update("sync", contrast_loss(speech.seen.local.detach(), heard, batch["frames"], temperature))
        heard = heard.detach()
    return parts, heard


@torch.no_grad()
def validate(model: LipToSpeech, store: ClipStore, ids: list[str], device: torch.device) -> dict[str, float]:
    """Over whole clips, the same ones with the same noise each time: errors of mels, of the spectrum and of letters"""
    if not ids:
        return {}
    size, view, voice = model.config["size"], model.config["view"], model.voice is not None
    samples, rows = MouthSamples(store, ids, size, view, 0, 0, augment=False, voice=voice), []
    for number, id in enumerate(spread(ids, CLIPS)):
        clip = samples.whole(id)
        batch = {name: tensor.unsqueeze(0).to(device) for name, tensor in clip.items()}
        torch.manual_seed(number)
        speech = hear(model, batch)
        parts = reconstruction_loss(speech, batch)
        parts |= dict(fine=masked_error(speech.mels[2], batch["mel"], torch.ones_like(batch["mel"][:, 0])))
        if speech.seen.text is not None:
            parts["text"] = text_loss(speech.seen.text, batch)
        rows.append(parts)
    return mean_values(rows)


def train(args: Namespace, device: torch.device) -> None:
    """The loop: batch, discriminators' and sync net's updates, generator's update; now and then a validation."""
    store = aligned_store(args.dataset_dir)
    ids = dict(train=ids_of(args, store, "train"), val=ids_of(args, store, "val", optional=True))
    if args.epochs:
        args.steps = -(-args.epochs * len(ids["train"]) // (args.batch_size * args.accumulate * world_size()))
    model, judges = build(args, device)
    warm_start(dict(model=model) | judges, args)
    offsets = offsets_of(args, ids["train"])
    facts = dict(subject=args.subject) | (
        dict(offset_hash=ids_hash(f"{id} {offset:g}" for id, offset in offsets.items())) if offsets else {}
    )
    run = Run(args, device, dict(model=model) | judges, store, ids, **facts)
    options = dict(augment=args.augment, power=args.speaker_power, voice=args.speaker, cutout=args.cutout)
    options |= dict(tempo=args.tempo, offsets=offsets)
    samples = MouthSamples(store, ids["train"], args.size, args.view, args.frames, args.seed, **options)
    generate, judging = (
        run.parallel(model),
        {name: run.parallel(judge, name != "judge") for name, judge in judges.items()},
    )
    for batch in run.steps(samples):
        judged = "judge" in judging and run.done >= args.adversarial_start
        with run.autocast():
            speech = hear(generate, batch)
        parts, heard = teach_judges(judging, speech, batch, run, judged)
        judge = judges["judge"] if judged else None
        with run.autocast(), frozen(judges.values()):
            loss, generated = generator_loss(speech, batch, judge, judges.get("sync"), heard, args)
        run.update("model", loss)
        if run.step_done(parts | generated, batch["mouths"].shape[:2].numel()):
            exported = run.averaged()
            run.save(exported, validate(exported, store, ids["val"], device), by="fine")
            save_speech(run.picture(), run.bar.log, run.done, speech, batch)


def measure(args: Namespace, device: torch.device) -> None:
    """Prints the validation figures of weights on a split; lip2speech_test.py has the paper's figures"""
    if not is_main():
        return
    store = aligned_store(args.dataset_dir)
    model = load_model(args.load_model, device, expect=LipToSpeech)
    errors = validate(model, store, ids_of(args, store, args.mode), device)
    print(
        f"{args.load_model}, {args.mode}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in errors.items())
    )


def main(args: Namespace) -> None:
    launch(train if args.mode == "train" else measure, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
