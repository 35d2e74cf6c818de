"""One photo or video and one recording in, a talking face out.

    python demo.py                                            the default photo and speech -> results/demo.mp4
    python demo.py -p PHOTO -i AUDIO -sample_dir DIR -s NAME  any image, any audio or video file -> DIR/NAME.mp4
    python demo.py -p VIDEO -i AUDIO                          somebody's video, whose lips say something else
    python demo.py --list JOBS.csv                            many: columns photo, audio, name and any other flag
    python demo.py -size 256                                  the face alone, 256 x 256; --crop: the network's 128 x 128
    python demo.py --panel --paste_back --save_landmarks      more views of the same face, beside NAME.mp4
    python demo.py -at_model weights/atnet.safetensors        landmarks by the paper's AT-net, or by an NR-net's weights
    python demo.py --seed 2                                   the same, but the head moves in another way
    python demo.py --head_motion none                         the head stands still
    python demo.py --head_motion VIDEO                        as somebody's head moves; or of a file, MOTION.npy
    python demo.py --blink off                                eyes that stay as the photo has them

NAME.mp4 is the whole picture, speaking, at its own resolution. It is as long as the sound, with which memory does not
grow. Flags take one dash or two.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from animation.heads.motion import LEARNED, check_choice
from animation.talking.jobs import Job, read_jobs, run_jobs
from animation.talking.networks import Networks, load_networks
from animation.talking.talk import Made, talk
from animation.talking.wish import Wish, face_choice
from utils.cli import add_device_flags, add_flag, add_number, add_switch, parser, pick_device
from utils.errors import UserError, note, run
from utils.progress import bar
from utils.stopwatch import Stopwatch, report

ROOT = Path(__file__).parent
NO_COLUMNS = ("list", "sound_given", "profile", "words", "person", "others", "in_file", "save_name")


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags: ArgumentParser = parser(__doc__)
    add_flag(
        flags,
        "person",
        "-p",
        "-photo",
        "--photo",
        type=Path,
        nargs="+",
        help="photo of a face, or a video of somebody (default: scikit-image's astronaut); of several "
        "photos the one that looks at the camera",
    )
    add_flag(flags, "in_file", "-i", type=Path, help="any audio or video file (default audio/speech.wav)")
    add_flag(
        flags,
        "sample_dir",
        type=Path,
        default=Path("results"),
        help="folder of the results (default results)",
    )
    add_flag(flags, "save_name", "-s", default="demo", help="name of the results (default demo)")
    add_flag(
        flags,
        "at_model",
        type=Path,
        default=ROOT / "weights/atnet_whisper.safetensors",
        help="weights of the network that hears: an AT-net on Whisper's features (default), the paper's AT-net "
        "(weights/atnet.safetensors) or an NR-net (weights/nrnet.safetensors)",
    )
    add_flag(
        flags, "vg_model", type=Path, default=ROOT / "weights/vgnet.safetensors", help="VG-net's weights"
    )
    add_switch(
        flags, "lstm", None, "insist on an AT-net with (or without) LSTM; the weights say which theirs is"
    )
    add_flag(
        flags,
        "face",
        type=face_choice,
        help="of several faces, which: 2 for the second largest, or a place X,Y in it",
    )
    add_switch(
        flags,
        "hold",
        False,
        "a video shorter than the speech stands still at its end (default: back and forth)",
    )
    add_flag(
        flags,
        "head_motion",
        help="learned (default for photos), none, a file of motion (T, 6), or a video, whose head's motion is taken; "
        "a video of the person itself moves as it did, and with this flag lends its best picture as the photo",
    )
    add_number(flags, "motion_scale", 1.0, "of the head's motion", least=0, below=10)
    add_number(flags, "seed", 1, "another number is another learned motion", least=0)
    add_flag(
        flags,
        "hm_model",
        type=Path,
        default=ROOT / "weights/headmotion.safetensors",
        help="weights of --head_motion learned",
    )
    add_switch(flags, "blink", None, "blink now and then (default for photos), or off")
    add_number(flags, "blink_seed", 8, "another number is other times to blink", least=0)
    add_switch(flags, "crop", False, "NAME.mp4 is the face alone, as the network makes it")
    pixels = "NAME.mp4 is the face alone, at so many pixels a side (the network's are 128)"
    add_number(flags, "size", None, pixels, least=32, below=3073, kind=int)
    add_switch(flags, "panel", False, "also NAME_panel.mp4: landmarks, attention, motion, result")
    both = "NAME.mp4 is the face alone, and NAME_full.mp4 the whole photo"
    add_switch(flags, "paste_back", False, both)
    add_switch(flags, "save_landmarks", False, "also NAME_landmarks.npy: (T, 68, 2), pixels of the crop")
    add_flag(
        flags,
        "list",
        type=Path,
        help="a CSV file with the columns photo, audio, name and any other flags, one talking face a line",
    )
    add_switch(flags, "profile", False, "say how long each stage took, and when the first frame was written")
    add_device_flags(flags)
    args = flags.parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)
    args.sound_given = args.in_file is not None
    args.person, *args.others = args.person or [None]
    check_choice(args.head_motion)
    args.in_file = args.in_file or ROOT / "audio/speech.wav"
    if args.crop and args.size:
        raise UserError("--crop and -size: one says 128 pixels, the other says how many; give one of them")
    return args


def main(args: Namespace) -> None:
    if args.list:
        make_list(args)
        return
    wish, clock = Wish.of(args), Stopwatch()
    with clock.stage("load"):
        networks = load_for(args)
    made = talk(networks, wish, bar, clock)
    say_faceless(wish, made)
    print("\n".join(str(path) for path in made.files))
    if args.profile:
        print(report(clock, made.frames), file=sys.stderr)


def make_list(args: Namespace) -> None:
    """Makes what the list says and is not there yet. Raises UserError in the end where some of it failed."""
    columns = {name for name in vars(args) if name not in NO_COLUMNS}
    jobs = read_jobs(args.list, lambda words: parse_args([*args.words, *words]), columns)
    networks: dict[tuple, Networks] = {}
    failures: list[str] = []
    bars = tqdm(total=len(jobs), unit=" jobs", desc=args.list.name)

    def make(job: Job) -> None:
        key = (job.args.at_model, job.args.vg_model, job.args.lstm, job.args.cuda, job.args.device_ids)
        key += (moves(job.args),)
        if key not in networks:
            networks.clear()  # those of one kind at a time
            networks[key] = load_for(job.args)
        clock = Stopwatch()
        made = talk(networks[key], job.wish, partial(bar, leave=False), clock)
        say_faceless(job.wish, made)
        tqdm.write("\n".join(str(path) for path in made.files))
        if args.profile:
            tqdm.write(report(clock, made.frames), file=sys.stderr)

    try:
        with bars:
            there = run_jobs(jobs, make, bars.update, failures)
        if there:
            note(f"{args.list}: {there} of {len(jobs)} were there already")
    finally:
        for failure in failures:
            note(f"{args.list}, {failure}")
    if failures:
        raise UserError(
            f"{args.list}: {len(failures)} of {len(jobs)} failed; mend them and run the command again"
        )


def load_for(args: Namespace) -> Networks:
    device = pick_device(args.cuda, args.device_ids)
    return load_networks(args.at_model, args.vg_model, device, args.lstm, moves(args))


def moves(args: Namespace) -> Path | None:
    """The weights that move heads, where the flags may ask for them"""
    return args.hm_model if args.head_motion in (None, LEARNED) else None


def say_faceless(wish: Wish, made: Made) -> None:
    if made.faceless:
        note(f"{wish.subject}: {made.faceless} of {made.frames} frames show no face, and stay as they were")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
