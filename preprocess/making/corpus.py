"""The loop that all corpora share: workers, torchrun, resume, the list of skipped clips, the picture to look at."""

from __future__ import annotations

import csv
import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path

from tqdm import tqdm

from data.store import ALIGNED, STATIC, ClipStore
from data.store_writer import ClipArrays, StoreWriter
from preprocess.making.clip import Crop, RawClip, read_clip
from preprocess.making.contact_sheet import draw_contact_sheet
from preprocess.making.pieces import read_pieces, unfinished, video_of
from preprocess.making.workers import Workers
from utils.audio import FPS, SAMPLE_RATE
from utils.distributed import gather, group, is_main, rank, take_for_all, world_size
from utils.errors import UserError
from utils.face.detector import FaceDetector
from utils.face.landmarks import TEMPLATE
from utils.files import replacing
from utils.files.locks import Lock
from utils.versions import versions

PATIENCE = timedelta(days=7)  # so long one of torchrun's processes waits for the slowest
DIED = "the process that read it died: a damaged file, or too little memory"
PACKAGES = ("dlib-bin", "av", "opencv-python-headless", "numpy", "h5py")


@dataclass
class Tally:
    """What became of the clips: how many the store holds, how many of them are new, why others were skipped."""

    stored: int = 0
    new: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # id -> reason

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.stored + other.stored, self.new + other.new, self.skipped | other.skipped)


def add_arguments(parser: ArgumentParser, crop: str = ALIGNED) -> None:
    """The options that every corpus has. crop: the default of --crop"""
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels (default 128)")
    parser.add_argument(
        "--crop",
        choices=(ALIGNED, STATIC),
        default=crop,
        help=f"the face stands still in its crop, or the head moves in one fixed square (default {crop})",
    )
    parser.add_argument("--smoothing", type=float, help="of aligned crops, in frames (default 2)")
    parser.add_argument("--quality", type=int, default=95, help="of the JPEG frames (default 95); 101: PNG")
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="DIR",
        help="take DIR/CLIP.npy, (T, 68, 2) source pixels, instead of dlib",
    )
    parser.add_argument(
        "--ids", type=Path, metavar="TXT", help="only the clips that this file lists, one id a line"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips (of each word)")


def check_arguments(args: Namespace) -> None:
    """Raises UserError for options that make no sense."""
    if not 16 <= args.size <= 1024:
        raise UserError(f"--size {args.size}: give 16 to 1024 pixels")
    if not 1 <= args.quality <= 101:
        raise UserError(f"--quality {args.quality}: give 1 to 100, or 101 for PNG")
    if args.smoothing is not None and args.crop == STATIC:
        raise UserError(f"--smoothing {args.smoothing}: a static crop does not move; leave it out")
    if args.smoothing is not None and not 0 <= args.smoothing <= 250:
        raise UserError(f"--smoothing {args.smoothing}: give 0 to 250 frames")
    for name in ("workers", "limit"):
        number = getattr(args, name)
        if number is not None and number < 1:
            raise UserError(f"--{name} {number}: give a number from 1 up")
    if args.ids and not args.ids.is_file():
        raise UserError(f"{args.ids}: no such list of clips")
    if args.landmarks and not args.landmarks.is_dir():
        raise UserError(f"{args.landmarks}: no such folder of landmarks")


def make_store(store: Path, shards: Iterable[tuple[Path, list[RawClip]]], args: Namespace) -> None:
    """Makes or completes a store out of shards (file, clips), one after the other, and says what became of the clips.

    Raises UserError where no clip can be used; a single one that cannot is skipped. And where another run is at it: one
    would pack what the other has not finished.
    """
    total, lock = Tally(), Lock(store, "is being made")
    ranks = group(cuda=False, patience=PATIENCE) if "RANK" in os.environ else nullcontext()
    with ranks, closing(take_for_all(lock)), Workers(args.workers) as workers:
        for path, clips in shards:
            chosen = choose(clips, args)
            if chosen:
                total += make_shard(path, chosen, args, workers)
        if not is_main():
            return
        if not (total.stored or total.skipped):
            raise UserError(f"{args.raw}: none of its clips is chosen; see --ids and --limit")
        report(store, total)


def choose(clips: list[RawClip], args: Namespace) -> list[RawClip]:
    """The clips that --ids and --limit leave, each with its --landmarks file"""
    if args.landmarks:
        names = Counter(Path(clip.id).name for clip in clips)
        clips = [replace(clip, landmarks=_landmarks_file(args.landmarks, clip.id, names)) for clip in clips]
    if args.ids:
        wanted = set(args.ids.read_text().split())
        clips = [clip for clip in clips if clip.id in wanted]
    return clips[: args.limit]


def _landmarks_file(folder: Path, id: str, names: Counter) -> Path:
    """DIR/s1/bbaf2n.npy, or DIR/bbaf2n.npy where only one clip has that name"""
    name = Path(id).name
    file, short = folder / f"{id}.npy", folder / f"{name}.npy"
    return short if names[name] == 1 and short.exists() and not file.exists() else file


def make_shard(path: Path, clips: list[RawClip], args: Namespace, workers: Workers) -> Tally:
    """Makes or completes one file of the store; the main process learns the whole tally."""
    smoothing = Crop.smoothing if args.smoothing is None else args.smoothing
    crop = Crop(args.size, smoothing, args.quality, args.crop, getattr(args, "seconds", None))
    writer = StoreWriter(path, attributes(crop, args.landmarks is not None))
    mine = unfinished(clips[rank() :: world_size()], writer)
    tally = Tally()
    bar = tqdm(total=len(mine), desc=path.stem, unit="clip", disable=not (is_main() and mine))
    with bar:
        for clip, reasons in workers.map(partial(convert, writer=writer, crop=crop), mine):
            reasons = {clip.id: DIED} if reasons is None else reasons
            tally.new += list(reasons.values()).count("")
            tally.skipped |= {id: reason for id, reason in reasons.items() if reason}
            bar.set_postfix(skipped=len(tally.skipped), refresh=False)
            bar.update()
    tally = sum(gather(tally), Tally())
    if is_main():
        known = writer.finished() | set(tally.skipped)
        missing = {clip.id for clip in clips} - known - {video_of(id) for id in known}
        if missing:
            raise UserError(
                f"{path}: {len(missing)} clips that other machines made are not here; share the folder"
            )
        tally.stored = writer.pack()
    gather(None)  # nobody goes on before the parts are packed
    return tally


def attributes(crop: Crop, precomputed: bool) -> dict:
    """What the store says about how it was made"""
    parameters = {**crop.parameters(), "landmarks": "precomputed" if precomputed else "dlib, 68 points"}
    facts = {"fps": FPS, "sample_rate": SAMPLE_RATE, "size": crop.size, "template": TEMPLATE}
    found = {name: number or "unknown" for name, number in versions(PACKAGES).items()}
    return {**facts, "parameters": parameters, "versions": found}


def convert(clip: RawClip, writer: StoreWriter, crop: Crop) -> dict[str, str]:
    """Writes one clip, or its pieces -> by id, the reason why it was skipped, or nothing"""
    try:
        f"{clip.id} {clip.source}".encode()
    except UnicodeEncodeError:
        return {clip.id: "its name is not UTF-8, which stores keep; rename the file"}
    if not clip.id.isprintable():
        return {clip.id: "its name has control characters; rename the file"}
    reasons = {}
    for id, made in _made_of(clip, crop):
        if isinstance(made, ClipArrays):
            writer.add(id, made)
        reasons[id] = "" if isinstance(made, ClipArrays) else made
    return reasons


def _made_of(clip: RawClip, crop: Crop) -> Iterator[tuple[str, ClipArrays | str]]:
    """id, and arrays or the reason why there are none, of a clip or of its pieces"""
    try:
        detector = None if clip.landmarks else _detector()
        if crop.seconds is None:
            yield clip.id, read_clip(clip, crop, detector)
        else:
            yield from read_pieces(clip, crop, detector)
    except UserError as error:
        yield clip.id, str(error)
    except Exception as error:  # whatever a strange file does to the decoder: the other clips must not suffer
        yield clip.id, f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    return FaceDetector()


def report(store: Path, tally: Tally) -> None:
    """Writes the list of skipped clips and the contact sheet, prints the count. Raises UserError for an empty store."""
    listing, sheet = list_skipped(store, tally.skipped), beside(store, "contact.png")
    if not tally.stored:
        reason = next(iter(tally.skipped.values()))
        raise UserError(
            f"{store}: all {len(tally.skipped)} clips were skipped, see {listing}; the first: {reason}"
        )
    draw_contact_sheet(ClipStore(store), sheet)
    why = f" (reasons in {listing})" if tally.skipped else ""
    print(
        f"{store}: {tally.stored} clips, {tally.new} of them new; {len(tally.skipped)} skipped{why}; look at {sheet}"
    )


def list_skipped(store: Path, skipped: dict[str, str]) -> Path:
    """{id: reason} -> the list of skipped clips beside a store; where there are none, an old list goes"""
    listing = beside(store, "skipped.csv")
    if not skipped:
        listing.unlink(missing_ok=True)
        return listing
    utf_8 = dict(encoding="utf-8", errors="backslashreplace")  # for names that are not
    with replacing(listing) as part, part.open("w", newline="", **utf_8) as file:
        csv.writer(file).writerows([("clip", "reason"), *sorted(skipped.items())])
    return listing


def beside(store: Path, name: str) -> Path:
    """grid.h5 -> grid_NAME; a folder -> NAME inside"""
    return store / name if store.is_dir() else store.with_name(f"{store.stem}_{name}")
