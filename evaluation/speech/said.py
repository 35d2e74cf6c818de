"""A split's clips through a network of lip-to-speech: what it is told of voices, what it says, how that sounds."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from data.lip2speech import VOICE_FRAMES, MouthClip, pad
from data.store import ClipStore, group_of
from evaluation.speech.metrics import is_silent
from evaluation.speech.rows import voiced
from models.lips.generator import ROWS, LipToSpeech
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mel import COLUMNS, SILENCE, from_mel, mel_of
from utils.errors import UserError
from utils.face.mouth import to_mouth_network
from utils.letters import to_text
from utils.media.read import read_audio


class Voices:
    """What a network with a choice of voices is told: the mel of a recording, the same for all or each speaker's own"""

    def __init__(self, store: ClipStore, file: Path | None) -> None:
        self.store, self.mel = store, None
        if file is not None:
            sound = read_audio(file)
            if is_silent(sound):
                raise UserError(f"{file}: silent; give a recording of the wanted voice")
            self.mel = mel_of(sound[: VOICE_FRAMES * SAMPLES_PER_FRAME])

    def of(self, id: str) -> Tensor:
        """(80, M), of --speaker_wav or of the speaker's next clip in the store, after the last the first"""
        if self.mel is not None:
            return self.mel
        own = [other for other in self.store.ids if group_of(other) == group_of(id)]
        following = own[(own.index(id) + 1) % len(own)]
        return mel_of(self.store[following].audio[: VOICE_FRAMES * SAMPLES_PER_FRAME])


class Said(NamedTuple):
    """What a network makes of a clip: mel (80, 4 T) normalised, spectrum (321, 4 T), and the letters that it reads"""

    mel: Tensor
    spectrum: Tensor
    letters: str | None


def padded_voice(mel: Tensor) -> Tensor:
    """(80, M) -> (80, 300 or more), with silence behind, which says nothing of a voice"""
    width = max(mel.shape[1], COLUMNS * VOICE_FRAMES)
    return pad(mel, width, SILENCE)


def noise_of(id: str, channels: int, frames: int, seed: int) -> Tensor:
    """(channels, 20, T), the same for a clip in every run and in whatever company"""
    random = torch.Generator().manual_seed(((seed << 32) + crc32(id.encode())) % 2**63)
    return torch.randn(channels, ROWS, frames, generator=random)


@torch.inference_mode()
def speak(
    network: LipToSpeech, clips: Sequence[MouthClip], ids: Sequence[str], voices: Voices, args: Namespace
):
    """Clips of one length -> a `Said` of each"""
    device = network.summary.weight.device
    views = 1 + args.test_aug
    mouths = to_mouth_network(torch.stack([clip.mouths for clip in clips]).to(device))
    mouths = torch.cat([mouths, mouths.flip(-1)][:views])
    noise = [noise_of(id, network.config["noise"], mouths.shape[1], args.seed) for id in ids]
    voice = (
        [torch.stack([padded_voice(voices.of(id)) for id in ids] * views).to(device)]
        if network.voice
        else [None]
    )
    speech = network(mouths, None, torch.stack(noise * views).to(device), *voice)
    mels = speech.mels[2].unflatten(0, (views, -1)).mean(0)
    spectra, letters = network.postnet(mels), [None] * len(clips)
    if speech.seen.text is not None:
        likely = speech.seen.text.softmax(-1).unflatten(0, (views, -1)).mean(0).argmax(-1)
        letters = [to_text(one) for one in likely.tolist()]
    return [Said(*one) for one in zip(mels, spectra, letters, strict=True)]


def sound_of(said: Said, args: Namespace) -> np.ndarray:
    """(640 T,) by --vocoder"""
    return voiced(from_mel(said.mel) if args.vocoder == "mel" else said.spectrum, args.seed)
