"""Measures the shipped weights on a clip store, and writes docs/results.md with its curves.

    python -m reports.tables --dataset_dir store/grid.h5 --splits DIR
    make tables STORE=store/grid.h5 SPLITS=DIR NOISE=store/noise.h5         # NR-net's tables, too
    make tables STORE=store/grid.h5 SPLITS=DIR WILD=store/wild.h5           # and all clips of a store of free speech

Runs the test scripts, each into a folder of -o. Nothing is random. Run it again to go on after a stop: what was
measured with the same command is kept, unless weights, store or lists of clips are newer. On two CPU cores it takes
about half an hour.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from evaluation.charts import line_charts
from evaluation.definitions import FIGURES
from evaluation.noise import NoiseTable
from evaluation.paper_metrics import REPORTED
from evaluation.rows import AT_NET, FROM_SPEECH, FROM_TRUTH, PLAIN, PROJECTED, STATIC, TRUTH
from reports.pages import Table, legend, page_flags, parse_page, picture, prepare, provenance, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import run
from utils.media.images import write_image

SNRS = ["clean", 20, 10, 0]  # dB
SIGMAS = [0, 0.02, 0.04, 0.08]  # beyond, dlib finds hardly a face to measure
NOISE_SNRS = "30,20,10,0,-10"
SPLITS = {"test": "held out", "unseen": "unseen people"}
FREE = "free speech"  # of all clips of another store
AT_NETS = [Path(f"weights/atnet{kind}.safetensors") for kind in ("_whisper", "")]
NR_NETS = [Path(f"weights/nrnet{kind}.safetensors") for kind in ("_base", "", "_base_tc", "_tc")]
VOICE = "opening_correlation lmd_mouth lmd_mouth_ratio opening_gain silence_opening".split()
AT_FIGURES = [*VOICE, "pause_opening", "long_pause_opening", "offset", "jitter_ratio"]
FREE_FIGURES = "opening_correlation opening_correlation_best lmd_mouth lmd_mouth_ratio opening_gain".split()
FREE_FIGURES += ["long_pause_excess", "silence_opening", "offset", "audio_offset"]
FREE_PICTURES = "identity mouth_psnr mouth_psnr_gain mouth_sharpness_ratio eyes_depth undetected".split()
VG_FIGURES = (
    "mouth_psnr mouth_psnr_gain psnr ssim lmd_mouth opening_correlation opening_gain mouth_cpbd_ratio".split()
)
VG_FIGURES += (
    "mouth_sharpness_ratio identity eyes_psnr_gain eyes_depth offset jitter_ratio undetected".split()
)
LANDMARK_FIGURES = (
    "lmd_mouth lmd_all opening_correlation ssim mouth_psnr_gain jitter_ratio undetected".split()
)
LARGER_FIGURES = "mouth_sharpness_ratio mouth_psnr mouth_psnr_gain ssim lmd_mouth opening_correlation".split()
PAPER_FIGURES = ["lmd_mouth", "paper_ssim", "paper_psnr"]


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/tables")
    heard = "weights of AT-nets; the first one's landmarks drive VG-net"
    add_flag(flags, "at_models", type=Path, nargs="+", default=AT_NETS, help=heard)
    weights = Path("weights/vgnet.safetensors")
    add_flag(flags, "vg_model", type=Path, default=weights, help="VG-net's weights")
    add_flag(flags, "nr_models", type=Path, nargs="+", default=NR_NETS, help="NR-nets' weights")
    add_flag(flags, "noise", type=Path, help="NOISE.h5 of preprocess.noise: measure the NR-nets, too")
    add_flag(flags, "wild", type=Path, help="another store, of free speech: measure on all its clips, too")
    composed = "stores of larger crops than VG-net's: measure it at their size, too"
    add_flag(flags, "larger", type=Path, nargs="+", default=[], help=composed)
    add_number(flags, "clips", 16, "held-out clips that VG-net is measured on", least=1)
    add_number(flags, "larger_clips", 3, "clips of each such store", least=1)
    add_number(flags, "wild_clips", 4, "clips of free speech that VG-net is measured on", least=1)
    add_number(flags, "curve_clips", 3, "held-out clips for each point of its curve", least=1)
    return parse_page(flags, "reports.tables", argv)


def clips_of(metrics: dict) -> str:
    return f"{SPLITS.get(metrics['split'], FREE)} ({metrics['clips']} clips)"


def row(metrics: dict, name: str, figures: Sequence[str]) -> dict:
    """These figures of one row of a metrics.json"""
    return {figure: metrics["rows"][name].get(figure) for figure in figures}


def lines_of(runs: Sequence[dict], rows: Sequence[str], figures: Sequence[str]) -> list[dict]:
    return [{"clips": clips_of(one), "row": name} | row(one, name, figures) for one in runs for name in rows]


def at_tables(runs: Runs, args: Namespace) -> Iterator[Table]:
    """AT-net by itself, and with white noise on the voice"""
    found = {}
    for model, split, snr in product(args.at_models, SPLITS, SNRS):
        options = ["-model_name", model, "--split", split, *(["--snr", snr] * (snr != "clean"))]
        found[model, split, snr] = runs.measure(f"{model.stem}_{split}_{snr}", "atnet_test.py", *options)
    clean = [metrics for (*_, snr), metrics in found.items() if snr == "clean"]
    note = f"*{PROJECTED}*: the true motion on the components of the first, as near as it can come."
    lines = heard_lines(clean, [STATIC, PROJECTED], AT_FIGURES)
    yield Table("From the sound alone: AT-net, and AT-net on Whisper's features", lines, clean, note)
    lines = [
        {"clips": clips_of(one), "row": name_of(one), "SNR, dB": n} | row(one, AT_NET, VOICE)
        for (*_, n), one in found.items()
    ]
    yield Table("White noise on the voice", lines, [*found.values()])


def name_of(metrics: dict) -> str:
    """What a network is called in tables: its file"""
    return Path(metrics["weights"]).stem


def heard_lines(runs: Sequence[dict], more: Sequence[str], figures: Sequence[str]) -> list[dict]:
    """A line for each network on each kind of clips, and these rows of its first network"""
    lines = []
    for clips in dict.fromkeys(map(clips_of, runs)):
        same = [one for one in runs if clips_of(one) == clips]
        named = [(name_of(one), AT_NET, one) for one in same] + [(name, name, same[0]) for name in more]
        lines += [{"clips": clips, "row": label} | row(one, name, figures) for label, name, one in named]
    return lines


def vg_tables(runs: Runs, args: Namespace) -> Iterator[Table]:
    """VG-net by itself, beside the paper's figures, and with noise on its landmarks"""

    def measure(name: str, *options: object) -> dict:
        return runs.measure(name, "vgnet_test.py", "-model_name", args.vg_model, *options)

    whole = ["-at_model", args.at_models[0], "--paper_metrics", "--split"]
    found = [measure("vgnet_test", *whole, "test", "--clips", args.clips)]
    found += [measure("vgnet_unseen", *whole, "unseen")]
    lines = lines_of(found, [STATIC, FROM_TRUTH, FROM_SPEECH, TRUTH], VG_FIGURES)
    yield Table("VG-net, from one example frame", lines, found)
    lines = []
    for name, values in REPORTED.items():
        line = {"clips": "GRID's s29", "row": f"{name}, as reported"}
        lines.append(line | dict(zip(PAPER_FIGURES, values, strict=True)) | {"verified": "no"})
    ours = lines_of(found, [STATIC, FROM_TRUTH, FROM_SPEECH], PAPER_FIGURES)
    note = "Verified: printed by a command here. The paper's rows are quoted, and not comparable: other people, an LMD"
    note += (
        " of unstated scale. A PSNR that wraps and an SSIM of enlarged pictures flatter a still image too."
    )
    title = "The paper's figures beside ours: SSIM and PSNR by the original script's definitions"
    yield Table(title, lines + [one | {"verified": "yes"} for one in ours], found, note)
    options = ["--split", "test", "--clips", args.curve_clips, "--videos", 0, "--landmark_noise"]
    noisy = {sigma: measure(f"landmark_noise_{sigma}", *options, sigma) for sigma in SIGMAS}
    lines = [{"sigma": sigma} | row(one, FROM_TRUTH, LANDMARK_FIGURES) for sigma, one in noisy.items()]
    note = "sigma: in the original's units, in which a face is 1.55 wide; 0.02 is about a pixel."
    yield Table("VG-net from true landmarks under Gaussian noise", lines, [*noisy.values()], note)


def free_tables(args: Namespace) -> list[Table]:
    """AT-net, and the whole chain, on all clips of another store, none of whose frames is kept as a video"""
    runs = Runs(Namespace(**vars(args) | {"dataset_dir": args.wild, "splits": None}))
    options = ["--split", "all", "--videos", 0]
    at = [
        runs.measure(f"{one.stem}_wild", "atnet_test.py", "-model_name", one, *options)
        for one in args.at_models
    ]
    networks = ["-model_name", args.vg_model, "-at_model", args.at_models[0]]
    vg = runs.measure("vgnet_wild", "vgnet_test.py", *networks, *options, "--clips", args.wild_clips)
    pictures = [STATIC, FROM_TRUTH, FROM_SPEECH, TRUTH]
    figures = [*FREE_PICTURES, *(figure for figure in FREE_FIGURES if figure != "silence_opening")]
    return [
        Table("Free speech: landmarks", heard_lines(at, [STATIC, PROJECTED, TRUTH], FREE_FIGURES), at),
        Table("Free speech: frames", lines_of([vg], pictures, figures), [vg]),
    ]


def larger_table(args: Namespace) -> Table:
    """VG-net composed at the size of stores of larger crops, beside its frames enlarged to that"""
    found, lines = [], []
    for store in args.larger:
        runs = Runs(Namespace(**vars(args) | {"dataset_dir": store, "splits": None}))
        options = [
            "-model_name",
            args.vg_model,
            "--split",
            "all",
            "--clips",
            args.larger_clips,
            "--videos",
            0,
        ]
        found.append(runs.measure(f"larger_{store.stem}", "vgnet_test.py", *options))
        rows = [STATIC, PLAIN, FROM_TRUTH]
        lines += [{"store": store.stem, "row": one} | row(found[-1], one, LARGER_FIGURES) for one in rows]
    note = f"Composed: *{FROM_TRUTH}*. The clips come out of the same videos, cropped at that size."
    return Table("At the photo's resolution: composed, and enlarged from 128 pixels", lines, found, note)


def chart(table: Table, x: str, places: Sequence[object], figures: Sequence[str], path: Path) -> str:
    """Draws figures of a table over its column x, a line for each kind of clips; -> the picture in Markdown"""
    panels: dict[str, dict[str, list[float]]] = {FIGURES[figure].heading: {} for figure in figures}
    for figure, lines in zip(figures, panels.values(), strict=True):
        for one in sorted(table.lines, key=lambda one: places.index(one[x])):
            value = float("nan") if one[figure] is None else one[figure]
            label = f"{one['row']}, {one['clips']}" if "clips" in one else FROM_TRUTH
            lines.setdefault(label, []).append(value)
    write_image(path, line_charts(panels, dict(enumerate(map(str, places))), x))
    return picture(path.name, f"{' and '.join(panels)} of the table above, over {x}")


def noise_parts(runs: Runs, args: Namespace) -> Iterator[str]:
    """NR-nets in noise, of every split; the curves of the first go into a picture"""
    for split in SPLITS:
        options = ["-m", *args.nr_models, "-n", args.noise, "--split", split, f"-snr={NOISE_SNRS}"]
        metrics = runs.measure(f"nrnet_{split}", "nrnet_test.py", *options)
        table = NoiseTable.of_lines(metrics["rows"])
        yield f"## NR-net in noise: mouth LMD of {clips_of(metrics)}\n\n{table.markdown()}"
        yield provenance([metrics], "Mean over the kinds of noise.")
        if split == "test":
            write_image(args.assets / "noise_curves.png", table.figure())
            yield picture("noise_curves.png", "Mouth LMD by kind of noise, over the ratio of speech to noise")


def main(args: Namespace) -> None:
    more = [*([args.noise, *args.nr_models] if args.noise else []), *([args.wild] if args.wild else [])]
    prepare(args, *args.at_models, args.vg_model, *args.larger, *more)
    runs = Runs(args)
    (at, voice), (vg, paper, landmarks) = at_tables(runs, args), vg_tables(runs, args)
    curves = ["opening_correlation", "lmd_mouth_ratio"]
    heard = chart(voice, "SNR, dB", SNRS[::-1], curves, args.assets / "voice_noise.png")
    moved = chart(landmarks, "sigma", SIGMAS, ["lmd_mouth", "ssim"], args.assets / "landmark_noise.png")
    noisy = [*noise_parts(runs, args)] if args.noise else []
    free = [*([larger_table(args)] if args.larger else []), *(free_tables(args) if args.wild else [])]
    parts = [at, vg, *free, paper, voice, heard, landmarks, moved, *noisy]
    parts.append(legend([at, vg, *free, paper, voice, landmarks]))
    write_page(args, "results", "Results of the shipped weights", parts)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
