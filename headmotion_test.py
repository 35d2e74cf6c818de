"""Measures whether heads move as heads do while somebody speaks.

    python headmotion_test.py -m weights/headmotion.safetensors --dataset_dir STORE.h5 --split test -o results/motion
    python headmotion_test.py -m model/*/headmotion.safetensors --dataset_dir STORE.h5 --split all -people people.txt

STORE.h5 needs its poses (`python -m preprocess.pose STORE.h5`). Of several weights by `headmotion.py -leave_out NAME`
each clip is measured with those that left it out, so that every person of a small store is held out once; a clip that
no file left out is measured with one that left out nobody, if there is one. Rows beside the networks': a still head,
chance alone, true motion of other people's clips (16 at most), and the true one. Writes metrics.json, clips.csv,
motion.md, spectra.png and a picture of some clips' tracks, with definitions.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from data.heads.motion import MotionClips, people_of, read_people
from data.splits import clip_ids, spread
from evaluation.flags import add_clip_flags, parse_command
from evaluation.motion.figures import WINDOW
from evaluation.motion.page import draw_spectra, draw_tracks, markdown
from evaluation.motion.rows import Fold, chosen, motions
from evaluation.motion.table import DEFINITIONS, MotionTable
from evaluation.output import corpus, progress, run_facts, write_csv, write_json
from models.checkpoint import HEADS, load_model
from utils.audio.loudness import Levels
from utils.cli import add_flag, add_number, parser
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, note, run
from utils.files import writable_folder, write_text
from utils.media.images import write_image

WEIGHTS = Path(__file__).parent / "weights/headmotion.safetensors"
OTHERS = (
    16  # clips of other people, beside each clip: more would take time and memory by the square of the clips
)


def parse_args(argv: list[str] | None = None) -> Namespace:
    options = parser(__doc__)
    help = f"weights of headmotion.py (default {WEIGHTS.name}, the shipped)"
    add_flag(options, "model_name", "-m", "--model", type=Path, nargs="+", default=[WEIGHTS], help=help)
    add_flag(options, "poses", type=Path, metavar="FILE", help="the store's poses (default: STORE_pose.h5)")
    add_flag(
        options, "people", type=Path, metavar="FILE", help="speakers that are one person, a line a person"
    )
    add_number(options, "seeds", 8, "motions that chance makes of each clip", least=1)
    add_number(options, "pictures", 2, "clips whose tracks are drawn", least=0)
    guidance = "how much more than it heard the flow makes of the loudness (default: as the weights say)"
    add_number(options, "guidance", None, guidance, least=0, kind=float)
    add_clip_flags(options, "results/headmotion_test")
    return parse_command(options, "headmotion_test.py", argv)


def load_folds(args: Namespace, device: torch.device) -> list[Fold]:
    """Raises UserError for other weights."""
    folds = [Fold.of(str(path), load_model(path, device, expect=HEADS)) for path in args.model_name]
    for fold in folds:
        if args.guidance is not None and "guidance" in fold.network.config:
            fold.network.config["guidance"] = args.guidance
    return folds


def known_to(folds: Sequence[Fold], ids: Sequence[str]) -> list[str]:
    """The clips that a network of each kind was not made to see. Raises UserError where there is none."""
    kinds = len({type(fold.network) for fold in folds})
    held = [id for id in ids if len(chosen(folds, id)) == kinds]
    if not held:
        raise UserError(
            f"{folds[0].name}: left out none of these clips; train with -leave_out, or measure on others"
        )
    if len(held) < len(ids):
        note(
            f"{len(ids) - len(held)} of {len(ids)} clips are in the training of all these weights; they are left out"
        )
    return held


def others_of(who: Mapping[str, str], id: str) -> list[str]:
    """who {clip: person} -> clips of other people than a clip's, `OTHERS` at most, of as many people as can be"""
    return spread([one for one in who if who[one] != who[id]], OTHERS)


def evaluate(args: Namespace, device: torch.device) -> None:
    folds, clips = load_folds(args, device), MotionClips(args.dataset_dir, args.poses)
    ids = spread(clip_ids(clips.store, args.dataset, args.split, args.splits), args.clips)
    ids = known_to(folds, ids)
    if max(clips.lengths[id] for id in ids) < WINDOW:
        raise UserError(
            f"{args.dataset_dir}: none of these clips has {WINDOW} frames; measure on longer ones"
        )
    people = people_of(clips.store.ids, read_people(args.people))
    who = {id: person for person, own in people.items() for id in own}
    writable_folder(args.sample_dir)

    def work(id: str) -> tuple:
        made = motions(chosen(folds, id), clips, id, others_of(who, id), args.seeds)
        return id, made, clips.loudness(id)

    table = MotionTable(who)
    for id, made, heard in progress(share_out(ids, work), len(ids)):
        table.add(id, made, heard)
    if is_main():
        frames = sum(clips.lengths[id] for id in ids)
        publish(args, table, clips, run_facts(args, device, len(ids), frames))


def publish(args: Namespace, table: MotionTable, clips: MotionClips, facts: dict) -> None:
    """Writes tables and pictures into args.sample_dir and prints the tables."""
    people, folder = len({table.people[id] for id in table.clips}), args.sample_dir
    said = f"{corpus(args)}, {args.split}: {facts['clips']} clips of {people} people, {facts['frames'] / 25:.0f} s"
    summary = table.summary()
    page = f"{said}; weights: {', '.join(map(str, args.model_name))}\n\n{markdown(summary)}\n"
    models = [str(path) for path in args.model_name]
    facts = facts | dict(people=people, models=models, seeds=args.seeds)
    write_json(folder / "metrics.json", {**facts, "rows": summary, "definitions": DEFINITIONS})
    write_csv(folder / "clips.csv", table.lines())
    write_text(folder / "motion.md", page)
    write_image(folder / "spectra.png", draw_spectra(table))
    for id in spread(table.clips, args.pictures):
        heard = clips.loudness(id)
        picture = draw_tracks(table.motions[id], Levels.of(heard).place(heard))
        write_image(folder / f"tracks_{id.replace('/', '_')}.png", picture)
    print(f"\n{page}\n{folder}: metrics.json, clips.csv, motion.md, spectra.png, tracks_*.png")


def main(args: Namespace) -> None:
    launch(evaluate, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
