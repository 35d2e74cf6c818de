"""A voice for a silent video: its face is found, its mouth cut out and read, and the pictures get the sound of it.

What is said just about a cut to another shot suffers (data.lips.videos).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.lips.videos import cut_from, track_face
from models.lips.generator import LipToSpeech
from models.lips.windows import Piece, letters_of, look, speak
from utils.audio import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.mel import COLUMNS
from utils.audio.reference import voice_mel
from utils.audio.steady import ROUNDS
from utils.audio.vocoder import SHARPNESS, SOFTNESS, sharpened, voice_stream
from utils.errors import UserError
from utils.files import replacing_together, writable_folder
from utils.media.copy import new_sound
from utils.media.kinds import check_pictures
from utils.media.write import wav_writer
from utils.progress import Watch, bar

GENERATED = "Generated: a machine read this speech from silent lips (lip-to-speech, VCA-GAN)"
KEPT = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # kinds of files that a voiced video keeps


class Facts(NamedTuple):
    """What became of a video: frames at 25 a second, seconds of sound, how many frames show no face, and the letters
    that the network read, where it reads
    """

    frames: int
    seconds: float
    faceless: int
    text: str | None


def give_voice(
    model: LipToSpeech,
    video: Path,
    out: Path,
    device: torch.device,
    seed: int = 0,
    voice: Path | None = None,
    flip: bool = True,
    wav: Path | None = None,
    softness: float = SOFTNESS,
    sharpness: float = SHARPNESS,
    steady: int = ROUNDS,
    watch: Watch = bar,
) -> Facts:
    """Writes at `out` the pictures of `video` with the sound that the model reads off its face, and the sound at `wav`

    Both, or neither. The sound has 640 samples at 16 kHz for each 25th of a second of the pictures, from the first one
    on. seed: of the noise; voice: a recording of the wanted voice, for a model with a choice of them; flip: mean of the
    video and its mirror image, as in the original's test; wav: `out` with .wav by default; softness, sharpness, steady:
    see utils.audio.vocoder and utils.audio.steady; watch: gives back the frames of each stage, to count or to stop
    them. The video's comment says that it is made.

    Raises UserError where the video shows no face, or cannot be read, and where the files cannot be written.
    """
    video, out = Path(video), Path(out)
    wav = out.with_suffix(".wav") if wav is None else Path(wav)
    check_places(video, out, wav, voice)
    check_pictures(video)
    wanted = wanted_voice(model, voice)
    for place in (out, wav):
        writable_folder(place.parent)
    model = model.to(device).eval()
    with (
        replacing_together(out),
        new_sound(video, out, SAMPLE_RATE, GENERATED) as hear,
        wav_writer(wav, SAMPLE_RATE) as save,
    ):
        track = track_face(video, model.config["size"], model.config["view"], watch)
        frames = len(track.silent)
        seen = look(model, cut_from(video, track, model.config["size"], watch), flip)
        magnitudes = spectra(speak(model, seen, seed, wanted, softness=softness), track.silent, sharpness)
        sounds = (
            part
            for piece in voice_stream(magnitudes, steady=steady)
            for part in piece.split(SAMPLES_PER_FRAME)
        )
        for sound in watch("speech", sounds, frames):
            hear(sound.numpy())
            save(sound.numpy())
    return Facts(frames, frames / FPS, int(track.faceless.sum()), letters_of(seen))


def default_output(video: Path, folder: Path) -> Path:
    """Where a voiced video goes: folder/NAME_voiced, the same kind of file where players know it, .mp4 otherwise"""
    suffix = video.suffix.lower()
    return folder / f"{video.stem}_voiced{suffix if suffix in KEPT else '.mp4'}"


def check_places(video: Path, out: Path, wav: Path, voice: Path | None = None) -> None:
    """Raises UserError where a result would replace what it is made of, the other result, or a folder."""
    if out.resolve() == wav.resolve():
        raise UserError(f"{out}: a name for sound alone; end the video's with .mp4")
    for place in (out, wav):
        if any(given is not None and place.resolve() == Path(given).resolve() for given in (video, voice)):
            raise UserError(
                f"{place}: is what the voice would be made of; choose another name for the result"
            )
        if place.is_dir():
            raise UserError(f"{place}: is a folder; give the name of a file")


def wanted_voice(model: LipToSpeech, voice: Path | None) -> Tensor | None:
    """A recording -> the mel (80, M) that a model with voices to choose is told, None without. Raises UserError."""
    if model.voice is None:
        if voice is not None:
            raise UserError(f"{voice}: this network has no choice of voices; leave the recording out")
        return None
    if voice is None:
        raise UserError("this network has a choice of voices; give a recording of the one that you want")
    return voice_mel(voice)


def spectra(pieces: Iterable[Piece], silent: np.ndarray, sharpness: float) -> Iterator[Tensor]:
    """The magnitudes (321, 4 k) of speech piece by piece, sharpened, nothing in silent (T,) frames"""
    heard = torch.from_numpy(~silent).float().repeat_interleave(COLUMNS)
    done = 0
    for piece in pieces:
        count = piece.spectrum.shape[-1]
        yield sharpened(piece.spectrum, sharpness) * heard[done : done + count].to(piece.spectrum)
        done += count
