"""Sound out of magnitudes: Griffin and Lim's phases (1984), hastened by momentum (Perraudin et al. 2013)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.audio.mel import EMPHASIS, HOP, istft, stft
from utils.audio.steady import steadied

ITERATIONS, MOMENTUM = 60, 0.99
MEMORY = 2048  # samples after which de-emphasis has forgotten, 0.97 ** 2048 < 1e-27
CHUNK, OVERLAP = 1000, 60  # columns whose phases are found together, and how many two chunks have in common
FADE = 320  # samples from one chunk to the next
# Of magnitudes that a network predicts, chosen on validation clips of GRID's s1: their power, and which stay; their
# blur over time in columns, by how many it is early, and how far it reaches
SHARPNESS, LOUD = 1.05, 0.005
SOFTNESS, LEAD, REACH = 1.0, 0.25, 4


def griffin_lim(magnitudes: Tensor, iterations: int = ITERATIONS, seed: int = 0) -> Tensor:
    """magnitudes (..., 321, M) -> emphasised sound (..., 160 M); what is negative counts as nothing

    Starts from phases that `seed` draws, so that the same magnitudes always sound the same.
    """
    magnitudes = magnitudes.detach().float().clamp(min=0)
    magnitudes = torch.cat([magnitudes, magnitudes[..., -1:]], dim=-1)
    random = torch.Generator().manual_seed(seed)
    angles = 2 * torch.pi * torch.rand(magnitudes.shape, generator=random).to(magnitudes.device)
    phases, before = torch.polar(torch.ones_like(angles), angles), torch.zeros((), device=angles.device)
    for _ in range(iterations):
        rebuilt = stft(istft(magnitudes * phases))
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * before
        phases, before = moved / moved.abs().clamp(min=1e-16), rebuilt
    return istft(magnitudes * phases)


def sharpened(magnitudes: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Magnitudes that a network predicts -> to the power of `sharpness`, so that LOUD stays as it is

    A network that knows a sound roughly says what lies between all that it might be: peaks too low, valleys too
    shallow. A power above one mends some of it; Wang et al. 2017 (Tacotron, Section 3.4) take 1.2.
    """
    return LOUD * (magnitudes.clamp(min=0) / LOUD) ** sharpness


def softened(magnitudes: Tensor, softness: float = SOFTNESS) -> Tensor:
    """Magnitudes (..., 321, M) that a network reads from lips -> the same, blurred over time by a Gaussian

    softness: its deviation in columns of 10 ms, up to 1.5, 0: as they are. How early or late a recording is of its lips
    differs from clip to clip (GRID's s1: 18 ms, standard deviation), and lips do not say, so that detail finer than
    that is wrong more often than right, and costs STOI and ESTOI. The blur comes LEAD columns early.
    """
    if not softness:
        return magnitudes
    places = torch.arange(-REACH, REACH + 1, device=magnitudes.device)
    weights = (-((places - LEAD) / softness).square() / 2).softmax(0)
    rows = F.pad(magnitudes.reshape(-1, 1, magnitudes.shape[-1]), (REACH, REACH), mode="replicate")
    return F.conv1d(rows, weights.to(rows).view(1, 1, -1)).view(magnitudes.shape)


def deemphasised(sound: Tensor, before: float = 0.0) -> Tensor:
    """emphasised sound (N,) -> (N,), the inverse of pre-emphasis; before: the last sample of what came before

    The recursion y[n] = x[n] + 0.97 y[n - 1] as a product of spectra.
    """
    size = len(sound) + MEMORY
    turns = torch.fft.rfftfreq(size, device=sound.device).double() * (-2j * torch.pi)
    spectrum = torch.fft.rfft(sound.double(), size) / (1 - EMPHASIS * turns.exp())
    decay = EMPHASIS ** torch.arange(1, len(sound) + 1, dtype=torch.float64, device=sound.device)
    return (torch.fft.irfft(spectrum, size)[: len(sound)] + before * decay).float()


def to_sound(magnitudes: Tensor, seed: int = 0, steady: int = 0) -> Tensor:
    """magnitudes (321, M) -> sound (160 M,) in [-1, 1], all of `voice_stream` at once"""
    return torch.cat(list(voice_stream([magnitudes], seed=seed, steady=steady)))


def voice_stream(
    spectra: Iterable[Tensor], chunk: int = CHUNK, seed: int = 0, steady: int = 0
) -> Iterator[Tensor]:
    """magnitudes (321, m) piece by piece -> sound (n,) in [-1, 1] piece by piece, 160 samples a column in all

    steady: rounds of utils.audio.steady.steadied, for magnitudes that a network predicts.

    What is no longer than `chunk` columns sounds as the plain Griffin-Lim, or that steadied, has it. Longer speech
    is made of chunks that overlap, each with phases of its own, joined where the overlap is quietest.
    """
    tail, last = None, 0.0
    for magnitudes, more in _chunks(spectra, chunk):
        sound = steadied(griffin_lim(magnitudes, seed=seed), magnitudes, steady).cpu()
        if tail is not None:
            sound = join(tail, sound)
        if more:
            sound, tail = sound[: -OVERLAP * HOP], sound[-OVERLAP * HOP :]
        clear = deemphasised(sound, last)
        last = float(clear[-1])
        yield clear.clamp(-1, 1)


def join(tail: Tensor, sound: Tensor) -> Tensor:
    """tail (n,), sound (N,), which begins with the same n samples in other phases -> (N,), from the one to the other

    They change over by a cross-fade where both are quietest, off the ends of the overlap, where phases are guesses.
    Griffin-Lim does not know the sign of a wave: the sound's becomes that which is more like the tail.
    """
    if (tail * sound[: len(tail)]).sum() < 0:
        sound = -sound
    head = sound[: len(tail)]
    loudness = F.avg_pool1d((tail.square() + head.square())[None], FADE, 1)[
        0
    ]  # where the fade begins at each place
    edge = len(tail) // 10
    start = edge + int(loudness[edge : len(loudness) - edge].argmin())
    rise = (0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(FADE) + 0.5) / FADE)).to(tail)
    weight = torch.cat([rise.new_zeros(start), rise, rise.new_ones(len(tail) - start - FADE)])
    return torch.cat([(1 - weight) * tail + weight * head, sound[len(tail) :]])


def _chunks(spectra: Iterable[Tensor], chunk: int) -> Iterator[tuple[Tensor, bool]]:
    """Columns piece by piece -> (chunks that have OVERLAP columns in common, the last shorter; whether more follow)"""
    held = None
    for piece in spectra:
        held = piece if held is None else torch.cat([held, piece], dim=-1)
        while held.shape[-1] > chunk:
            yield held[..., :chunk], True
            held = held[..., chunk - OVERLAP :]
    if held is not None:
        yield held, False
