"""One recording as other people, rooms and microphones would have given it; (N,) float32 at 16 kHz throughout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from utils.audio import SAMPLE_RATE
from utils.audio.noise import babble, coloured, hum, mix, pink, power

SIZE, STEP = 1024, 256  # of the phase vocoder's spectra
LIFTER = 40  # cepstral coefficients that are the vocal tract's; the rest is the voice's pitch


def change_voice(sound: np.ndarray, pitch: float, formants: float, tempo: float) -> np.ndarray:
    """(N,) -> (N / tempo,): pitch, formants and tempo multiplied by these, each by itself

    A phase vocoder stretches the sound, the spectra's envelopes are warped, and resampling raises both.
    """
    window = torch.hann_window(SIZE)
    spectra = torch.stft(torch.from_numpy(sound), SIZE, STEP, window=window, return_complex=True).T
    length = round(len(sound) * pitch / tempo)
    places = torch.arange(2 + length // STEP) * (tempo / pitch)
    before = places.long().clamp(max=len(spectra) - 2)
    part = (places - before).clamp(max=1)[:, None]
    sizes = torch.lerp(spectra[before].abs(), spectra[before + 1].abs(), part)
    turns = spectra[before + 1].angle() - spectra[before].angle()
    phases = spectra[0].angle() + turns.cumsum(0) - turns
    spoken = torch.polar(_move_formants(sizes, formants / pitch), phases)
    stretched = torch.istft(spoken.T, SIZE, STEP, window=window, length=length).numpy()
    return resample(stretched, round(len(sound) / tempo))


def _move_formants(sizes: torch.Tensor, factor: float) -> torch.Tensor:
    """sizes (F, bins) -> (F, bins): their envelopes stretched over frequency, harmonics where they are"""
    cepstra = torch.fft.irfft((sizes + 1e-5).log())
    cepstra[:, LIFTER:-LIFTER] = 0
    envelopes = torch.fft.rfft(cepstra).real
    places = (torch.arange(sizes.shape[1]) / factor).clamp(max=sizes.shape[1] - 1.001)
    before, part = places.long(), places % 1
    moved = torch.lerp(envelopes[:, before], envelopes[:, before + 1], part)
    return sizes * (moved - envelopes).clamp(-5, 5).exp()


def resample(sound: np.ndarray, length: int) -> np.ndarray:
    """(N,) -> (length,): the same in less or more time, without aliases"""
    spectrum = np.fft.rfft(sound)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / max(len(sound), 1))).astype(np.float32)


def change_room(sound: np.ndarray, seconds: float, share: float, random: np.random.Generator) -> np.ndarray:
    """An echo that has died away (by 60 dB) after so many seconds, `share` times as loud as the sound"""
    length = int(seconds * SAMPLE_RATE)
    echo = random.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    echo *= share / np.sqrt(np.sum(echo**2))
    echo[0] += 1
    count = len(sound) + length
    return np.fft.irfft(np.fft.rfft(sound, count) * np.fft.rfft(echo, count), count)[: len(sound)].astype(
        np.float32
    )


def change_microphone(sound: np.ndarray, random: np.random.Generator, depth: float = 6.0) -> np.ndarray:
    """A random smooth frequency response with a deviation of `depth` dB; now and then no more than a telephone's"""
    spectrum = np.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    knots = np.geomspace(50, SAMPLE_RATE / 2, 9)
    response = np.interp(frequencies, knots, random.normal(0, depth, len(knots)))
    if random.random() < 0.15:
        response -= 60 * ((frequencies < 250) | (frequencies > 3500))
    return np.fft.irfft(spectrum * 10 ** (response / 20), len(sound)).astype(np.float32)


def background(length: int, voices: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """White, brown or pink noise, a machine, or several of the voices at once, with a root mean square of 0.1"""
    kind = random.choice(["white", "brown", "pink", "hum", "babble", "babble"])
    if kind == "babble":
        return babble(length, random, voices, talkers=int(random.integers(3, 8)))
    if kind in ("white", "brown"):
        return (0.1 * coloured(length, float(kind == "brown"), random)).astype(np.float32)
    return pink(length, random) if kind == "pink" else hum(length, random)


def hear_otherwise(
    sound: np.ndarray, voices: Sequence[np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """The same speech in another room, by another microphone, through noise of 0 to 40 dB below it, at another level

    What is silent gets noise alone.
    """
    if random.random() < 0.3:
        sound = change_room(sound, random.uniform(0.1, 0.7), np.exp(random.uniform(-2.5, 0)), random)
    if random.random() < 0.6:
        sound = change_microphone(sound, random)
    if random.random() < 0.7:
        noise, level = background(len(sound), voices, random), random.uniform(0, 40)
        silent = power(sound) < 1e-8
        sound = noise * np.float32(10 ** (-level / 20)) if silent else mix(sound, noise, level, random)
    if random.random() < 0.5:
        sound = sound * np.float32(0.06 / (power(sound) ** 0.5 + 1e-3) * 10 ** (random.uniform(-20, 8) / 20))
    return np.clip(sound, -1, 1)
