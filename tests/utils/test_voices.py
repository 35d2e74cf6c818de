"""Other voices: pitch, formants and tempo change, each by itself."""

import numpy as np
import pytest

from utils.audio.noise import power
from utils.audio.voices import change_microphone, change_room, change_voice, hear_otherwise, resample


def vowel(pitch: float, formant: float, seconds: float = 1.0) -> np.ndarray:
    """Harmonics of a pitch, strongest about a formant"""
    time = np.arange(round(16000 * seconds)) / 16000
    harmonics = np.arange(1, int(7000 / pitch)) * pitch
    strength = np.exp(-(((harmonics - formant) / 250) ** 2)) + 0.02
    return (0.1 * strength[:, None] * np.sin(2 * np.pi * harmonics[:, None] * time)).sum(0).astype(np.float32)


def pitch_of(sound: np.ndarray) -> float:
    middle = sound[3000:11000].astype(np.float64)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(middle, 16384)) ** 2)[:8000]
    lags = np.arange(16000 // 400, 16000 // 60)
    return 16000 / lags[correlation[lags] > 0.93 * correlation[lags].max()][0]  # a multiple agrees as well


def formant_of(sound: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(sound[3000:11000])) ** 2
    frequencies = np.fft.rfftfreq(8000, 1 / 16000)
    inside = (frequencies > 500) & (frequencies < 3500)
    return float((frequencies * spectrum)[inside].sum() / spectrum[inside].sum())


@pytest.mark.parametrize(
    ("pitch", "formants", "tempo"), [(1, 1, 1), (1.5, 1, 1), (1, 1.2, 1), (1, 1, 0.8), (1.4, 1.15, 1.25)]
)
def test_pitch_formants_and_tempo_change_each_by_itself(pitch, formants, tempo):
    sound = vowel(120, 1500)
    changed = change_voice(sound, pitch, formants, tempo)
    assert len(changed) == round(16000 / tempo) and changed.dtype == np.float32
    assert pitch_of(changed) == pytest.approx(120 * pitch, rel=0.06)
    assert formant_of(changed) == pytest.approx(formant_of(sound) * formants, rel=0.06)


def test_what_is_said_when_does_not_move():
    """Syllables of a stretched recording keep their places in it."""
    loudness = np.interp(np.arange(32000), np.linspace(0, 32000, 17), np.random.default_rng(0).random(17))
    sound = (vowel(120, 1500, 2.0) * loudness).astype(np.float32)
    for changes in ((1.5, 1, 1), (1, 1, 1.3), (0.8, 1.2, 0.8)):
        changed = change_voice(sound, *changes)
        level = np.sqrt(np.convolve(changed**2, np.full(640, 1 / 640), "same"))
        level = np.interp(np.arange(32000), np.arange(len(changed)) * changes[2], level)[2000:-2000]
        delays = range(-1600, 1601, 80)
        agreement = [np.corrcoef(level, loudness[2000 - delay : 30000 - delay])[0, 1] for delay in delays]
        assert abs(delays[int(np.argmax(agreement))]) <= 160 and max(agreement) > 0.95


def test_resampling_there_and_back():
    sound = vowel(120, 1500)
    np.testing.assert_allclose(resample(resample(sound, 20000), 16000), sound, atol=1e-5)


def test_room_and_microphone_keep_the_length_and_the_beginning():
    random, sound = np.random.default_rng(0), np.zeros(8000, np.float32)
    sound[100] = 1
    echo = change_room(sound, 0.2, 0.5, random)
    assert len(echo) == 8000 and abs(echo[:100]).max() < 1e-5 and echo[100] == pytest.approx(1, abs=0.2)
    assert power(echo[4000:]) < 1e-3 * power(echo[:4000])
    assert len(change_microphone(sound, random)) == 8000


def test_whatever_is_drawn_is_sound():
    random, voices = np.random.default_rng(0), [vowel(120, 1500), vowel(200, 1200)]
    for sound in (vowel(150, 1000), np.zeros(16000, np.float32)):
        for _ in range(30):
            heard = hear_otherwise(sound, voices, random)
            assert heard.shape == sound.shape and heard.dtype == np.float32
            assert np.isfinite(heard).all() and abs(heard).max() <= 1
