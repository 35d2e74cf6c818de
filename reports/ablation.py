"""Which part of the networks earns what: trains them without it, for equal steps, and measures them.

    python -m reports.ablation --dataset_dir store/grid.h5 --splits DIR -o results/ablation
    make ablation STORE=store/grid.h5 SPLITS=DIR                      # the same
    python -m reports.ablation --only vgnet_direct vgnet_full ...             # these rows alone
    python -m reports.ablation --vg_flags= --vg_steps 100000 --at_flags= --at_steps 20000         # the paper's sizes

Trains each row with atnet.py or vgnet.py, measures it with atnet_test.py or vgnet_test.py, and puts the figures
together: ablation.md, a CSV of each table, and a picture of the rows' frames for one clip of each split. Captions name
commands, data, seed and machine. VG-net is driven by the true landmarks. To go on after a stop, run the same command
again: a training goes on from its own state, and what has been trained and measured is kept. -vg_flags and -at_flags
are what all rows of a network share; write them with an equals sign: -vg_flags="-width 64 -cuda false".
"""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.splits import add_split_flags, clip_ids
from data.store import ClipStore
from evaluation.output import write_csv, write_json
from evaluation.rows import AT_NET, FROM_TRUTH, STATIC, STILL
from reports.markdown import Line, Table, insert_into, marked_page
from reports.measure import Runner, check_inputs, execute, line
from reports.table_pictures import frames_of
from utils.cli import add_flag, add_number, check_least, parser
from utils.errors import UserError, run
from utils.files import replacing, writable_folder
from utils.media.drawing import cut_tile, grid
from utils.media.images import write_image

VG_FLAGS = "-width 16 -blocks 2 -dropout 0.1 -frames 8 -batch_size 4 -lr 6e-4 -ema 0.98 -mouth_weight 2"
AT_FLAGS = "-channels 16,32,32,64,64 -audio_features 256,128 -layers 2 -frames 30 -batch_size 12 -lr 6e-4"
AT_FLAGS += " -ema 0.998 -speaker_power 0.6"
SPLITS = {"test": "held out", "unseen": "unseen people"}
WARP_ALONE = "the landmark warp alone, no network"
STRIP = 6  # frames of a clip
VG_FIGURES = "mouth_psnr mouth_psnr_gain psnr ssim lmd_mouth opening_correlation sharpness_ratio".split()
VG_FIGURES += ["mouth_sharpness_ratio"]
AT_FIGURES = ["opening_correlation", "lmd_mouth", "lmd_mouth_ratio", "silence_opening"]


@dataclass(frozen=True)
class Variant:
    """One row: its folder, what it is, and the flags of its own; still: whether the warp alone is a row, too."""

    name: str
    title: str
    flags: str
    still: bool = False


@dataclass
class Study:
    """One network's table: how its rows are trained and measured, and how the test script names what they made."""

    name: str
    title: str
    made: str
    steps: int
    flags: str
    figures: list[str]
    variants: list[Variant]
    test_flags: list[object]


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_split_flags(flags, "train.txt, val.txt, test.txt and unseen.txt", store=True)
    add_flag(flags, "o", type=Path, default=Path("results/ablation"), help="where the results go")
    add_number(flags, "vg_steps", 600, "training steps of each VG-net")
    add_number(flags, "at_steps", 1200, "training steps of each AT-net")
    add_number(flags, "clips", 4, "clips of each split that VG-net is measured on")
    add_number(flags, "seed", 0, "of every training")
    add_flag(flags, "vg_flags", default=VG_FLAGS, help=f"vgnet.py's, of all rows (default {VG_FLAGS})")
    add_flag(flags, "at_flags", default=AT_FLAGS, help=f"atnet.py's, of all rows (default {AT_FLAGS})")
    rows = [one.name for one in (*vg_variants(0), *AT_VARIANTS)]
    add_flag(flags, "only", nargs="+", choices=rows, metavar="ROW", help=f"of {', '.join(rows)}")
    add_flag(flags, "readme", type=Path, help="a page to put the tables into, between its marks")
    args = flags.parse_args(argv)
    check_least(args, vg_steps=1, at_steps=1, clips=1, seed=0)
    if args.only and args.readme:
        raise UserError(f"-only: {args.readme} gets whole tables only; leave one of the two out")
    return args


AT_VARIANTS = [
    Variant("atnet_single", "single: no LSTM, no example", "-lstm false"),
    Variant("atnet_plain", "without augmentation", "-augment false"),
    Variant("atnet_full", "full, with LSTM", "-lstm true"),
]


def vg_variants(steps: int) -> list[Variant]:
    direct = "-warp none -attention none -dynamic_pixel_loss false"
    mouths = "-warp flow -motion_weight 1 -texture_weight 6 -adversarial_weight 0 -landmark_weight 0"
    mouths += " -mouth_adversarial_weight 0.1 -mouth_matching_weight 0.3"
    return [
        Variant("vgnet_direct", "direct regression, no attention", direct),
        Variant("vgnet_nd", "without dynamic pixel-wise loss (ND)", "-warp none -dynamic_pixel_loss false"),
        Variant(
            "vgnet_no_gan",
            "without discriminator, and its landmark loss",
            f"-warp none -adversarial_start {steps}",
        ),
        Variant("vgnet_full", "full, the paper's form at our loss weights", "-warp none"),
        Variant("vgnet_warp", "full, with the landmark warp", "-warp landmark", still=True),
        Variant("vgnet_flow", "full, with the learned flow on top of it", "-warp flow"),
        Variant("vgnet_mouths", "the learned flow, by the shipped weights' losses instead", mouths),
    ]


def studies(args: Namespace) -> list[Study]:
    """What is compared with what: all rows, or those that --only names"""
    vg = "VG-net with parts missing, from one example frame and true landmarks", FROM_TRUTH
    at = "AT-net with parts missing, from the sound alone", AT_NET
    rows = [
        one for one in (*vg_variants(args.vg_steps), *AT_VARIANTS) if one.name in (args.only or [one.name])
    ]
    vg_rows, at_rows = ([one for one in rows if one.name.startswith(name)] for name in ("vgnet", "atnet"))
    found = [
        Study(
            "vgnet",
            *vg,
            args.vg_steps,
            args.vg_flags,
            VG_FIGURES,
            vg_rows,
            ["--clips", args.clips, "--videos", 1],
        ),
        Study("atnet", *at, args.at_steps, args.at_flags, AT_FIGURES, at_rows, ["--videos", 0]),
    ]
    return [study for study in found if study.variants]


def training(args: Namespace, study: Study) -> list[str]:
    """What all rows of a network are trained by, without their folders"""
    places = ["--dataset", args.dataset, "--dataset_dir", args.dataset_dir]
    places += ["--splits", args.splits] if args.splits else []
    # The last two fifths of the steps go with a falling rate, unless the flags say otherwise.
    numbers = ["-steps", study.steps, "-cooldown", study.steps * 2 // 5, "-seed", args.seed]
    return ["python", f"{study.name}.py", *map(str, [*places, *numbers]), *shlex.split(study.flags)]


def train(args: Namespace, study: Study, variant: Variant) -> Path:
    """-> the weights of a row, trained to the end. Raises UserError where its folder has another command's."""
    folder = args.o / variant.name
    own = ["-model_dir", folder, "-sample_dir", folder / "samples"]
    command = shlex.join([*training(args, study), *shlex.split(variant.flags), *map(str, own)])
    record = folder / "training.json"
    before = json.loads(record.read_text()) if record.exists() else {"command": command, "finished": False}
    if before["command"] != command:
        raise UserError(f"{record}: was trained by another command; choose another -o, or delete {folder}")
    if not before["finished"]:
        write_json(record, before)
        execute(command)
        write_json(record, before | {"finished": True})
    return folder / f"{study.name}.safetensors"


def table(args: Namespace, study: Study, splits: list[str], runner: Runner) -> Table:
    """Trains and measures a network's rows."""
    weights = {one: train(args, study, one) for one in study.variants}
    lines, runs = [], []
    for split in splits:
        found = {one: measure(args, study, one, weights[one], split, runner) for one in study.variants}
        runs += found.values()
        rows = [titled(study, split, runs[-1], STATIC, STATIC)]
        for one, metrics in found.items():
            rows.append(titled(study, split, metrics, study.made, one.title, one.flags))
            if one.still:
                rows.insert(1, titled(study, split, metrics, STILL, WARP_ALONE))
        lines += rows
    note = f"Each row by `{shlex.join(training(args, study))}` with the flags of its own."
    return Table(study.name, study.title, lines, runs, note)


def measure(args: Namespace, study: Study, one: Variant, weights: Path, split: str, runner: Runner) -> dict:
    options = ["-model_name", weights, "--dataset", args.dataset, "--split", split, *study.test_flags]
    options += ["-still"] if one.still else []
    return runner(f"{one.name}_{split}", f"{study.name}_test.py", *options)


def titled(study: Study, split: str, metrics: dict, row: str, title: str, flags: str = "") -> Line:
    figures = line(SPLITS[split], metrics, row, study.figures)
    clips, _ = figures.pop("clips"), figures.pop("row")
    return {"clips": clips, "row": title, "flags of its own": f"`{flags}`" if flags else "-", **figures}


def pictures(args: Namespace, study: Study, splits: list[str], folder: Path, suffix: str) -> dict[str, str]:
    """Writes the rows' frames of the first clip of each split; -> file names, each with what it shows"""
    shown = {}
    for split in splits:
        folders = {one: args.o / f"{one.name}_{split}" for one in study.variants}
        shared = set.intersection(*({path.name for path in one.glob("*.mp4")} for one in folders.values()))
        if not shared:
            raise UserError(
                f"{args.o}: no video that all rows have; delete its folders *_{split}, and run it again"
            )
        clip = min(shared)
        name = f"ablation_{split}{suffix}"
        write_image(folder / name, strip({one: path / clip for one, path in folders.items()}))
        what = f"Lower faces of clip {Path(clip).stem} ({SPLITS[split]})"
        shown[name] = f"{what}, the same moments in every row of the table"
    return shown


def strip(videos: dict[Variant, Path]) -> np.ndarray:
    """Lower faces of STRIP frames: the true ones, then a row a variant, the warp alone before the one that has it"""
    rows = {}
    for one, path in videos.items():
        chosen = frames_of(path, STRIP)
        tiles = {"true frames": 0} | ({WARP_ALONE: 2} if one.still else {}) | {one.title: 1}
        for title, number in tiles.items():
            faces = [cut_tile(frame, number) for frame in chosen]
            rows.setdefault(title, np.concatenate([face[len(face) * 2 // 5 :] for face in faces], axis=1))
    return grid(list(rows.values()), columns=1, captions=list(rows))


def page(tables: list[Table], shown: dict[str, str], folder: str = "") -> str:
    """Tables and pictures in Markdown; folder: where the pictures are, seen from the page"""
    images = [f"![{text}]({folder}{name})\n\n<sub>{text}.</sub>" for name, text in shown.items()]
    return "\n\n".join([*(one.markdown() for one in tables), *images])


def main(args: Namespace) -> None:
    check_inputs(args.dataset_dir)
    if args.readme:
        marked_page(args.readme, "ablation.py")  # before hours are spent
    writable_folder(args.o)
    store = ClipStore(args.dataset_dir)
    splits = [
        one for one in SPLITS if clip_ids(store, args.dataset, one, args.splits, optional=one != "test")
    ]
    runner, chosen = Runner(args.o, args.dataset_dir, args.splits), studies(args)
    tables = [table(args, study, splits, runner) for study in chosen]
    for one in tables:
        write_csv(args.o / f"{one.name}.csv", one.lines)
    drawn = next((study for study in chosen if study.name == "vgnet"), None)
    text = page(tables, pictures(args, drawn, splits, args.o, ".png") if drawn else {})
    with replacing(args.o / "ablation.md") as part:
        part.write_text(text + "\n")
    if args.readme:
        shown = pictures(args, drawn, splits, args.readme.parent / "assets", ".jpg")
        insert_into(args.readme, page(tables, shown, "assets/"), "ablation.py")
    print(f"\n{text}\n\n{args.o}: ablation.md, {len(tables)} CSV files, pictures")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
