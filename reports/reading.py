"""Measures the shipped lip reader on a store of words, and writes docs/words.md with its pictures.

    python -m reports.reading --dataset_dir store/words.h5 --noise store/noise.h5
    python -m reports.reading ... --sentences store/grid.h5 --splits DIR [--align GRID]     # and as a judge of faces
    make words WORDS=store/words.h5 NOISE=store/noise.h5 STORE=store/grid.h5 SPLITS=DIR     # the same

Runs lipread_test.py on the held-out words and on unseen people's, by mouth, by sound, by both, and in noise; and with
--sentences vgnet_test.py, whose frames, of true landmarks, of AT-net's and of NR-net's, the reader judges beside the
true ones. Nothing is random. Run it again to go on after a stop: what was measured with the same command is kept,
unless weights, store or lists of clips are newer.
"""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from pathlib import Path

from data.lips.words import word_ids
from data.splits import clip_ids
from data.store import aligned_store
from evaluation.output import pipes
from evaluation.reading.read import INPUTS, VIDEO
from evaluation.reading.table import CHANCE
from reports.pages import Table, legend, page_flags, parse_page, picture, prepare, provenance, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import UserError, run

SPLITS = {"test": "held out", "unseen": "unseen people"}
FIGURES = ("accuracy", "top5")
JUDGED = "words_read words_judged mouth_psnr mouth_psnr_gain".split()
REPORTED = {  # of LRW: as the READMEs of their repositories give them, verified by nobody here
    "visual-audio memory, Bi-GRU (Kim et al. 2021)": 0.854,
    "visual-audio memory, MS-TCN (Kim et al. 2021)": 0.859,
    "multi-head visual-audio memory, MS-TCN (Kim et al. 2022)": 0.885,
}
PICTURES = {
    "confusion": "Words said, in rows, and read, in columns; words that look alike lie side by side",
    "slots": "Which slots of the memory each word finds, by the mouth and by the true sound",
    "noise": "Words read right by sound, and by mouth and sound, in noise; dashed: by the mouth alone",
}


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/reading")
    flags.set_defaults(dataset_dir=Path("store/words.h5"))
    weights = Path("weights/lipread.safetensors")
    add_flag(flags, "model", type=Path, default=weights, help=f"the reader's weights (default {weights})")
    add_flag(
        flags, "noise", type=Path, metavar="NOISE.h5", help="kinds of noise beside white, of preprocess.noise"
    )
    help = (
        "a store of GRID's sentences: the reader judges VG-net's frames of its clips (--splits are of these)"
    )
    add_flag(flags, "sentences", type=Path, metavar="STORE.h5", help=help)
    help = "GRID's .align files, for a --sentences store that does not tell when words are said"
    add_flag(flags, "align", type=Path, metavar="GRID", help=help)
    add_number(flags, "clips", 16, "held-out sentences whose frames are judged", least=1)
    args = parse_page(flags, "reports.reading", argv)
    if args.sentences is None and (args.splits is not None or args.align is not None):
        raise UserError("--splits and --align: are of the sentences; give --sentences STORE.h5, too")
    return args


def held_out(runs: Runs, args: Namespace, splits: list[str]) -> tuple[Table, str]:
    """By each input, clip by clip and with mirror images -> the table, and the words in noise as Markdown"""
    lines, found = [], []
    for split in splits:
        for by, mirrored in [(by, False) for by in INPUTS] + [(VIDEO, True)]:
            options = ["--checkpoint", args.model, "--split", split, "--input", by]
            options += ["--test_aug", "true"] * mirrored
            if (split, by, mirrored) == ("test", VIDEO, False):
                options += ["--noise_table", *(["--noise", args.noise] if args.noise else [])]
            name = f"{split}_{by}{'_mirrored' * mirrored}"
            found.append(runs.measure(name, "lipread_test.py", *options))
            rows = found[-1]["rows"]
            what = f"{by}, and mirrored" if mirrored else by
            lines.append(line(found[-1], what, rows[f"lip reader, {by}"]))
        lines.append(line(found[-1], CHANCE, rows[CHANCE]))
    shipped = found[0]
    note, memory = "", shipped.get("memory", {}).get("seen")
    if memory:
        used = f"{memory['perplexity']:.0f} of {memory['slots']} slots' worth in use, {memory['dead']} dead"
        note = f"The memory, as the mouth asks it: {used}."
    return Table("Words read, heard, or both", lines, found, note), in_noise(shipped)


def line(metrics: dict, name: str, row: dict) -> dict:
    words = f"{SPLITS[metrics['split']]} ({metrics['clips']} words)"
    return {"words": words, "input": name} | {figure: row[figure] for figure in FIGURES}


def in_noise(metrics: dict) -> str:
    """The noise table of a metrics.json: a row an input and kind of noise, a column a ratio"""
    lines = metrics["noise"]
    ratios = list(dict.fromkeys(one["snr"] for one in lines))
    shares = {(one["input"], one["noise"], one["snr"]): one["accuracy"] for one in lines}
    clean = {by: share for (by, _, snr), share in shares.items() if snr == "clean"}
    noisy = list(dict.fromkeys((by, kind) for by, kind, snr in shares if snr != "clean"))
    rows = [
        [kind, by, *(f"{clean[by] if snr == 'clean' else shares[by, kind, snr]:.3f}" for snr in ratios)]
        for by, kind in sorted(noisy, key=lambda pair: pair[::-1])
    ]
    heads = ["noise", "input", *(snr if snr == "clean" else f"{snr} dB" for snr in ratios)]
    said = f"By the mouth alone, which hears no noise: {clean[VIDEO]:.3f}." if VIDEO in clean else ""
    return f"## Words in noise\n\n{pipes(heads, rows)}\n\n{provenance([metrics], said)}"


def judged(args: Namespace) -> Table:
    """What the reader makes of VG-net's frames, by row of vgnet_test.py"""
    runs, lines, found = Runs(Namespace(**vars(args) | {"dataset_dir": args.sentences})), [], []
    options = [
        "--at_model",
        Path("weights/atnet_whisper.safetensors"),
        "--nr_model",
        Path("weights/nrnet.safetensors"),
    ]
    options += ["--reader", args.model, "--videos", 0, *(["-align", args.align] if args.align else [])]
    store = aligned_store(args.sentences)
    for split, clips in (("test", ["--clips", args.clips]), ("unseen", [])):
        if not clip_ids(store, "grid", split, args.splits, optional=split != "test"):
            continue
        found.append(runs.measure(f"judge_{split}", "vgnet_test.py", *options, "--split", split, *clips))
        what = f"{SPLITS[split]} ({found[-1]['clips']} clips)"
        for name, row in found[-1]["rows"].items():
            lines.append({"clips": what, "row": name} | {figure: row.get(figure) for figure in JUDGED})
    return Table("Words read off made faces", lines, found, "The reader saw true frames alone in training.")


def published(table: Table) -> Table:
    """What others report of LRW, beside ours of GRID"""
    lines = [
        {"row": f"{name}, LRW, as reported", "accuracy": value, "verified": "no"}
        for name, value in REPORTED.items()
    ]
    lines.append({"row": "ours, GRID", "accuracy": table.lines[0]["accuracy"], "verified": "yes"})
    note = "Not comparable: LRW has 500 words of free speech by hundreds of people, GRID 51 words of one grammar, here "
    return Table("What others report", lines, table.runs[:1], note + "of one man.")


def main(args: Namespace) -> None:
    prepare(
        args, *(path for path in (args.model, args.noise, args.sentences, args.align) if path is not None)
    )
    store = aligned_store(args.dataset_dir)
    splits = [split for split in SPLITS if word_ids(store, split, optional=split != "test")]
    runs = Runs(Namespace(**vars(args) | {"splits": None}))
    table, noise = held_out(runs, args, splits)
    parts: list[object] = [table, noise]
    for name, what in PICTURES.items():
        shutil.copyfile(args.o / f"test_video/{name}.png", args.assets / f"words_{name}.png")
        parts.append(picture(f"words_{name}.png", what))
    tables = [table, *([judged(args)] if args.sentences else []), published(table)]
    write_page(args, "words", "Words read from the lips", [*parts, *tables[1:], legend(tables)])


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
