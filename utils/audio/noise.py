"""Noises that speech is heard through, (N,) float32 at 8 kHz, and the mixing of both at a stated ratio.

None of them is stationary: levels, notes and blows come and go. The kinds in `SEEN` are for training, those in `UNSEEN`
for tests only, so that a test on them says what a network does about a noise that it never heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from utils.audio.raw_speech import SPEECH_RATE

SEEN, UNSEEN = ("babble", "pink", "hum"), ("chords", "clicks", "siren")
SILENCE = 1e-9  # power below which nothing is to be heard


def mix_gain(speech_power: float, noise_power: float, snr: float) -> float:
    """What noise must be multiplied by to lie `snr` dB under the speech; 0 where either is silent"""
    if speech_power < SILENCE or noise_power < SILENCE:
        return 0.0
    return float(np.sqrt(speech_power / noise_power / 10 ** (snr / 10)))


def power(samples: np.ndarray) -> float:
    """samples (N,) -> their mean square"""
    return float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0


def stretch(noise: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """noise (N,) -> (length,) of it from a random place on; a shorter one is repeated"""
    start = int(random.integers(max(1, len(noise) - length + 1)))
    repeated = np.resize(noise, length + start) if len(noise) < length + start else noise
    return repeated[start : start + length]


def mix(speech: np.ndarray, noise: np.ndarray, snr: float, random: np.random.Generator) -> np.ndarray:
    """speech (N,), noise (M,) -> (N,) float32: powers are those of all the speech, and of the noise that is mixed in"""
    part = stretch(noise, len(speech), random)
    gain = mix_gain(power(speech), power(part), snr)
    return np.asarray(speech, np.float32) + np.float32(gain) * part.astype(np.float32)


def add_noise(audio: np.ndarray, snr: float | None, seed: int) -> np.ndarray:
    """audio (N,) with white Gaussian noise snr dB below (or above) its mean power; unchanged for None or no sound"""
    gain = mix_gain(power(audio), 1.0, snr) if snr is not None else 0.0
    if not gain:
        return audio
    return (audio + gain * np.random.default_rng(seed).standard_normal(len(audio))).astype(np.float32)


def babble(length: int, random: np.random.Generator, voices: Sequence[np.ndarray], talkers: int = 6):
    """Several people at once: recordings (n,) one after the other, each talker's played faster or slower"""
    total = np.zeros(length)
    for _ in range(talkers):
        speed, line = random.uniform(0.8, 1.25), []
        while sum(map(len, line)) < length:
            voice = voices[random.integers(len(voices))]
            places = np.arange(0, len(voice) - 1, speed)
            line.append(np.interp(places, np.arange(len(voice)), voice))
        talker = np.concatenate(line)[:length]
        total += talker * random.uniform(0.5, 1.5) / (talker.std() + 1e-9)
    return finished(total)


def pink(length: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as 1 / frequency, swelling and fading a few times a second: wind, traffic, applause"""
    return finished(coloured(length, 0.5, random) * swell(length, random.uniform(0.5, 4), 12, random))


def hum(length: int, random: np.random.Generator) -> np.ndarray:
    """A machine: harmonics of a wandering rotation, its strokes, and the hiss that goes with them"""
    speed = random.uniform(25, 120) * (1 + 0.1 * slow(length, 0.3, random))
    phase = 2 * np.pi * np.cumsum(speed) / SPEECH_RATE
    total = np.zeros(length)
    for harmonic in range(1, 25):
        strength = random.uniform(0.2, 1) / harmonic**0.7
        total += strength * np.sin(harmonic * phase + random.uniform(0, 2 * np.pi))
    strokes = np.clip(np.sin(phase / random.integers(2, 6)), 0, 1) ** 4
    hiss = coloured(length, 0.0, random) * (0.2 + strokes)
    return finished((total + 1.5 * hiss) * swell(length, 0.5, 8, random))


def chords(length: int, random: np.random.Generator) -> np.ndarray:
    """Music: chords of plucked and bowed notes with overtones, each dying away or held, at a tempo"""
    total, beat = np.zeros(length), int(SPEECH_RATE * random.uniform(0.2, 0.6))
    for start in range(0, length, beat):
        root = 110 * 2 ** (random.integers(0, 24) / 12)
        span = min(length - start, beat * int(random.integers(1, 5)))
        time = np.arange(span) / SPEECH_RATE
        envelope = np.minimum(1, time / 0.01) * np.exp(-time * random.uniform(1, 8))
        for step in random.choice([0, 3, 4, 7, 10, 12, 16, 19], size=4, replace=False):
            note = root * 2 ** (step / 12)
            for overtone in range(1, 1 + int(3600 // note)):
                wave = np.sin(2 * np.pi * note * overtone * time + random.uniform(0, 2 * np.pi))
                total[start : start + span] += envelope * wave / overtone**1.2
    return finished(total)


def clicks(length: int, random: np.random.Generator) -> np.ndarray:
    """Blows of all sizes at odd moments, each a short resonance: typing, crockery, footsteps"""
    total, place = np.zeros(length), 0
    while place < length:
        span = min(length - place, int(SPEECH_RATE * random.uniform(0.01, 0.12)))
        time = np.arange(span) / SPEECH_RATE
        blow = np.sin(2 * np.pi * random.uniform(150, 3500) * time + random.uniform(0, 6))
        blow += 0.7 * random.standard_normal(span)
        decay = np.exp(-time * random.uniform(30, 300))
        total[place : place + span] += random.exponential() * blow * decay
        place += int(SPEECH_RATE * random.exponential(0.08)) + 1
    return finished(total)


def siren(length: int, random: np.random.Generator) -> np.ndarray:
    """A tone with overtones that glides up and down, faster and slower"""
    height = 900 * 2 ** (0.8 * np.sin(np.cumsum(swell(length, 0.2, 6, random)) * 2 * np.pi / SPEECH_RATE))
    phase = 2 * np.pi * np.cumsum(height) / SPEECH_RATE
    total = sum(np.sin(n * phase) / n * (n * height < SPEECH_RATE / 2) for n in range(1, 5))
    return finished(total * swell(length, 0.4, 6, random))


GENERATORS: dict[str, Callable] = dict(
    babble=babble, pink=pink, hum=hum, chords=chords, clicks=clicks, siren=siren
)


def coloured(length: int, exponent: float, random: np.random.Generator) -> np.ndarray:
    """(length,) of deviation 1: noise whose amplitude falls with frequency ** -exponent"""
    spectrum = np.fft.rfft(random.standard_normal(length))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** -exponent
    samples = np.fft.irfft(spectrum, length)
    return samples / (samples.std() + 1e-12)


def slow(length: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """(length,): a smooth random curve of deviation about 1 that changes `rate` times a second"""
    knots = random.standard_normal(2 + int(np.ceil(length / SPEECH_RATE * rate)))
    return np.interp(np.arange(length) * rate / SPEECH_RATE, np.arange(len(knots)), knots)


def swell(length: int, rate: float, depth: float, random: np.random.Generator) -> np.ndarray:
    """(length,): levels that wander with a deviation of depth / 2 dB, as factors"""
    return 10 ** (slow(length, rate, random) * depth / 2 / 20)


def finished(samples: np.ndarray) -> np.ndarray:
    """(N,) -> (N,) float32 without a constant, with a root mean square of 0.1"""
    samples = samples - samples.mean()
    return (samples * (0.1 / (samples.std() + 1e-12))).astype(np.float32)
