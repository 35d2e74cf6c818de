"""Dubs held-out clips with each other's speech, measures the lips against who said it, and writes docs/dubbing.md.

    python -m reports.dubbing --corpus GRID --splits DIR
    python -m reports.dubbing --corpus GRID --splits DIR --wild FOLDER     free speech of strangers, too: figures alone

Pairs are clips that follow each other in a shuffled list. demo.py makes all of them from one list: the video of A with
the speech of B, and A's first frame, as a photo, with the same speech. Faces are then found in the files that it wrote.
"""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage.metrics import structural_similarity
from tqdm import tqdm

from animation.talking.lips import LOWER
from evaluation.landmark_metrics import best_correlation, correlation, lag_correlations, mean
from evaluation.output import environment, write_json
from reports.pages import Table, legend, page_flags, parse_page, write_page
from reports.runs import Runs
from utils.cli import add_flag, add_number
from utils.errors import UserError, run
from utils.face.alignment import apply_transform, crop_transforms
from utils.face.detector import FaceDetector, fill_gaps
from utils.face.landmarks import MOUTH, denoise, mouth_opening
from utils.files import writable_folder
from utils.media.images import write_image
from utils.media.read import read_video

LEFT, PHOTO, DUBBED = "A as it was", "A's first frame, as a photo", "A dubbed"
SUFFIXES = (".mp4", ".mpg", ".mov", ".avi", ".mkv")
STILL, TRUTH = "a mouth that stands still", "B, who said it"
ROWS = (LEFT, STILL, PHOTO, DUBBED, TRUTH)
COLUMNS = "opening_correlation opening_correlation_best opening_gain lmd_motion mouth_jitter ssim_outside above_nose"


class Pair(NamedTuple):
    """Two clips: of A the pictures, of B the sound; a name for their files"""

    name: str
    a: Path
    b: Path


class Faces(NamedTuple):
    """A video's frames at 25 a second, the face in them (T, 68, 2), and that in aligned 128-pixel crops"""

    frames: list[np.ndarray]
    points: np.ndarray
    aligned: np.ndarray


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/dubbing")
    add_flag(flags, "corpus", type=Path, default=Path("grid"), help="GRID's videos: s1/bbaf2n.mpg, ...")
    add_flag(flags, "wild", type=Path, help="a folder of other videos with sound, at any depth")
    add_number(flags, "clips", 16, "pairs of held-out clips", least=1)
    add_number(flags, "seed", 0, "of the pairs", least=0)
    args = parse_page(flags, "reports.dubbing", argv)
    if args.splits is None:
        raise UserError("--splits: give the folder of test.txt and unseen.txt")
    return args


def main(args: Namespace) -> None:
    for folder in (args.o, args.docs):
        writable_folder(folder)
    groups = {
        "held out": pairs_of(clips_of(args, "test"), args),
        "unseen people": pairs_of(clips_of(args, "unseen"), args),
    }
    if args.wild:
        found = sorted(path for path in args.wild.rglob("*") if path.suffix.lower() in SUFFIXES)
        groups["free speech of strangers"] = pairs_of(found, args, len(found))
    groups = {name: pairs for name, pairs in groups.items() if pairs}
    folder = make(args, [pair for pairs in groups.values() for pair in pairs])
    detector, lines = FaceDetector(), []
    for group, pairs in groups.items():
        scores = [measure(pair, folder, detector) for pair in tqdm(pairs, group, unit="pair")]
        for row in ROWS:
            means = {name: mean([one[row].get(name, np.nan) for one in scores]) for name in COLUMNS.split()}
            lines.append({"clips": f"{group} ({len(pairs)} pairs)", "row": row} | means)
    write_json(args.o / "metrics.json", {"rows": lines, "command": args.command})
    facts = {"command": args.command, "dataset": "grid", **environment(torch.device("cpu"))}
    runs = [facts | {"split": group, "clips": len(pairs)} for group, pairs in groups.items()]
    table = Table("Lips of a video that say other speech", lines, runs)
    write_page(args, "dubbing", "A video as the subject", [table, legend([table])])


def clips_of(args: Namespace, split: str) -> list[Path]:
    """The videos of a split. Raises UserError where the list or one of them is missing."""
    names = args.splits / f"{split}.txt"
    if not names.is_file():
        raise UserError(f"{names}: no such file; give --splits the folder of test.txt and unseen.txt")
    return [video_of(args.corpus, name) for name in names.read_text().split()]


def video_of(folder: Path, clip: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{clip}{suffix}").is_file():
            return folder / f"{clip}{suffix}"
    raise UserError(f"{folder / clip}: no such video; give --corpus the folder of s1, s2, ...")


def pairs_of(videos: list[Path], args: Namespace, count: int | None = None) -> list[Pair]:
    """Each of so many videos with the next one's speech, in an order drawn by the seed"""
    order = [videos[i] for i in np.random.default_rng(args.seed).permutation(len(videos))]
    nexts = [*order[1:], *order[:1]] if len(order) > 1 else []
    pairs = [Pair(f"{_name(a)}_{_name(b)}", a, b) for a, b in zip(order, nexts, strict=False)]
    return pairs[: count or args.clips]


def _name(video: Path) -> str:
    return f"{video.parent.name}_{video.stem}"


def make(args: Namespace, pairs: list[Pair]) -> Path:
    """Both videos of each pair by one command of demo.py's -> their folder"""
    given, jobs = writable_folder(args.o / "given"), args.o / "jobs.csv"
    lines = StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(["photo", "audio", "name"])
    for pair in pairs:
        photo = given / f"{pair.name}.png"
        if not photo.exists():
            write_image(photo, next(read_video(pair.a)))
        writer.writerow([pair.a, pair.b, f"{pair.name}_dubbed"])
        writer.writerow([photo, pair.b, f"{pair.name}_photo"])
    if not jobs.exists() or jobs.read_text("utf-8") != lines.getvalue():  # a newer list would be made anew
        jobs.write_text(lines.getvalue(), "utf-8", newline="")
    still = ("--head_motion", "none")  # of the photos, to compare with
    return Runs(args)("made", "demo.py", "--list", jobs, "-sample_dir", args.o / "made", *still, resumes=True)


def measure(pair: Pair, folder: Path, detector: FaceDetector) -> dict[str, dict[str, float]]:
    """Row -> its figures; fewer for rows that they say nothing about"""
    truth, left = find_faces(pair.b, detector), find_faces(pair.a, detector)
    photo, dubbed = (find_faces(folder / f"{pair.name}_{kind}.mp4", detector) for kind in ("photo", "dubbed"))
    said = moving_mouth(truth.aligned)
    return {
        LEFT: lips(left, truth),
        STILL: {"lmd_motion": float(np.linalg.norm(said, axis=-1).mean())},
        PHOTO: lips(photo, truth) | picture(photo, left),
        DUBBED: lips(dubbed, truth) | picture(dubbed, left),
        TRUTH: {"mouth_jitter": mouth_jitter(truth.aligned)},
    }


def find_faces(video: Path, detector: FaceDetector) -> Faces:
    frames = list(read_video(video))
    points = fill_gaps(detector.track(frames), longest=len(frames))
    return Faces(frames, points, denoise(apply_transform(crop_transforms(points), points)))


def lips(made: Faces, truth: Faces) -> dict[str, float]:
    """How the mouth moves, against the one whose speech it is, over the frames that both have"""
    count = min(len(made.aligned), len(truth.aligned))
    ours, theirs = made.aligned[:count], truth.aligned[:count]
    opening, said = mouth_opening(ours), mouth_opening(theirs)
    apart = np.linalg.norm(moving_mouth(ours) - moving_mouth(theirs), axis=-1)
    return {
        "opening_correlation": correlation(opening, said),
        "opening_correlation_best": best_correlation(lag_correlations(opening, said)),
        "opening_gain": float(opening.std() / said.std()),
        "lmd_motion": float(apart.mean()),
        "mouth_jitter": mouth_jitter(made.aligned),
    }


def moving_mouth(aligned: np.ndarray) -> np.ndarray:
    """(T, 68, 2) -> (T, 20, 2): the mouth without its clip's mean, so that two people can be compared"""
    mouth = aligned[:, MOUTH]
    return mouth - mouth.mean(0)


def mouth_jitter(aligned: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(aligned[:, MOUTH], n=2, axis=0), axis=-1).mean())


def picture(made: Faces, left: Faces) -> dict[str, float]:
    """What became of the picture beside mouth and jaw, against A's own frames"""
    outside, above = [], []
    for ours, theirs, points in zip(made.frames, left.frames, left.points, strict=False):
        _, likeness = structural_similarity(
            ours, theirs, win_size=7, channel_axis=-1, data_range=255, full=True
        )
        kept = np.ones(ours.shape[:2], bool)
        kept[lower_face(points)] = False
        outside.append(likeness.mean(-1)[kept].mean())
        top = max(1, int(points[29, 1]))
        above.append(np.abs(ours[:top].astype(int) - theirs[:top]).mean())
    return {"ssim_outside": mean(outside), "above_nose": mean(above)}


def lower_face(points: np.ndarray) -> tuple[slice, slice]:
    """points (68, 2) -> rows and columns of the box about mouth and jaw"""
    low, high = points[LOWER].min(0), points[LOWER].max(0)
    margin = 0.15 * (high[0] - low[0])
    (left, top), (right, bottom) = (np.maximum(edge, 0).astype(int) for edge in (low - margin, high + margin))
    return slice(top, bottom), slice(left, right)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
