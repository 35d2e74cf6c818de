"""Measures the lip reader: how many words it reads right from silent mouths, hears, or both (Kim et al., ICCV 2021).

    python lipread_test.py --lrw store/words.h5 --mode test --split all -sample_dir results/lipread_test
    python lipread_test.py --lrw store/lrw --checkpoint WEIGHTS.safetensors --batch_size 80 --backend GRU \\
        --mode test --radius 16 --n_slot 88 --test_aug True --gpu 0                    # the original's command
    python lipread_test.py ... --input both --noise_table --noise store/noise.h5       # with sound, and in noise
    python lipread_test.py --video FILE [--align FILE.align] [--out FILE.srt]          # any talking face

The store comes from `python -m preprocess.lrw`, or `python -m preprocess.words` for GRID's words. Prints one table and
writes SAMPLE_DIR/metrics.json, whose `accuracy` (top 1) and `top5` are shares of all words; reading.md; clips.csv;
classes.csv, with each word's most frequent mistake; confusion.png, where words that are taken for each other lie side
by side; and slots.png, which slots of the memory each word finds. With --noise_table, noise.csv and noise.png too:
words by sound, and by mouth and sound, in white noise and in the kinds of noise of --noise that are not from training.
Every run of a command writes the same; by torchrun or --gpu several processes share the words.

--video reads the face of any video instead: words wherever the network is sure of one, at least --sure, in a window
that slides over it; or what is read at the times that --align says. It prints them with their times, and writes them as
subtitles: SAMPLE_DIR/NAME.srt, or --out.

--input video: the mouth, and the sound that the memory recalls; both: the mouth and its true sound; audio: the sound
with nothing to see, for which the paper has no way. --test_aug adds the logits of a clip and of its mirror image. The
original's flags and ours mean the same: --lrw is -dataset_dir, --checkpoint -model_name, --n_slot -slots, --gpu
-device_ids. The weights know their own --backend, --n_slot and --radius; where one is given it must be theirs.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from data.lips.words import labels, word_ids
from data.splits import spread
from data.store import aligned_store
from evaluation.definitions import definitions
from evaluation.flags import add_clip_flags, parse_command
from evaluation.intervals import split_intervals
from evaluation.noise import read_recordings
from evaluation.output import progress, run_facts, write_json
from evaluation.reading.read import AUDIO, INPUTS, VIDEO, Outcome, WordReader, names_of
from evaluation.reading.sliding import SURE
from evaluation.reading.table import ReadingTable
from models import load_model
from models.reading.backends import BACKENDS
from models.reading.reader import LipReader
from utils.audio import SAMPLE_RATE
from utils.audio.raw_speech import SPEECH_RATE
from utils.cli import add_flag, add_number, add_switch, gpus_of_original, parser, renamed
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, note, run
from utils.files import writable_folder, write_text
from utils.media.read import resample

NAMES = dict(lrw="dataset_dir", checkpoint="model_name", n_slot="slots", gpu="device_ids")
OF_WORDS = dict(
    dataset_dir="lrw", split="split", splits="splits", clips="clips", input="input", noise_table="noise_table",
    noise="noise", batch_size="batch_size", mode="mode",
)  # fmt: skip
THEIRS = dict(backend="backend", slots="n_slot", radius="radius")  # options of the weights, by the flag


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_clip_flags(flags, "results/lipread_test")
    add_reading_flags(flags)
    add_reader_facts(flags)
    add_video_flags(flags)
    flags.set_defaults(dataset="lrw", dataset_dir=Path("store/words.h5"), split=None)
    args = parse_command(flags, "lipread_test.py", renamed(sys.argv[1:] if argv is None else argv, NAMES))
    args.split = args.split or args.mode
    if args.noise is not None and not args.noise_table:
        raise UserError(f"--noise {args.noise}: is for --noise_table; give that too")
    if args.test_aug and args.input == AUDIO and not args.noise_table:
        raise UserError("--test_aug: mirrors mouths, which --input audio does not see; leave it out")
    check_video_flags(flags, args)
    args.device_ids = gpus_of_original(args)
    return args


def check_video_flags(flags: ArgumentParser, args: Namespace) -> None:
    """Raises UserError for flags of a split's words beside --video, and for --video's without it."""
    if args.video is None:
        for name in ("align", "out", "sure"):
            if getattr(args, name) != flags.get_default(name):
                raise UserError(f"--{name} {getattr(args, name)}: is for --video FILE; give that too")
        return
    for name, flag in OF_WORDS.items():
        if getattr(args, name) != flags.get_default(name) and not (
            name == "split" and args.split == args.mode
        ):
            raise UserError(f"--{flag}: is for the words of a store; leave it out with --video")
    if args.align is not None and args.sure != flags.get_default("sure"):
        raise UserError(f"--sure {args.sure}: is for words wherever they are; with --align all are read")


def add_video_flags(flags: ArgumentParser) -> None:
    add_flag(
        flags,
        "video",
        type=Path,
        metavar="FILE",
        help="a video of a face to read, in place of a store's words",
    )
    help = "with --video: when which word is said, GRID's .align file; without, words are looked for"
    add_flag(flags, "align", type=Path, metavar="FILE", help=help)
    add_flag(flags, "out", type=Path, help="with --video: the subtitles (default: SAMPLE_DIR/NAME.srt)")
    help = f"with --video: probability from which a word is taken for one (default {SURE})"
    add_number(flags, "sure", SURE, help, least=0, below=1)


def add_reading_flags(flags: ArgumentParser) -> None:
    """By what network, how it reads, and on how many processes"""
    weights = Path(__file__).parent / "weights/lipread.safetensors"
    help = "weights of the lip reader (default: the shipped)"
    add_flag(flags, "model_name", type=Path, default=weights, help=help)
    help = "the split to measure on where --split does not say (default test)"
    add_flag(flags, "mode", choices=("val", "test"), default="test", help=help)
    help = "what the network goes by (default video)"
    add_flag(flags, "input", choices=INPUTS, default=VIDEO, help=help)
    add_switch(flags, "test_aug", False, "add the logits of a clip and of its mirror image (default false)")
    add_switch(flags, "noise_table", False, "also measure sound, and both, at 20 to -10 dB over noise")
    help = "with --noise_table: kinds of noise beside white, a file of preprocess.noise (to 4 kHz)"
    add_flag(flags, "noise", type=Path, metavar="NOISE.h5", help=help)
    add_number(flags, "batch_size", 32, "words at a time", least=1)
    add_switch(flags, "dataparallel", True, "measure on all of --gpu (default), or false for the first alone")
    add_switch(flags, "distributed", False, "the same; torchrun starts more processes")


def add_reader_facts(flags: ArgumentParser) -> None:
    """What the original had to be told about its weights"""
    theirs = "of the weights, which know it; another is a mistake"
    add_flag(flags, "backend", choices=tuple(BACKENDS), help=theirs)
    add_number(flags, "slots", None, theirs, least=2, kind=int)
    add_number(flags, "radius", None, theirs, least=0.1, kind=float)


def load_network(args: Namespace, device: torch.device) -> LipReader:
    """Raises UserError for other weights than the flags say, and for sound where the network does not hear."""
    network = load_model(args.model_name, device, expect=LipReader)
    for name, flag in THEIRS.items():
        given, own = getattr(args, name), network.config[name]
        if given is not None and given != own:
            raise UserError(f"{args.model_name}: has --{flag} {own}, not {given}; leave the flag out")
    asks = "--noise_table" if args.noise_table else f"--input {args.input}"
    if network.memory is None and asks != f"--input {VIDEO}":
        raise UserError(f"{args.model_name}: has no memory, and hears nothing; leave {asks} out")
    return network.eval()


def load_noises(path: Path | None) -> dict[str, list[np.ndarray]]:
    """The recordings (N,) of --noise at 16 kHz, by kind"""
    recordings = {} if path is None else read_recordings(path)
    return {
        kind: [resample(one, SPEECH_RATE, SAMPLE_RATE) for one in own] for kind, own in recordings.items()
    }


def evaluate(args: Namespace, device: torch.device) -> None:
    torch.backends.cudnn.deterministic = True
    network, store = load_network(args, device), aligned_store(args.dataset_dir)
    classes = names_of(network, store, args.model_name)
    ids = spread(word_ids(store, args.split, args.splits), args.clips)
    labels(ids, classes, store.path)  # a word that the network does not know is said before any work
    reader = WordReader(
        network, classes, args.input, args.test_aug, args.noise_table, load_noises(args.noise)
    )
    writable_folder(args.sample_dir)
    batches = [ids[start : start + args.batch_size] for start in range(0, len(ids), args.batch_size)]

    def outcomes(batches: Sequence[list[str]]) -> Iterator[Outcome]:
        for read in share_out(batches, lambda batch: reader.read(store, batch)):
            yield from read

    table = ReadingTable(classes, args.input)
    for id, outcome in zip(ids, progress(outcomes(batches), len(ids)), strict=True):
        table.add(id, outcome)
    if is_main():
        frames = sum(store.lengths[id] for id in ids)
        # The store's layout is LRW's, whichever corpus its words are of.
        facts = run_facts(args, device, len(ids), frames) | dict(dataset=Path(args.dataset_dir).stem)
        publish(args, table, facts)


def publish(args: Namespace, table: ReadingTable, facts: dict) -> None:
    """Writes the table into args.sample_dir and prints it. facts: for metrics.json."""
    mirrored = ", and mirrored" if args.test_aug else ""
    note = f"{facts['dataset']}, {args.split}: {facts['clips']} words; {args.model_name}{mirrored}"
    paths = [*table.write(args.sample_dir, note), args.sample_dir / "metrics.json"]
    results = split_intervals(table.summary())
    facts |= dict(weights=str(args.model_name), classes=len(table.classes)) | results["rows"][table.ours]
    facts |= {name: getattr(args, name) for name in ("input", "test_aug")}
    if table.has_memory:
        results["memory"] = table.slots.facts()
    if args.noise_table:
        results["noise"] = table.noise.lines()
        facts["noises"] = args.noise and str(args.noise)
    write_json(paths[-1], {**facts, **results, "definitions": definitions(results["rows"])})
    print(f"\n{table.page(note)}\n" + "\n".join(str(path) for path in paths))


def read_video(args: Namespace, device: torch.device) -> None:
    """--video: prints the words that are read from a face, and writes them as subtitles"""
    from evaluation.reading.videos import known_words, lines, subtitles, watch

    if not is_main():  # one video is no work to share
        return
    network = load_network(args, device)
    spoken = known_words(args.align, network.classes) if args.align else None
    out = args.out or args.sample_dir / f"{args.video.stem}.srt"
    for given in (args.video, args.align):
        if given is not None and out.resolve() == given.resolve():
            raise UserError(f"{out}: is what is to be read; choose another name for the subtitles")
    if network.classes == [str(number) for number in range(len(network.classes))]:
        raise UserError(f"{args.model_name}: its classes have no names; name them with convert.py --words")
    writable_folder(out.parent)
    video = watch(network, args.video, args.test_aug)
    words = video.words(args.sure) if spoken is None else video.words_at(spoken)
    write_text(out, "".join(subtitles(words)))
    print(
        "\n".join(lines(words)) or f"{args.video}: no word is read with a probability of {args.sure} or more"
    )
    if spoken is not None and len(words) < len(spoken):
        note(
            f"{args.video}: shows no face in the middle of {len(spoken) - len(words)} of {len(spoken)} words"
        )
    if spoken is not None:
        print(f"{sum(word.word == word.said for word in words)} of {len(words)} words right")
    print(out)


def main(args: Namespace) -> None:
    launch(evaluate if args.video is None else read_video, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
