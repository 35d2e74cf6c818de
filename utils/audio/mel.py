"""What lip-to-speech and the lip reader hear: log mel spectra, four columns a video frame, and the way back.

16 kHz, a Hann window of 640 samples every 160, reflected at the ends; 80 mel bands of Slaney's scale and area from 55
to 7500 Hz. Sound is brought to a peak of 0.9 and its treble raised (pre-emphasis of 0.97) before. "Normalised" mels
are logarithms moved so that silence (1e-5) is -1 and an amplitude of 1 is +1: padding is silence, -1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME

WINDOW, HOP, MELS, LOWEST, HIGHEST = 640, 160, 80, 55.0, 7500.0
BINS = WINDOW // 2 + 1
COLUMNS = SAMPLES_PER_FRAME // HOP  # a video frame
EMPHASIS, PEAK, FLOOR = 0.97, 0.9, 1e-5
DEPTH = -math.log(FLOOR)  # of the logarithms, from silence to an amplitude of 1
SILENCE = -1.0  # of a normalised mel
DENORMALISED = DEPTH / 2  # natural logarithm units in one of a normalised mel


def emphasised(audio: np.ndarray | Tensor) -> Tensor:
    """audio (N,) -> (N,): at a peak of 0.9, treble raised, in [-1, 1]; silence stays silence"""
    sound = torch.as_tensor(audio, dtype=torch.float32)
    sound = PEAK * sound / sound.abs().max().clamp(min=1e-5) if len(sound) else sound
    return torch.cat([sound[:1], sound[1:] - EMPHASIS * sound[:-1]]).clamp(-1, 1)


def spectrum(audio: np.ndarray | Tensor) -> Tensor:
    """audio (640 T,) at 16 kHz, of any loudness -> magnitudes (321, 4 T); sound of no whole frames is padded to one"""
    sound = emphasised(audio)
    missing = -len(sound) % SAMPLES_PER_FRAME if len(sound) else SAMPLES_PER_FRAME
    return stft(torch.nn.functional.pad(sound, (0, missing))).abs()[..., :-1]


def stft(sound: Tensor, size: int = WINDOW, hop: int = HOP) -> Tensor:
    """sound (..., 160 M) -> complex (..., 321, M + 1), M > 2; with a window of another size, and every so many samples,
    (..., size / 2 + 1, 160 M / hop + 1)
    """
    window = torch.hann_window(size, device=sound.device)
    return torch.stft(sound, size, hop, window=window, center=True, pad_mode="reflect", return_complex=True)


def istft(spectra: Tensor, size: int = WINDOW, hop: int = HOP) -> Tensor:
    """What `stft` gave -> the sound"""
    return torch.istft(spectra, size, hop, window=torch.hann_window(size, device=spectra.device))


def to_mel(magnitudes: Tensor) -> Tensor:
    """magnitudes (..., 321, M) -> normalised mels (..., 80, M)"""
    bands = mel_filters().to(magnitudes) @ magnitudes
    return 2 * (bands.clamp(min=FLOOR).log() + DEPTH) / DEPTH - 1


def from_mel(mels: Tensor) -> Tensor:
    """normalised mels (..., 80, M) -> magnitudes (..., 321, M), the least squares that are not negative"""
    bands = ((mels + 1) * DENORMALISED - DEPTH).exp()
    return (inverse_filters().to(bands) @ bands).clamp(min=0)


def mel_of(audio: np.ndarray | Tensor) -> Tensor:
    """audio (640 T,) -> normalised mels (80, 4 T)"""
    return to_mel(spectrum(audio))


@lru_cache(maxsize=1)
def mel_filters() -> Tensor:
    """(80, 321): triangles of equal area, evenly spaced on Slaney's scale: linear to 1 kHz, logarithmic above"""
    bins = np.arange(BINS) * SAMPLE_RATE / WINDOW
    return torch.from_numpy(slaney_filters(MELS, LOWEST, HIGHEST, bins)).float()


def slaney_filters(count: int, lowest: float, highest: float, bins: np.ndarray) -> np.ndarray:
    """bins (N,), Hz -> (count, N): triangles of equal area, evenly spaced on Slaney's scale between two frequencies"""
    edges = slaney_edges(count, lowest, highest)
    areas = 2 / (edges[2:] - edges[:-2])
    return triangles(edges, bins) * areas[:, None]


def slaney_edges(count: int, lowest: float, highest: float) -> np.ndarray:
    """(count + 2,) Hz, evenly spaced on Slaney's scale: the edges of so many bands, each reaching to its neighbours'
    middles
    """
    return _to_hertz(np.linspace(_to_slaney(lowest), _to_slaney(highest), count + 2))


def triangles(edges: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """edges (B + 2,), bins (N,), in Hz -> (B, N): triangles of height 1, each between the edges beside its own"""
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


@lru_cache(maxsize=1)
def inverse_filters() -> Tensor:
    """(321, 80): the pseudo-inverse of `mel_filters`"""
    return torch.linalg.pinv(mel_filters().double()).float()


STEP, KNEE, RATIO = 200 / 3, 1000.0, math.log(6.4) / 27  # Slaney's Auditory Toolbox, 1998


def _to_slaney(hertz: float) -> float:
    return hertz / STEP if hertz < KNEE else KNEE / STEP + math.log(hertz / KNEE) / RATIO


def _to_hertz(mels: np.ndarray) -> np.ndarray:
    knee = KNEE / STEP
    return np.where(mels < knee, mels * STEP, KNEE * np.exp(RATIO * (mels - knee)))
