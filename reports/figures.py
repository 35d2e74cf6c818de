"""Draws the README's pictures of faces from the shipped weights and a clip store.

    python -m reports.figures --dataset_dir store/grid.h5 --splits DIR -o assets
    python -m reports.figures --dataset_dir store/grid.h5 --splits DIR -only yaw voices
    make figures STORE=store/grid.h5 SPLITS=DIR README=README.md      # all, and into the README with their captions

Every face in them comes out of demo.py, called as a person would call it; its inputs, outputs and commands stay in
-work. Nothing is random. Run it again to go on after a stop: what the demo made of the same photo and sound is kept,
unless the weights are newer. On two CPU cores it takes about ten minutes.
"""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np

from data.splits import clip_ids
from data.store import Clip, ClipStore, group_of
from reports.demo_runs import DemoRuns
from reports.face_figures import ASTRONAUT, FIGURES, FIRST, SECOND, Material, Photo, Utterance
from reports.markdown import insert_into, marked_page
from reports.measure import ROOT, check_inputs, shorter
from utils.cli import add_flag, parser
from utils.errors import UserError, run
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import mouth_opening
from utils.files import writable_folder

VOICES = {
    "synthetic\nEnglish": ROOT / "audio/synthetic_english.ogg",
    "synthetic\nMandarin": ROOT / "audio/synthetic_mandarin.ogg",
    "synthetic\nGerman": ROOT / "audio/synthetic_german.ogg",
}


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_flag(flags, "dataset_dir", type=Path, default=Path("store/grid.h5"), help="clip store")
    add_flag(flags, "splits", type=Path, help="folder of test.txt and unseen.txt with clip ids")
    add_flag(flags, "o", type=Path, default=ROOT / "assets", help="where the pictures go (default assets)")
    add_flag(flags, "work", type=Path, default=Path("results/figures"), help="where the demo's files stay")
    add_flag(flags, "only", nargs="+", choices=FIGURES, default=[*FIGURES], help="these pictures alone")
    add_flag(flags, "readme", type=Path, help="a page to put the pictures into, between their marks")
    for name, network in (("at_model", "AT-net"), ("vg_model", "VG-net"), ("nr_model", "NR-net")):
        weights = ROOT / f"weights/{network.replace('-', '').lower()}.safetensors"
        add_flag(flags, name, type=Path, default=weights, help=f"{network}'s weights")
    return flags.parse_args(argv)


def gather(args: Namespace) -> Material:
    """The photos, sounds and weights that the pictures need. Raises UserError where one is missing."""
    weights = [shorter(path) for path in (args.at_model, args.vg_model, args.nr_model)]
    check_inputs(*weights, *VOICES.values())
    store, detector = ClipStore(args.dataset_dir), FaceDetector()
    people = {group_of(id): store[id] for id in reversed(clip_ids(store, "grid", "unseen", args.splits))}
    absent = [name for name in (FIRST, SECOND) if name not in people]
    if absent:
        raise UserError(f"{args.dataset_dir}: no clip of {absent[0]} in the split unseen; see --splits")
    told = store[clip_ids(store, "grid", "test", args.splits)[0]]
    widest = int(mouth_opening(people[SECOND].landmarks).argmax())
    photos = {ASTRONAUT: astronaut(detector)}
    photos |= {name: still(people[name], 0) for name in (FIRST, SECOND)}
    return Material(
        runs=DemoRuns(ROOT / "demo.py", args.work, *weights[:2], detector),
        detector=detector,
        photos=photos,
        open_mouth=still(people[SECOND], widest),
        speech=ROOT / "audio/speech.wav",
        voices=VOICES,
        utterance=Utterance(told.audio, mouth_opening(told.landmarks)),
        own_voice=Utterance(people[FIRST].audio, mouth_opening(people[FIRST].landmarks)),
        nr_model=weights[2],
    )


def astronaut(detector: FaceDetector, half: int = 150) -> Photo:
    """The head of scikit-image's astronaut, twice as large as it is there"""
    from skimage.data import astronaut

    photo = astronaut()
    landmarks, _ = find_face(photo, detector)
    x, y = landmarks.mean(0).astype(int)
    left, top = max(0, x - half), max(0, y - half)
    head = cv2.resize(photo[top : y + half, left : x + half], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return Photo(head, (landmarks - (left, top)) * 2 + 0.5)


def still(clip: Clip, number: int) -> Photo:
    """One frame of a clip, with the landmarks that the store has for it"""
    return Photo(
        np.ascontiguousarray(clip.frames([number])[0].movedim(0, -1).numpy()), clip.landmarks[number]
    )


def draw(name: str, material: Material, args: Namespace) -> str:
    """One picture into its file -> it as Markdown, with its caption and the command that draws it"""
    make, file, alt = FIGURES[name]
    caption = make(material, args.o / file)
    inputs = ["--dataset_dir", str(shorter(args.dataset_dir))]
    inputs += ["--splits", str(shorter(args.splits))] if args.splits else []
    command = shlex.join(["python", "figures.py", "-only", name, *inputs])
    return f"![{alt}]({shorter(args.o) / file})\n\n<sub>{caption} `{command}`</sub>"


def mark(name: str) -> str:
    return f"figures.py -only {name}"


def main(args: Namespace) -> None:
    writable_folder(args.o)
    writable_folder(args.work)
    for name in args.only if args.readme else []:
        marked_page(args.readme, mark(name))
    material = gather(args)
    for name in args.only:
        text = draw(name, material, args)
        if args.readme:
            insert_into(args.readme, text, mark(name))
        print(f"\n{text}\n", flush=True)
    print(f"{args.o}: {len(args.only)} pictures; the demo ran {material.runs.count} times")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
