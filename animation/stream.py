"""Speech to a moving face, stretch by stretch: recordings of any length in constant memory.

The AT-net and the VG-net carry their recurrent states from stretch to stretch, so that the stretches joined together
equal the whole at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from models import NRNet, WhisperATNet
from models.atnet_whisper import BEFORE, STEP, WINDOW
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.mfcc import AudioWindows, windows
from utils.audio.raw_speech import SPEECH_RATE, SpeechWindows, set_level, speech_windows
from utils.audio.windows import cut
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import denormalise, normalise
from utils.media.read import resample


@dataclass
class Subject:
    """Whose face it is, in the terms of the networks. Landmarks are normalised, (136,).

    example_landmarks: as in the photo; rest: with the mouth at rest, to which motion is added; example: the
    coefficients (K,) that the AT-net gets; gains: factors (K,) of the coefficients that it gives.
    """

    basis: LandmarkBasis
    example_landmarks: np.ndarray
    rest: np.ndarray
    example: np.ndarray
    gains: np.ndarray | float = 1.0

    @classmethod
    def from_crop(cls, basis: LandmarkBasis, landmarks: np.ndarray, size: int) -> Subject:
        """landmarks (68, 2) in crop pixels"""
        example_landmarks = normalise(landmarks, size)
        still = basis.project(np.zeros(136, np.float32))
        return cls(basis, example_landmarks, basis.close_mouth(example_landmarks), still)

    def landmarks(self, coefficients: np.ndarray) -> np.ndarray:
        """coefficients (T, K) of the AT-net -> landmarks (T, 136)"""
        return self.rest + self.basis.reconstruct(coefficients * self.gains)

    def pixels(self, landmarks: np.ndarray, size: int) -> np.ndarray:
        """landmarks (..., 136) -> (..., 68, 2) in crop pixels"""
        return denormalise(landmarks, size)


def audio_windows(
    blocks: Iterable[np.ndarray], stream: AudioWindows | SpeechWindows | None = None
) -> Iterator[np.ndarray]:
    """blocks (n,) of 16 kHz sound -> windows (k, 28, 12), one for each video frame, ceil(samples / 640) in all

    stream: what makes the windows; with `SpeechWindows` they are (k, 2240) out of blocks of 8 kHz.
    """
    stream = stream or AudioWindows()
    for block in blocks:
        yield stream.push(block)
    yield stream.finish()


def sound_frames(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """blocks (n,) of 16 kHz sound -> rows (1, 640), one for each video frame, the last filled up with silence"""
    for frame in rechunk(blocks, SAMPLES_PER_FRAME):
        yield np.pad(frame, (0, SAMPLES_PER_FRAME - len(frame)))[None]


def network_input(at_net: nn.Module, audio: np.ndarray, frames: int) -> np.ndarray:
    """audio (N,) -> what AT-nets hear of so many frames: windows (T, 28, 12); a WhisperATNet rows of sound (T, 640), an
    NR-net raw speech of one loudness (T, 2240)
    """
    if isinstance(at_net, WhisperATNet):
        return cut(audio, 0, frames * SAMPLES_PER_FRAME).reshape(frames, -1)
    if isinstance(at_net, NRNet):
        return speech_windows(
            set_level(resample(audio, SAMPLE_RATE, SPEECH_RATE), at_net.config["level"]), frames
        )
    return windows(audio, frames)


def rechunk(pieces: Iterable[np.ndarray], length: int, first: int = 0) -> Iterator[np.ndarray]:
    """pieces (n, ...) of any lengths -> the same rows in pieces of `length`, the last one shorter

    first: of so many the first one is, where that is not 0.
    """
    waiting: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if first and count >= first:
            rows = np.concatenate(waiting)
            yield rows[:first]
            waiting, count, first = [rows[first:]], count - first, 0
        if count >= length:
            rows = np.concatenate(waiting)
            whole = count - count % length
            yield from np.split(rows[:whole], whole // length)
            waiting, count = [rows[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)


def landmark_stream(
    at_net: nn.Module, subject: Subject, windows: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """windows (k, 28, 12) -> landmarks (k, 136), piece by piece

    An NR-net gets (k, 2240), a WhisperATNet (k, 640), out of which it makes 25 frames at a time, the last fewer.
    """
    if isinstance(at_net, WhisperATNet):
        yield from map(subject.landmarks, whisper_stream(at_net, windows))
        return
    device = at_net.landmark_mean.device
    example = torch.from_numpy(subject.example).to(device).unsqueeze(0)
    state = None
    for piece in windows:
        with torch.inference_mode():
            audio = torch.from_numpy(piece).to(device).unsqueeze(0)
            coefficients, state = at_net.stream(audio, example, state)
        yield subject.landmarks(coefficients[0].cpu().numpy())


def whisper_stream(network: WhisperATNet, rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sound by video frames (k, 640), piece by piece -> coefficients (25, K), the last fewer, 1 to 2 s later"""
    device = network.landmark_mean.device
    sound = np.zeros((BEFORE, SAMPLES_PER_FRAME), np.float32)  # of the next window
    heard, given, state = 0, 0, None
    silence = np.zeros((WINDOW, SAMPLES_PER_FRAME), np.float32)
    for row, ended in chain(((row, False) for row in rows), [(silence, True)]):
        heard += 0 if ended else len(row)
        sound = np.concatenate([sound, row])
        while len(sound) >= WINDOW and not (ended and given >= heard):
            with torch.inference_mode():
                window = torch.from_numpy(sound[:WINDOW].reshape(1, 1, -1)).to(device)
                made, state = network.stream(window, state=state)
            yield made[0, : heard - given].cpu().numpy()
            sound, given = sound[STEP:], given + STEP


def frame_stream(
    vg_net: nn.Module, image: Tensor, example_landmarks: np.ndarray, landmarks: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, tuple]]:
    """image (3, H, W), its landmarks (136,), landmarks (k, 136) piece by piece -> (those, VGOutput of batch size 1)"""
    device = image.device
    example = torch.from_numpy(example_landmarks).to(device).unsqueeze(0)
    state = None
    for piece in landmarks:
        with torch.inference_mode():
            targets = torch.from_numpy(piece).to(device).unsqueeze(0)
            output = vg_net(image.unsqueeze(0), targets, example, state)
        state = output.state
        yield piece, output


class SpeechStream:
    """An NR-net that hears speech while it is spoken: coefficients come 120 ms (`LOOK_AHEAD`) after their frame.

    The pieces joined together equal the whole recording at once. gain: what brings the speech to the network's
    loudness, since a recording that goes on has no loudness yet.
    """

    def __init__(self, network: nn.Module, gain: float = 1.0) -> None:
        self.network, self.windows, self.state = network, SpeechWindows(gain), None

    def push(self, speech: np.ndarray) -> np.ndarray:
        """speech (n,) at 8 kHz -> the coefficients (k, K) that it completes; k may be 0"""
        return self._hear(self.windows.push(speech))

    def finish(self) -> np.ndarray:
        """The remaining coefficients (k, K), so that ceil(samples / 320) have been returned in all"""
        return self._hear(self.windows.finish())

    def _hear(self, windows: np.ndarray) -> np.ndarray:
        initial = self.network.initial
        if not len(windows):
            return np.zeros((0, len(initial)), np.float32)
        with torch.inference_mode():
            audio = torch.from_numpy(windows).to(initial.device)[None]
            made, self.state = self.network.stream(audio, initial[None], self.state)
        return made[0].float().cpu().numpy()
