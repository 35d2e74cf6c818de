"""Prints every table of the README from the shipped weights and a clip store.

    python tables.py --dataset_dir store/grid.h5 --splits DIR -o results/tables
    make tables STORE=store/grid.h5 SPLITS=DIR                        # the same
    python tables.py ... --noise store/noise.h5                       # NR-net's, too

Runs the test scripts, each into a folder of its own, and puts their figures together: tables.md, a CSV of each table, a
picture of each curve, and a strip of frames. Each caption names the commands that printed the figures, the data, the
split and the machine. Nothing is random. Run it again to go on after a stop: what was measured with the same command
is kept, unless weights or store are newer. On two CPU cores it takes about half an hour.
"""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from utils.cli import add_flag, parser
from utils.curves import Panel, draw_figure
from utils.decode import read_video
from utils.errors import run
from utils.files import replacing, writable_folder
from utils.images import write_image
from utils.markdown import Table, caption, insert_into, marked_page
from utils.measure import ROOT, Runner, check_inputs, line, shorter
from utils.noise_table import NoiseTable
from utils.report import FIGURES, write_csv
from utils.scores import STATIC, TRUTH

FROM_TRUTH, FROM_SPEECH, AT_NET = "VG-net, true landmarks", "VG-net, AT-net's landmarks", "AT-net"
SNRS = [None, 20, 10, 0]  # dB; None: the voice as it was recorded
SIGMAS = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14]  # the original's range
NOISE_SNRS = "30,20,10,0,-10"
SPLITS = {"s1, held out": "test", "s2 and s27, unseen": "unseen"}
STRIP = 8  # frames of a clip

AT_FIGURES = [
    "opening_correlation",
    "lmd_mouth",
    "lmd_mouth_ratio",
    "opening_gain",
    "silence_opening",
    "pause_opening",
    "offset",
    "jitter_ratio",
]
VG_FIGURES = [
    "mouth_psnr",
    "mouth_psnr_gain",
    "psnr",
    "ssim",
    "lmd_mouth",
    "opening_correlation",
    "opening_gain",
    "mouth_cpbd_ratio",
    "mouth_sharpness_ratio",
    "offset",
    "jitter_ratio",
    "undetected",
]


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_flag(flags, "dataset_dir", type=Path, default=Path("store/grid.h5"), help="clip store")
    add_flag(flags, "splits", type=Path, help="folder of test.txt and unseen.txt with clip ids")
    add_flag(
        flags, "at_model", type=Path, default=ROOT / "weights/atnet.safetensors", help="AT-net's weights"
    )
    add_flag(
        flags, "vg_model", type=Path, default=ROOT / "weights/vgnet.safetensors", help="VG-net's weights"
    )
    add_flag(flags, "o", type=Path, default=Path("results/tables"), help="where the results go")
    add_flag(flags, "clips", type=int, default=16, help="clips of s1 that VG-net is measured on (default 16)")
    add_flag(
        flags, "curve_clips", type=int, default=4, help="clips of s1 for each point of its curve (default 4)"
    )
    add_flag(flags, "noise", type=Path, help="NOISE.h5 of preprocess.noise: measure the NR-nets, too")
    nets = [ROOT / f"weights/nrnet{kind}.safetensors" for kind in ("_base", "", "_base_tc", "_tc")]
    add_flag(flags, "nr_models", type=Path, nargs="+", default=nets, help="NR-nets' weights")
    add_flag(flags, "readme", type=Path, help="a page to put the tables into, between its marks")
    return flags.parse_args(argv)


class NetworkRunner(Runner):
    """Measures the two networks."""

    def __init__(self, args: Namespace) -> None:
        args.at_model, args.vg_model = shorter(args.at_model), shorter(args.vg_model)
        check_inputs(args.at_model, args.vg_model, args.dataset_dir)
        super().__init__(args.o, args.dataset_dir, args.splits)
        self.args = args

    def at_net(self, name: str, *options: object) -> dict:
        return self(name, "atnet_test.py", "-model_name", self.args.at_model, *options)

    def vg_net(self, name: str, *options: object) -> dict:
        networks = ["-model_name", self.args.vg_model, "-at_model", self.args.at_model]
        return self(name, "vgnet_test.py", *networks, *options)


def at_table(runner: NetworkRunner) -> Table:
    runs = {label: runner.at_net(f"atnet_{split}", "--split", split) for label, split in SPLITS.items()}
    rows = [AT_NET, STATIC, "truth on the PCA basis"]
    lines = [line(label, one, row, AT_FIGURES) for label, one in runs.items() for row in rows]
    return Table("atnet", "AT-net, from the sound alone", lines, list(runs.values()))


def vg_table(runner: NetworkRunner) -> Table:
    clips = {"test": ["--clips", runner.args.clips], "unseen": []}
    runs = {
        label: runner.vg_net(f"vgnet_{split}", "--split", split, *clips[split])
        for label, split in SPLITS.items()
    }
    rows = [STATIC, FROM_TRUTH, FROM_SPEECH, TRUTH]
    lines = [line(label, one, row, VG_FIGURES) for label, one in runs.items() for row in rows]
    return Table("vgnet", "VG-net, from one example frame", lines, list(runs.values()))


def voice_table(runner: NetworkRunner) -> Table:
    lines, runs = [], []
    for label, split in SPLITS.items():
        for snr in SNRS:
            noise = [] if snr is None else ["--snr", snr]
            folder = f"atnet_{split}" if snr is None else f"atnet_{split}_{snr}dB"
            runs.append(runner.at_net(folder, "--split", split, *noise))
            figures = line(label, runs[-1], AT_NET, AT_FIGURES[:5])
            lines.append(
                {"clips": figures.pop("clips"), "SNR, dB": "clean" if snr is None else snr, **figures}
            )
    return Table("voice_noise", "AT-net under white noise on the voice", lines, runs)


def landmark_table(runner: NetworkRunner) -> Table:
    clips = ["--split", "test", "--clips", runner.args.curve_clips, "--videos", 0]
    runs = [runner.vg_net(f"landmark_noise_{sigma}", *clips, "--landmark_noise", sigma) for sigma in SIGMAS]
    figures = ["lmd_mouth", "lmd_all", "opening_correlation", "ssim", "mouth_psnr_gain", "jitter_ratio"]
    lines = [
        {"sigma": sigma} | line("", one, FROM_TRUTH, figures) for sigma, one in zip(SIGMAS, runs, strict=True)
    ]
    lines = [{name: value for name, value in one.items() if name not in ("clips", "row")} for one in lines]
    return Table("landmark_noise", "VG-net from true landmarks under Gaussian noise", lines, runs)


def chart(table: Table, x: str, figures: list[str], out: Path) -> None:
    """Draws figures of a table over its column x, a line for each kind of clips; a word in x stands at the end"""
    places = list(dict.fromkeys(one[x] for one in table.lines))
    places = sorted(
        places, key=lambda place: (isinstance(place, str), place if not isinstance(place, str) else 0)
    )
    names = list(dict.fromkeys(one.get("clips", FROM_TRUTH) for one in table.lines))
    panels = []
    for figure in figures:
        lines = {}
        for name in names:
            chosen = [one for one in table.lines if one.get("clips", FROM_TRUTH) == name]
            values = {one[x]: np.nan if one[figure] is None else one[figure] for one in chosen}
            lines[name] = (range(len(places)), [values[place] for place in places])
        ticks = {number: str(place) for number, place in enumerate(places)}
        panels.append(Panel(FIGURES[figure].heading, lines, x, ticks=ticks))
    write_image(out, draw_figure(panels))


def strip(folder: Path, out: Path) -> None:
    """Frames of the side-by-side videos in `folder`, a clip a row of STRIP frames and its pictures one below another"""
    rows = []
    for path in sorted(folder.glob("*.mp4")):
        frames = list(read_video(path))
        chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, STRIP + 2).round().astype(int)[1:-1]]
        rows.append(np.concatenate(chosen, axis=0))
    if rows:
        write_image(out, np.concatenate(rows, axis=1))


def noise_tables(runner: NetworkRunner) -> str:
    """NR-nets in noise, of every split, as Markdown; the curves of the first go into a picture"""
    args, parts, runs = runner.args, [], []
    for label, split in SPLITS.items():
        models = [shorter(path) for path in args.nr_models]
        options = ["-m", *models, "-n", shorter(args.noise), "--split", split, f"-snr={NOISE_SNRS}"]
        runs.append(runner(f"nrnet_{split}", "nrnet_test.py", *options))
        table = NoiseTable.of_lines(runs[-1]["rows"])
        parts.append(
            f"**NR-net in noise: mouth LMD of {label} ({runs[-1]['clips']} clips)**\n\n{table.markdown()}"
        )
        if len(parts) == 1:
            write_image(args.o / "noise_curves.png", table.figure())
    return "\n\n".join([*parts, caption(["lmd_mouth"], runs, "Mean over the kinds of noise.")])


def show_pictures(page: Path, folder: Path) -> None:
    """Copies the pictures that the page shows out of its folder assets, where it shows such"""
    for picture in folder.glob("*.png"):
        if f"(assets/{picture.name})" in page.read_text():
            shutil.copyfile(picture, page.parent / "assets" / picture.name)


def main(args: Namespace) -> None:
    writable_folder(args.o)
    check_inputs(*([args.noise, *args.nr_models] if args.noise else []))
    pages = ["tables.py", *(["tables.py --noise"] if args.noise else [])]
    for name in pages if args.readme else []:
        marked_page(args.readme, name)
    runner = NetworkRunner(args)
    tables = [make(runner) for make in (at_table, vg_table, voice_table, landmark_table)]
    for table in tables:
        write_csv(args.o / f"{table.name}.csv", table.lines)
    voice, landmarks = tables[2:]
    chart(voice, "SNR, dB", ["opening_correlation", "lmd_mouth_ratio"], args.o / "voice_noise.png")
    chart(landmarks, "sigma", ["lmd_mouth", "ssim"], args.o / "landmark_noise.png")
    strip(args.o / "vgnet_unseen", args.o / "unseen.png")
    text = "\n\n".join(table.markdown() for table in tables)
    texts = [text, *([noise_tables(runner)] if args.noise else [])]
    with replacing(args.o / "tables.md") as part:
        part.write_text("\n\n".join(texts) + "\n")
    if args.readme:
        for name, text in zip(pages, texts, strict=True):
            insert_into(args.readme, text, name)
        show_pictures(args.readme, args.o)
    print("\n", *texts, f"{args.o}: tables.md, {len(tables)} CSV files, pictures", sep="\n\n")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
