"""Flags of the original's test scripts: what each does here, or why it has no meaning."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from data.splits import DATASETS
from utils.cli import add_flag, add_number, add_switch, file_name
from utils.errors import UserError, note

NETWORK = ("adaptive_spade", "warp_ref", "warp_ani", "spade_combine", "add_raw_loss", "use_new", "crop_ref")
NETWORK += ("no_warp", "no_atten")
MODES = ("facefore", "facefore_demo")
SAID = dict(
    example="clips are those of --dataset_dir, or of --tgt_video_path",
    serial_batches="clips come in their order anyway",
)  # switches that change nothing, and why
SAID_VALUES = dict(
    nThreads="frames are read as they are drawn",
    ref_dataset="--ref_video_path says which video it is",
    ref_dataroot="--ref_video_path says where the video is",
)
REFUSED = dict(
    tgt_rt_path="poses are fitted to the landmarks, see preprocess.pose",
    ref_rt_path="poses are fitted to the landmarks, see preprocess.pose",
    tgt_ani_path="the head in three dimensions is drawn on the way",
    ref_ani_path="the head in three dimensions is drawn on the way",
    ref_front_path="the face as seen from the front is found on the way",
    audio_drive="sound drives demo.py",
    tgt_ids="use --ref_img_id for the references, -frames for how many are made",
)


def add_original_flags(options: ArgumentParser) -> None:
    """The flags of the README's test commands that are not ours under another name"""
    name = "network's name: the weights are MODEL_DIR/NAME.safetensors, in place of -model_name"
    add_flag(options, "name", type=file_name("--name"), help=name)
    folder = Path("model/rhythmic")
    add_flag(options, "model_dir", type=Path, default=folder, help=f"folder for --name (default {folder})")
    epochs = "latest: the last weights, MODEL_DIR/NAME_last.safetensors; best (default): those of the best validation"
    add_flag(options, "which_epoch", default="best", help=epochs)
    add_flag(options, "dataset_mode", choices=MODES, default=MODES[1], help="the original's, for faces")
    corpus = "the corpus: grid and lrw have splits of their own, as -dataset; others are split as GRID is"
    add_flag(options, "dataset_name", help=corpus)
    for name in NETWORK:
        said = "weights know it; a contradiction is refused"
        said = "false: leave the moved head out; otherwise weights know it" if name == "warp_ani" else said
        add_switch(options, name, None, said)
    add_number(options, "n_frames_G", 1, "frames made in a row, 1", least=1)
    add_flag(
        options, "ref_img_id", default="", metavar="N,...", help="frames that are the references, from 0 on"
    )
    key = (
        "frame of the reference video that the head in three dimensions shows (default: the most frontal one)"
    )
    add_number(options, "ref_ani_id", None, key, least=0, kind=int)
    add_flag(options, "tgt_video_path", type=Path, help="video whose motion and expressions are drawn")
    add_flag(
        options, "ref_video_path", type=Path, help="video of the person who is drawn (default: the same)"
    )
    add_flag(options, "tgt_lmarks_path", type=Path, help="its landmarks, .npy (T, 68, 2), in place of dlib's")
    add_flag(options, "ref_lmarks_path", type=Path, help="the same of the reference video")
    add_flag(options, "tgt_audio_path", type=Path, help="its sound (default: its own)")
    add_switch(options, "finetune", False, "train on the person's own frames first (default false)")
    add_number(options, "finetune_shot", None, "at most so many of them (default: all)", least=1, kind=int)
    for name, why in SAID.items():
        add_switch(options, name, None, f"no meaning here: {why}")
    for name, why in (SAID_VALUES | REFUSED).items():
        add_flag(options, name, help=f"no meaning here: {why}")


def check_original(args: Namespace) -> None:
    """Says what has no meaning; raises UserError where the result would be another one than was asked for."""
    for name, why in (SAID | SAID_VALUES).items():
        if getattr(args, name) not in (None, False):
            note(f"--{name}: no meaning here: {why}")
    for name, why in REFUSED.items():
        if getattr(args, name) is not None:
            raise UserError(f"--{name} {getattr(args, name)}: no meaning here: {why}; leave it out")
    if args.n_frames_G > 1:
        raise UserError(f"--n_frames_G {args.n_frames_G}: frames are made one by one; give 1")
    for flag in ("ref_video_path", "tgt_lmarks_path", "tgt_audio_path"):
        if getattr(args, flag) and not args.tgt_video_path:
            raise UserError(f"--{flag} {getattr(args, flag)}: is for --tgt_video_path; give that too")
    if args.dataset_name in DATASETS:
        args.dataset = args.dataset_name


def weights_of(args: Namespace) -> Path:
    """The file that --name and --which_epoch, or -model_name, stand for. Raises UserError for another epoch."""
    if args.which_epoch not in ("best", "latest"):
        raise UserError(
            f"--which_epoch {args.which_epoch}: only the best and the latest weights are kept; give best or latest"
        )
    path = args.model_dir / f"{args.name}.safetensors" if args.name else args.model_name
    return path.with_stem(f"{path.stem}_last") if args.which_epoch == "latest" else path


def check_options(args: Namespace, config: dict) -> None:
    """Raises UserError where a flag contradicts the weights."""
    for name in NETWORK:
        given, own = getattr(args, name), config.get(name)
        if given is not None and own is not None and given != own and not (name == "warp_ani" and not given):
            raise UserError(
                f"--{name} {str(given).lower()}: the weights' network was trained with {str(own).lower()}"
            )


def read_numbers(flag: str, text: str, least: int) -> list[int]:
    """ "0,10" -> [0, 10]. Raises UserError."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdigit() and int(part) >= least for part in parts):
        raise UserError(
            f"{flag} {text}: give whole numbers from {least} on, separated by commas, for example 1,8"
        )
    return [int(part) for part in parts]
