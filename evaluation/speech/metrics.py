"""How far made speech is from the recording. Sounds are (N,) float32 at 16 kHz, made and true of the same length.

Where the recording is silent, or too short to judge, a figure is nan, and does not count; silence in place of speech
has the figure 0 of intelligibility.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np

from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, is_silent
from utils.audio.mel import DENORMALISED, mel_of
from utils.audio.offset import sync_offset
from utils.errors import UserError
from utils.media.read import resample

TELEPHONE = 8000  # Hz, of narrow-band PESQ
DECIBELS = 20 / math.log(10)  # in one of the natural logarithm
NAN = float("nan")


def speech_figures(made: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """All figures of a sound, by their names in evaluation/definitions.py"""
    mels = mel_of(made).numpy(), mel_of(true).numpy()
    offset = sync_offset(*mels)
    pair = in_step(made, true, offset)
    return dict(
        stoi=intelligibility(made, true),
        estoi=intelligibility(made, true, extended=True),
        stoi_in_step=intelligibility(*pair),
        estoi_in_step=intelligibility(*pair, extended=True),
        pesq=pesq_score(made, true),
        mel_distance=DECIBELS * DENORMALISED * float(np.abs(mels[0] - mels[1]).mean()),
        sound_offset=offset,
        level=level(made, true),
    )


def intelligibility(made: np.ndarray, true: np.ndarray, extended: bool = False) -> float:
    """STOI (Taal et al. 2011), or ESTOI (Jensen and Taal 2016). Raises UserError where pystoi is missing."""
    try:
        from pystoi import stoi
    except ImportError as error:
        raise UserError("pystoi: not installed; run python -m pip install -r requirements.txt") from error
    if is_silent(true) or is_silent(made):
        return NAN if is_silent(true) else 0.0
    with _same_noise(), warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(stoi(true, made, SAMPLE_RATE, extended))
        except (RuntimeWarning, ValueError):  # it says so of a third of a second, and stumbles over less
            return NAN


@contextmanager
def _same_noise() -> Iterator[None]:
    """ESTOI draws a trace of noise, which decides where a sound is exactly 0: the same in every run"""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def pesq_score(made: np.ndarray, true: np.ndarray) -> float:
    """PESQ, narrow band (ITU-T P.862); nan too where the package pesq is not installed, or finds no speech"""
    if find_spec("pesq") is None or is_silent(true) or is_silent(made):
        return NAN
    from pesq import PesqError, pesq

    true, made = (resample(one, SAMPLE_RATE, TELEPHONE) for one in (true, made))
    score = pesq(TELEPHONE, true, made, "nb", on_error=PesqError.RETURN_VALUES)
    return float(score) if score > 0 else NAN


def in_step(made: np.ndarray, true: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Sounds (N,), the made one `offset` video frames later -> what overlaps of both once it is moved back"""
    moved = 0 if math.isnan(offset) else round(offset * SAMPLES_PER_FRAME)
    late, early = max(moved, 0), max(-moved, 0)
    return made[late : len(made) - early], true[early : len(true) - late]


def level(made: np.ndarray, true: np.ndarray) -> float:
    """dB of the made sound's root mean square over the true one's, of their differences over time

    Speech alone counts thus, and not the rumble of a recording, which mels do not hold.
    """
    if is_silent(true) or is_silent(made):
        return NAN
    powers = [float(np.square(np.diff(one), dtype=np.float64).mean()) for one in (made, true)]
    return 10 * math.log10(powers[0] / powers[1]) if min(powers) > 0 else NAN
