"""The loop that GRID and LRW share: clips -> a store, with workers, ranks, resume, a list of skipped clips, a picture."""

from __future__ import annotations

import csv
import os
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from data.store import ClipStore, StoreWriter
from preprocess.clip import Crop, RawClip, read_clip
from preprocess.contact_sheet import draw_contact_sheet
from preprocess.ranks import Ranks
from utils.audio import FPS, SAMPLE_RATE
from utils.errors import UserError
from utils.faces import FaceDetector
from utils.landmarks import TEMPLATE

PACKAGES = ("dlib-bin", "av", "opencv-python-headless", "numpy", "h5py")


@dataclass
class Tally:
    """What became of the clips: how many the store holds, how many are new, and why some were skipped."""

    stored: int = 0
    new: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # id -> reason

    def __str__(self) -> str:
        return f"{self.stored} clips in the store ({self.new} new), {len(self.skipped)} skipped"


def add_arguments(parser: ArgumentParser) -> None:
    """The options that every corpus has"""
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: one per core)"
    )
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels (default 128)")
    parser.add_argument(
        "--smoothing", type=float, default=2.0, help="of the alignment, in frames (default 2)"
    )
    parser.add_argument(
        "--quality", type=int, default=95, help="of the JPEG frames (default 95; above 100: PNG)"
    )
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="DIR",
        help="precomputed DIR/CLIP.npy, (T, 68, 2) source pixels, for dlib's",
    )
    parser.add_argument(
        "--ids", type=Path, metavar="TXT", help="only the clips that this file lists, one id a line"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")


def choose(clips: list[RawClip], args: Namespace) -> list[RawClip]:
    """The clips that --ids and --limit leave, each with its --landmarks file"""
    if args.ids:
        if not args.ids.is_file():
            raise UserError(f"{args.ids}: no such list of clips")
        wanted = set(args.ids.read_text().split())
        clips = [clip for clip in clips if clip.id in wanted]
    clips = clips[: args.limit]
    if not clips:
        raise UserError(f"{args.raw}: none of its clips is on the list; ids look like s1/bbaf2n")
    return _with_landmarks(clips, args.landmarks) if args.landmarks else clips


def _with_landmarks(clips: list[RawClip], folder: Path) -> list[RawClip]:
    """DIR/s1/bbaf2n.npy, or DIR/bbaf2n.npy where no two clips share that name"""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of landmarks")
    names = [Path(clip.id).name for clip in clips]
    chosen = []
    for clip, name in zip(clips, names, strict=True):
        file, short = folder / f"{clip.id}.npy", folder / f"{name}.npy"
        use_short = not file.exists() and short.exists() and names.count(name) == 1
        chosen.append(replace(clip, landmarks=short if use_short else file))
    return chosen


def build(clips: list[RawClip], path: Path, args: Namespace, ranks: Ranks) -> Tally:
    """Makes or completes the store at `path`. Raises UserError where that is impossible; single clips are skipped."""
    crop = Crop(args.size, args.smoothing, args.quality)
    writer = StoreWriter(path, attributes(crop, args.landmarks is not None))
    ids = {clip.id for clip in clips}
    before = writer.finished()
    mine = [clip for clip in clips[ranks.rank :: ranks.world] if clip.id not in before]
    tally = Tally()
    results = convert_all(mine, writer, crop, args.workers)
    for id, reason in tqdm(results, path.stem, len(mine), unit="clip", disable=ranks.rank > 0 or not mine):
        tally.new += not reason
        if reason:
            tally.skipped[id] = reason
    tallies = ranks.gather(tally)
    tally = Tally(0, sum(t.new for t in tallies), {id: t.skipped[id] for t in tallies for id in t.skipped})
    if ranks.rank == 0:
        missing = ids - writer.finished() - set(tally.skipped)
        if missing:
            raise UserError(
                f"{path}: {len(missing)} clips of other machines are not here; use a folder that all share"
            )
        tally.stored = writer.pack() if len(ids) > len(tally.skipped) else 0
        report(path, tally)
    ranks.gather(None)
    return tally


def attributes(crop: Crop, precomputed: bool) -> dict:
    """What the store says about how it was made"""
    parameters = {**asdict(crop), "landmarks": "precomputed" if precomputed else "dlib, 68 points"}
    sizes = {"fps": FPS, "sample_rate": SAMPLE_RATE, "size": crop.size, "template": TEMPLATE}
    return {**sizes, "parameters": parameters, "versions": {name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def convert_all(
    clips: list[RawClip], writer: StoreWriter, crop: Crop, workers: int
) -> Iterator[tuple[str, str]]:
    """(id, reason why it was skipped, or nothing) of each clip, as they are done"""
    if workers <= 1 or len(clips) <= 1:
        yield from (convert(clip, writer, crop) for clip in clips)
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers: one process per core is all there is to gain
    pool = ProcessPoolExecutor(min(workers, len(clips)), get_context("spawn"), initializer=_start_worker)
    try:
        jobs = [pool.submit(convert, clip, writer, crop) for clip in clips]
        for job in as_completed(jobs):
            jobs[jobs.index(job)] = None
            yield job.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker died (out of memory?); run the same command again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C reaches the first process, which lets the workers finish the clip in work."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    return FaceDetector()


def convert(clip: RawClip, writer: StoreWriter, crop: Crop) -> tuple[str, str]:
    """One clip into the store -> (id, reason why it was skipped, or nothing)"""
    try:
        writer.add(clip.id, read_clip(clip, crop, None if clip.landmarks else _detector()))
    except UserError as error:
        return clip.id, str(error)
    return clip.id, ""


def report(path: Path, tally: Tally) -> None:
    """Writes the list of skipped clips and the contact sheet beside the store."""
    listing = path.with_name(f"{path.stem}_skipped.csv")
    listing.unlink(missing_ok=True)
    if tally.skipped:
        with listing.open("w", newline="") as file:
            csv.writer(file).writerows([("clip", "reason"), *sorted(tally.skipped.items())])
    if tally.stored:
        draw_contact_sheet(ClipStore(path), path.with_name(f"{path.stem}_contact.png"))
