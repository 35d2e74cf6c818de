"""Measures how well heads are drawn in other poses, or draws one video: self-reenactment and somebody else's motion.

    python rhythmic_test.py --name rhythmic --n_shot 1,8 --dataset_dir STORE.h5 --split test   a table of clips
    python rhythmic_test.py --dataset_dir STORE.h5 --split all --finetune                  any store, every clip
    python rhythmic_test.py --no_network --dataset_dir STORE.h5 --split all                what needs no weights
    python rhythmic_test.py --tgt_video_path A.mp4 --ref_video_path B.mp4 --ref_img_id 0,10   B with A's motion

How. The references are of the first quarter of a clip (the most frontal frame with open eyes, and others evenly, or
those of --ref_img_id); the rest, or -frames of it, is made again from its true landmarks and poses. Rows: the reference
repeated; moved by the head in three dimensions alone; by its landmarks alone (a thin plate); by both; the network
("full"), the same without the moved head (or other weights, -without_ani), the other composition (-composition), with
--finetune trained on for a minute on the first quarter; the truth. Landmarks, identity and pose of what was made are
dlib's. Writes SAMPLE_DIR/metrics.json, clips.csv, rhythmic.md, and of the first clips ID/test.mp4 and ID/rows.png.

STORE.h5 is of --crop static and has its poses (preprocess.pose). Flags of the original's test scripts work as there or
say why not: weights are MODEL_DIR/NAME.safetensors, which know their network's options.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import torch

from data.heads.motion import people_of, read_people
from data.heads.poses import PoseStore, default_path
from data.heads.rhythmic import check_store
from data.splits import clip_ids, spread
from data.store import ClipStore
from evaluation.flags import add_clip_flags, parse_command
from evaluation.output import progress, run_facts
from evaluation.rhythmic import rows
from evaluation.rhythmic.original import (
    add_original_flags,
    check_options,
    check_original,
    read_numbers,
    weights_of,
)
from evaluation.rhythmic.pictures import write_all
from evaluation.rhythmic.scores import Judge, Scores
from evaluation.rhythmic.table import RhythmicTable, publish
from evaluation.rhythmic.tasks import Task, Track, other_task, self_task, with_key
from models import RhythmicNet, load_model
from preprocess.single import read_single
from training.finetune import OwnFrames, fine_tune
from utils.cli import add_flag, add_number, add_switch, parser, renamed
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, note, run
from utils.files import writable_folder

NAMES = dict(dataroot="dataset_dir", results_dir="sample_dir", how_many="clips", gpu_ids="device_ids")


def parse_args(argv: list[str] | None = None) -> Namespace:
    options = parser(__doc__)
    add_weight_flags(options)
    add_original_flags(options)
    number = partial(add_number, options)
    add_flag(
        options,
        "n_shot",
        default="1",
        metavar="K,...",
        help="references; several: a table of each (default 1)",
    )
    frames = "frames of a clip that are made and measured, from the middle of what is left (default: all)"
    number("frames", None, frames, least=2, kind=int)
    number("videos", 4, "how many clips to write as videos and pictures", least=0)
    number("finetune_seconds", 60.0, "how long --finetune trains, on each clip", least=0)
    number("finetune_lr", 2e-4, "its learning rate", least=0)
    number("seconds", 20.0, "of --tgt_video_path and --ref_video_path, from the start", least=1)
    people = "speakers that are one person, a line a person, for the intervals"
    add_flag(options, "people", type=Path, metavar="FILE", help=people)
    add_flag(options, "poses", type=Path, metavar="FILE", help="the store's poses (default: STORE_pose.h5)")
    add_clip_flags(options, "results/rhythmic_test")
    words = renamed(sys.argv[1:] if argv is None else argv, NAMES)
    args = parse_command(options, "rhythmic_test.py", words)
    args.n_shot, args.ref_img_id = (
        read_numbers("--n_shot", args.n_shot, 1),
        read_numbers("--ref_img_id", args.ref_img_id, 0),
    )
    args.shots = [len(args.ref_img_id)] if args.ref_img_id else args.n_shot
    check_original(args)
    return args


def add_weight_flags(options: ArgumentParser) -> None:
    """Which networks"""
    shipped = Path(__file__).parent / "weights/rhythmic.safetensors"
    add_flag(options, "model_name", type=Path, default=shipped, help="weights (default: the shipped)")
    add_flag(
        options,
        "composition",
        type=Path,
        metavar="FILE",
        help="weights of the other composition, linear or not, for a row of theirs",
    )
    add_flag(options, "without_ani", type=Path, metavar="FILE", help="weights trained without the moved head")
    add_switch(options, "no_network", False, "only the rows that need no weights (default false)")


def load_networks(args: Namespace, device: torch.device) -> dict[str, RhythmicNet]:
    """The networks by their rows. Raises UserError for other weights."""
    if args.no_network:
        return {}
    path = weights_of(args)
    found = {rows.FULL: load_model(path, device, expect=RhythmicNet)}
    options = found[rows.FULL].config
    check_options(args, options)
    if args.warp_ani is False and options["warp_ani"]:
        if not options["warp_ref"]:
            raise UserError(f"{path}: without the moved head it warps nothing; leave --warp_ani false out")
        found[rows.FULL] = rows.drop_ani(found[rows.FULL])
    elif not args.without_ani and options["warp_ani"] and options["warp_ref"]:
        found[rows.NO_ANI] = rows.drop_ani(found[rows.FULL])
    if args.without_ani:
        found[rows.NO_ANI] = load_model(args.without_ani, device, expect=RhythmicNet)
    if args.composition:
        other = load_model(args.composition, device, expect=RhythmicNet)
        found[rows.composition_of(other)] = other
    return found


def check_size(networks: dict[str, RhythmicNet], size: int, where: Path) -> None:
    """Raises UserError for crops that a network was not trained on."""
    for name, network in networks.items():
        if network.config["size"] != size:
            raise UserError(
                f"{where}: its crops are {size} pixels, {name}'s network draws {network.config['size']}"
            )


def tune(network: RhythmicNet, task: Task, args: Namespace) -> RhythmicNet:
    """The network after a minute on the frames of the person that it may learn from"""
    person, pool = task.person, task.pool
    own = list(pool)[: args.finetune_shot] if args.finetune_shot else list(pool)
    frames = OwnFrames(person.images[own], person.landmarks[own], person.pose[own], person.face)
    tuned, steps = fine_tune(network, frames, args.finetune_seconds, args.finetune_lr)
    note(f"{person.id}: fine-tuned for {steps} steps on {len(own)} frames")
    return tuned


def make_rows(networks: dict[str, RhythmicNet], task: Task, args: Namespace) -> dict:
    """All rows of a task, and the row whose frames are the result"""
    made = rows.without_network(task) | rows.network_rows(networks, task)
    if args.finetune and networks:
        made[rows.TUNED] = rows.with_network(tune(networks[rows.FULL], task, args), task)
    return made | ({} if task.true is None else {rows.TRUTH: task.true})


def best_row(made: dict) -> str:
    return next(name for name in (rows.TUNED, rows.FULL, rows.BOTH) if name in made)


def evaluate(args: Namespace, device: torch.device) -> None:
    networks, store = load_networks(args, device), ClipStore(args.dataset_dir)
    check_size(networks, store.size, args.dataset_dir)
    poses, judge = PoseStore(args.poses or default_path(args.dataset_dir)), Judge()
    check_store(store, poses)
    ids = spread(clip_ids(store, args.dataset, args.split, args.splits), args.clips)
    jobs = [(id, count) for count in args.shots for id in ids]
    writable_folder(args.sample_dir)
    shown = set(ids[: args.videos])

    def work(job: tuple[str, int]) -> tuple[dict[str, Scores], int]:
        id, count = job
        task = self_task(Track.of(store[id], poses), count, args.frames, args.ref_img_id)
        task = with_key(task, args.ref_ani_id)
        made = make_rows(networks, task, args)
        if id in shown:
            write_all(
                args.sample_dir / (f"K{count}" if len(args.shots) > 1 else ""), task, made, best_row(made)
            )
        return judge.rows(task, made), len(task.pose)

    people = people_of(store.ids, read_people(args.people))
    who = {id: person for person, own in people.items() for id in own}
    tables, frames = {count: RhythmicTable(who) for count in args.shots}, 0
    answers = progress(share_out(jobs, work), len(jobs))
    for (id, count), (found, length) in zip(jobs, answers, strict=True):
        tables[count].add(id, found)
        frames += length
    if is_main():
        facts = run_facts(args, device, len(ids), frames)
        weights = {name: str(path) for name, path in weight_paths(args).items() if path}
        publish(args, tables, facts | dict(weights=weights, references=args.ref_img_id or args.shots))


def weight_paths(args: Namespace) -> dict[str, Path | None]:
    full = None if args.no_network else weights_of(args)
    return {rows.FULL: full, rows.NO_ANI: args.without_ani, "other composition": args.composition}


def draw_video(args: Namespace, device: torch.device) -> None:
    """--tgt_video_path: its motion and expressions, by the person of --ref_video_path, or by its own"""
    if not is_main():  # one video is no work to share
        return
    networks = load_networks(args, device)
    size = networks[rows.FULL].config["size"] if networks else 128
    check_size(networks, size, args.tgt_video_path)
    writable_folder(args.sample_dir)

    def read(video: Path, sound: Path | None, landmarks: Path | None) -> Track:
        return Track.of_arrays(video.stem, read_single(video, size, args.seconds, sound, landmarks))

    target = read(args.tgt_video_path, args.tgt_audio_path, args.tgt_lmarks_path)
    same = args.ref_video_path in (None, args.tgt_video_path)
    person = None if same else read(args.ref_video_path, None, args.ref_lmarks_path)
    judge = Judge()
    for count in args.shots:
        if person is None:
            task = self_task(target, count, args.frames, args.ref_img_id)
        else:
            task = other_task(person, target, count, args.frames, args.ref_img_id)
        task = with_key(task, args.ref_ani_id)
        made = make_rows(networks, task, args)
        folder = args.sample_dir / (f"K{count}" if len(args.shots) > 1 else "")
        write_all(folder, task, made, best_row(made))
        table = RhythmicTable()
        table.add(task.person.id, judge.rows(task, made))
        print(f"\n{table.markdown()}\n\n{folder / task.person.id}: test.mp4 ({best_row(made)}), rows.png")


def main(args: Namespace) -> None:
    launch(evaluate if args.tgt_video_path is None else draw_video, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
