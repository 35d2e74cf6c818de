"""A recording that says whose voice is wanted."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from utils.audio import SAMPLE_RATE, is_silent
from utils.audio.mel import mel_of
from utils.errors import UserError
from utils.media.read import stream_audio

SECONDS = 10  # of a recording that are listened to


def voice_mel(recording: Path) -> Tensor:
    """The normalised mel (80, M) of a file's first ten seconds. Raises UserError where they hold no sound."""
    sound = next(stream_audio(recording, block=SECONDS * SAMPLE_RATE))
    if is_silent(sound):
        raise UserError(f"{recording}: silent; give a recording of the wanted voice")
    return mel_of(sound)
