"""Which part of the networks earns what: trains them without it, for equal steps, and writes docs/ablation*.md.

    python -m reports.ablation --dataset_dir store/grid.h5 --splits DIR
    python -m reports.ablation --page ablation_speech ...                     # of two pages that of lip-to-speech alone
    make ablation STORE=store/grid.h5 SPLITS=DIR                              # the same
    python -m reports.ablation --only vgnet_direct vgnet_full ...             # these rows alone
    python -m reports.ablation --vg_flags= --vg_steps 100000 --at_flags= --at_steps 20000         # the paper's sizes

Trains each row with atnet.py, vgnet.py or lip2speech.py and measures it with the script's test: VG-net from the true
landmarks, lip-to-speech on held-out clips alone. To go on after a stop, run the same command again: a training goes on
from its own state, and what has been trained and measured is kept. -vg_flags, -at_flags and -ls_flags are what all rows
of a network share; write them with an equals sign: -vg_flags="-width 64 -cuda false".
"""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from data.splits import DATASETS, clip_ids
from data.store import aligned_store
from evaluation.rows import AT_NET, FROM_TRUTH, STATIC, STILL
from evaluation.speech.rows import AVERAGE, OURS
from reports.pages import Table, legend, page_flags, parse_page, picture, prepare, write_page
from reports.runs import Runs
from reports.tables import SPLITS, clips_of, row
from utils.cli import add_flag, add_number
from utils.errors import UserError, run
from utils.media.drawing import cut_tile, grid
from utils.media.images import write_image
from utils.media.read import read_video

VG_FLAGS = "-width 16 -blocks 2 -dropout 0.1 -frames 8 -batch_size 4 -lr 6e-4 -ema 0.98 -mouth_weight 2"
AT_FLAGS = "-channels 16,32,32,64,64 -audio_features 256,128 -layers 2 -frames 30 -batch_size 12 -lr 6e-4"
AT_FLAGS += " -ema 0.998 -speaker_power 0.6"
LS_FLAGS = (
    "-size 64 -view 0.7 -front 12 -context 128 -decoder 32 -postnet 32 -noise 16 -judges 8 -sync_width 16"
)
LS_FLAGS += (
    " -window_size 75 -batch_size 4 -lr 1e-3 -amsgrad false -ema 0.98 -reconstruction_weight 1 -temp 0.2"
)
LS_FLAGS += " -adversarial_weight 0.02 -sync_weight 0.2"
PAGES = dict(ablation=("vgnet", "atnet"), ablation_speech=("lip2speech",))  # the scripts of each page
TITLES = dict(
    ablation="Networks with parts missing", ablation_speech="Lip-to-speech with parts missing, and more"
)
PREFIX = dict(vgnet="vg", atnet="at", lip2speech="ls")  # of the flags
MOUTHS = "-warp flow -motion_weight 1 -texture_weight 6 -adversarial_weight 0 -landmark_weight 0"
MOUTHS += " -mouth_adversarial_weight 0.1 -mouth_matching_weight 0.3"
ND = "-warp none -dynamic_pixel_loss false"
SKETCHED = "-text_weight 0.5 -sketch true -sketch_width 128"
SHIPPED = f"{SKETCHED} -decoder 0 -adversarial_weight 0 -sync_weight 0 -envelope_weight 3"
ROWS = {  # of each script: what a row is, and the flags of its own
    "vgnet": {
        "vgnet_direct": ("direct regression, no attention", f"{ND} -attention none"),
        "vgnet_nd": ("without dynamic pixel-wise loss (ND)", ND),
        "vgnet_no_gan": ("without discriminator, its landmark loss", "-warp none -adversarial_start {steps}"),
        "vgnet_full": ("full, the paper's form at our loss weights", "-warp none"),
        "vgnet_warp": ("full, with the landmark warp", "-warp landmark"),
        "vgnet_flow": ("full, with the learned flow on top of it", "-warp flow"),
        "vgnet_mouths": ("the learned flow, by the shipped weights' losses instead", MOUTHS),
    },
    "atnet": {
        "atnet_single": ("single: no LSTM, no example", "-lstm false"),
        "atnet_plain": ("without augmentation", "-augment false"),
        "atnet_full": ("full, with LSTM", "-lstm true"),
    },
    "lip2speech": {
        "lips_no_gan": ("without discriminators", "-adversarial_weight 0"),
        "lips_no_sync": ("without the sync net", "-sync_weight 0"),
        "lips_plain": ("without augmentation", "-augment false"),
        "lips_full": ("full, the paper's form at our loss weights", "-text_weight 0"),
        "lips_speaker": ("full, and a recording says whose voice is wanted", "-speaker true"),
        "lips_text": ("full, and the encoder reads letters", "-text_weight 0.5"),
        "lips_rows": ("full, letters, and rows told apart", "-text_weight 0.5 -rows 16"),
        "lips_linear": ("full, letters, and a linear sketch", "-text_weight 0.5 -sketch true"),
        "lips_sketch": ("full, letters, and a sketch by convolutions", SKETCHED),
        "lips_ours": ("the shipped weights' form and losses: no decoder", SHIPPED),
    },
}
WARPED, WARP_ALONE = "vgnet_warp", "the landmark warp alone, no network"  # a row that this one brings along
STRIP = 6  # frames of a clip
VG_FIGURES = "mouth_psnr mouth_psnr_gain psnr ssim lmd_mouth opening_correlation sharpness_ratio".split()
VG_FIGURES += ["mouth_sharpness_ratio"]
AT_FIGURES = ["opening_correlation", "lmd_mouth", "lmd_mouth_ratio", "silence_opening"]
STUDIES = {  # of each script: the table's title, how the test script names what a row made, and its figures
    "vgnet": ("VG-net with parts missing, from true landmarks", FROM_TRUTH, VG_FIGURES),
    "atnet": ("AT-net with parts missing, from the sound alone", AT_NET, AT_FIGURES),
    "lip2speech": (
        "On clips held out",
        OURS,
        "stoi estoi mel_distance wer wer_letters".split(),
    ),
}
TESTED = dict(lip2speech=["test"])  # the splits of a study; of the others all
BARS = dict(vgnet=STATIC, atnet=STATIC, lip2speech=AVERAGE)  # the row to beat


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/ablation")
    names = [name for rows in ROWS.values() for name in rows]
    add_flag(
        flags, "page", nargs="+", choices=PAGES, default=[*PAGES], help="which of the pages (default all)"
    )
    only = f"of {', '.join(names)}; pages then go to OUT/docs"
    add_flag(flags, "only", nargs="+", choices=names, metavar="ROW", help=only)
    add_flag(flags, "dataset", choices=DATASETS, default="grid", help="whose splits (default grid)")
    add_number(flags, "vg_steps", 600, "training steps of each VG-net", least=1)
    add_number(flags, "at_steps", 1200, "training steps of each AT-net", least=1)
    add_number(flags, "ls_steps", 300, "training steps of each lip-to-speech", least=1)
    add_number(flags, "clips", 4, "clips of each split that VG-net is measured on", least=1)
    add_number(flags, "seed", 0, "of every training", least=0)
    add_flag(flags, "vg_flags", default=VG_FLAGS, help=f"vgnet.py's, of all rows (default {VG_FLAGS})")
    add_flag(flags, "at_flags", default=AT_FLAGS, help=f"atnet.py's, of all rows (default {AT_FLAGS})")
    add_flag(flags, "ls_flags", default=LS_FLAGS, help=f"lip2speech.py's, of all rows (default {LS_FLAGS})")
    args = parse_page(flags, "reports.ablation", argv)
    shown = [name for page in args.page for script in PAGES[page] for name in ROWS[script]]
    if strange := [name for name in args.only or [] if name not in shown]:
        raise UserError(f"--only {strange[0]}: is no row of {' and '.join(args.page)}; leave --page out")
    return args


def train(script: str, runs: Runs) -> tuple[dict[str, tuple[Path, str, str]], str]:
    """-> {row: its weights, what it is, its own flags} of the rows that are asked for, and what all are trained by"""
    args, rows = runs.args, {}
    steps, flags = (getattr(args, f"{PREFIX[script]}_{name}") for name in ("steps", "flags"))
    # The last two fifths of the steps go with a falling rate, unless the flags say otherwise.
    numbers = ["-steps", steps, "-cooldown", steps * 2 // 5, "-seed", args.seed, *shlex.split(flags)]
    shared = ["--dataset", args.dataset, *runs.data, *numbers]
    for name, (title, own) in ROWS[script].items():
        if name in (args.only or [name]):
            own, folder = own.format(steps=steps), runs.out / name
            places = ["-model_dir", folder, "-sample_dir", folder / "samples"]
            runs(name, f"{script}.py", *shared, *shlex.split(own), *places, resumes=True)
            rows[name] = folder / f"{script}.safetensors", title, own
    return rows, shlex.join(["python", f"{script}.py", *map(str, shared)])


def study(script: str, splits: list[str], runs: Runs) -> list[object]:
    """Trains and measures a network's rows -> their table and, of VG-net, pictures; nothing where there are no rows"""
    (title, made, figures), (rows, command), parts = STUDIES[script], train(script, runs), []
    lines, found = [], []
    tests = dict(vgnet=["--clips", runs.args.clips, "--videos", 1], atnet=["--videos", 0]).get(script, [])
    for split in [one for one in splits if one in TESTED.get(script, splits)] if rows else []:
        metrics = {}
        for name, (weights, _, _) in rows.items():
            options = ["-model_name", weights, "--dataset", runs.args.dataset, "--split", split, *tests]
            options += ["-still"] * (name == WARPED)
            metrics[name] = runs.measure(f"{name}_{split}", f"{script}_test.py", *options)
        found += metrics.values()
        shown = [(found[-1], BARS[script], BARS[script], "")]
        shown += [(metrics[WARPED], STILL, WARP_ALONE, "")] if WARPED in metrics else []
        shown += [(metrics[name], made, what, own) for name, (_, what, own) in rows.items()]
        for one, key, what, own in shown:
            line = {"clips": clips_of(one), "row": what, "flags of its own": f"`{own}`" if own else "-"}
            lines.append(line | row(one, key, figures))
        if script == "vgnet":
            parts.append(pictures({name: runs.out / f"{name}_{split}" for name in rows}, split, runs.args))
    note = f"Each row by `{command}` with the flags of its own."
    return [Table(title, lines, found, note), *parts] if rows else []


def pictures(folders: dict[str, Path], split: str, args: Namespace) -> str:
    """Writes lower faces of STRIP frames of the first clip: the true ones, then a line a row; -> them in Markdown"""
    clip, lines = min(path.name for path in next(iter(folders.values())).glob("*.mp4")), {}
    for name, folder in folders.items():
        frames = list(read_video(folder / clip))
        chosen = np.linspace(0, len(frames) - 1, STRIP + 2).round().astype(int)[1:-1]
        tiles = {"true frames": 0} | ({WARP_ALONE: 2} if name == WARPED else {}) | {ROWS["vgnet"][name][0]: 1}
        for title, number in tiles.items():
            faces = [cut_tile(frames[place], number) for place in chosen]
            lines[title] = np.concatenate([face[len(face) * 2 // 5 :] for face in faces], axis=1)
    write_image(args.assets / f"ablation_{split}.jpg", grid([*lines.values()], 1, [*lines]))
    what = f"Lower faces of clip {clip[:-4]} ({SPLITS[split]}), the same moments in every row of the table"
    return picture(f"ablation_{split}.jpg", what)


def main(args: Namespace) -> None:
    prepare(args)
    store, runs = aligned_store(args.dataset_dir), Runs(args)
    splits = [one for one in SPLITS if clip_ids(store, args.dataset, one, args.splits, one != "test")]
    for page in args.page:
        parts = [part for script in PAGES[page] for part in study(script, splits, runs)]
        if tables := [part for part in parts if isinstance(part, Table)]:
            write_page(args, page, TITLES[page], [*parts, legend(tables)])


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
