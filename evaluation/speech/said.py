"""A clip of a store through lip-to-speech, as videos go through it: what it is told, says and sounds like."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.lips.speech import MouthClip
from data.store import ClipStore, group_of
from evaluation.speech.rows import voiced
from models.lips.generator import LipToSpeech
from models.lips.windows import letters_of, look, speak
from utils.audio.mel import from_mel, mel_of
from utils.audio.reference import voice_mel
from utils.audio.vocoder import sharpened, softened


class Voices:
    """What a network with a choice of voices is told: the mel of a recording, the same for all or each speaker's own"""

    def __init__(self, store: ClipStore, recording: Path | None) -> None:
        self.store, self.mel = store, None if recording is None else voice_mel(recording)

    def of(self, id: str) -> Tensor:
        """(80, M), of --speaker_wav or of the speaker's next clip in the store, after the last the first"""
        if self.mel is not None:
            return self.mel
        own = [other for other in self.store.ids if group_of(other) == group_of(id)]
        following = own[(own.index(id) + 1) % len(own)]
        return mel_of(self.store[following].audio)


class Said(NamedTuple):
    """What a network makes of a clip: mel (80, 4 T) normalised, spectrum (321, 4 T), and the letters that it reads"""

    mel: Tensor
    spectrum: Tensor
    letters: str | None


def say(network: LipToSpeech, clip: MouthClip, voice: Tensor | None, args: Namespace) -> Said:
    """voice (80, M): for a network with a choice of voices; args: seed of the noise, test_aug"""
    seen = look(network, [clip.mouths], args.test_aug)
    pieces = list(speak(network, seen, args.seed, voice))
    mel, spectrum = (torch.cat(parts, dim=1) for parts in zip(*pieces, strict=True))
    return Said(mel, spectrum, letters_of(seen))


def sound_of(said: Said, args: Namespace) -> np.ndarray:
    """(640 T,) by --vocoder, --soften, --sharpen, --steady and -seed"""
    magnitudes = from_mel(said.mel) if args.vocoder == "mel" else said.spectrum
    return voiced(sharpened(softened(magnitudes, args.soften), args.sharpen), args.seed, args.steady)
