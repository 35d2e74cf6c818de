"""Prints the README's tables of Results and, with --noise, of NR-net, from the shipped weights and a clip store.

    python -m reports.tables --dataset_dir store/grid.h5 --splits DIR -o results/tables
    make tables STORE=store/grid.h5 SPLITS=DIR                        # the same
    python -m reports.tables ... --noise store/noise.h5                       # NR-net's, too

Runs the test scripts, each into a folder of its own, and puts their figures together: tables.md, a CSV of each table, a
picture of each curve, and a strip of frames. Each caption names the commands that printed the figures, the data, the
split and the machine. Nothing is random. Run it again to go on after a stop: what was measured with the same command
is kept, unless weights, store or lists of clips are newer. On two CPU cores it takes about half an hour.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from evaluation.noise import NoiseTable
from evaluation.output import write_csv
from evaluation.paper_metrics import REPORTED
from evaluation.rows import AT_NET, FROM_SPEECH, FROM_TRUTH, PROJECTED, STATIC, TRUTH
from reports.markdown import Table, caption, insert_into, marked_page
from reports.measure import ROOT, Runner, check_inputs, line, shorter
from reports.table_pictures import chart, copy_shown, strip
from utils.cli import add_flag, check_least, parser
from utils.errors import run
from utils.files import replacing, writable_folder
from utils.media.images import write_image

SNRS = [None, 20, 10, 0]  # dB; None: the voice as it was recorded
SIGMAS = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14]  # the original's range
NOISE_SNRS = "30,20,10,0,-10"
SPLITS = {"s1, held out": "test", "s2 and s27, unseen": "unseen"}

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
    args = flags.parse_args(argv)
    check_least(args, clips=1, curve_clips=1)
    return args


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
    rows = [AT_NET, STATIC, PROJECTED]
    lines = [line(label, one, row, AT_FIGURES) for label, one in runs.items() for row in rows]
    return Table("atnet", "AT-net, from the sound alone", lines, list(runs.values()))


def vg_table(runner: NetworkRunner) -> Table:
    runs = vg_runs(runner)
    rows = [STATIC, FROM_TRUTH, FROM_SPEECH, TRUTH]
    lines = [line(label, one, row, VG_FIGURES) for label, one in runs.items() for row in rows]
    return Table("vgnet", "VG-net, from one example frame", lines, list(runs.values()))


def vg_runs(runner: NetworkRunner) -> dict[str, dict]:
    clips = {"test": ["--clips", runner.args.clips], "unseen": []}
    return {
        label: runner.vg_net(f"vgnet_{split}", "--split", split, *clips[split], "--paper_metrics")
        for label, split in SPLITS.items()
    }


def paper_table(runner: NetworkRunner) -> Table:
    """The paper's figures, which nobody verified here, beside ours by the original script's definitions"""
    runs, figures = vg_runs(runner), ["lmd_mouth", "paper_ssim", "paper_psnr"]
    lines = [
        {"clips": "GRID's s29", "row": f"{name}, as reported"}
        | dict(zip(figures, values, strict=True))
        | {"verified": "no"}
        for name, values in REPORTED.items()
    ]
    for label, metrics in runs.items():
        lines += [
            line(label, metrics, row, figures) | {"verified": "yes"}
            for row in (STATIC, FROM_TRUTH, FROM_SPEECH)
        ]
    note = "Verified: printed by a command here. The paper's rows are quoted, and not comparable: other people, an LMD"
    note += (
        " of unstated scale. A PSNR that wraps, and an SSIM of enlarged pictures, flatter a still image too."
    )
    return Table(
        "paper",
        "The paper's figures beside ours: SSIM and PSNR by the original script's definitions, LMD by ours",
        lines,
        list(runs.values()),
        note,
    )


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
    figures = "lmd_mouth lmd_all opening_correlation ssim mouth_psnr_gain jitter_ratio undetected".split()
    lines = [
        {"sigma": sigma} | line("", one, FROM_TRUTH, figures) for sigma, one in zip(SIGMAS, runs, strict=True)
    ]
    lines = [{name: value for name, value in one.items() if name not in ("clips", "row")} for one in lines]
    return Table("landmark_noise", "VG-net from true landmarks under Gaussian noise", lines, runs)


MAKERS = at_table, vg_table, paper_table, voice_table, landmark_table


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


def main(args: Namespace) -> None:
    writable_folder(args.o)
    check_inputs(*([args.noise, *args.nr_models] if args.noise else []))
    pages = ["tables.py", *(["tables.py --noise"] if args.noise else [])]
    for name in pages if args.readme else []:
        marked_page(args.readme, name)
    runner = NetworkRunner(args)
    tables = [make(runner) for make in MAKERS]
    for table in tables:
        write_csv(args.o / f"{table.name}.csv", table.lines)
    voice, landmarks = tables[3:]
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
        copy_shown(args.readme, args.o)
    print("\n", *texts, f"{args.o}: tables.md, {len(tables)} CSV files, pictures", sep="\n\n")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
