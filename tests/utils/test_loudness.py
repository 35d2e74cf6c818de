"""Loudness: its units, streams, and what recordings have in common."""

import numpy as np
import pytest

from utils.audio.loudness import FEATURES, QUIETEST, Levels, LoudnessStream, features, loudness


def speech(frames: int, seed: int = 0) -> np.ndarray:
    """Noise that is loud for a second and soft for another"""
    random = np.random.default_rng(seed)
    size = np.where(np.arange(frames) // 25 % 2, 0.01, 0.3)
    return (np.repeat(size, 640) * random.normal(size=640 * frames)).astype(np.float32)


def test_a_sine_of_full_scale_has_minus_3_db_and_silence_the_least():
    sine = np.sin(np.arange(6400) * 0.1)
    assert loudness(sine) == pytest.approx(-3.01, abs=0.1) and loudness(sine).shape == (10,)
    assert (loudness(np.zeros(641)) == QUIETEST).all() and len(loudness(np.zeros(641))) == 2
    assert len(loudness(sine, 4)) == 4 and (loudness(sine, 12)[10:] == QUIETEST).all()
    assert len(loudness(np.zeros(0))) == 0


def test_streamed_is_whole():
    sound, stream = speech(20)[:-100], LoudnessStream()
    parts = [stream.push(piece) for piece in np.array_split(sound, 37)] + [stream.finish()]
    np.testing.assert_array_equal(np.concatenate(parts), loudness(sound))


def test_the_microphone_does_not_matter():
    near, far = (loudness(gain * speech(200)) for gain in (1.0, 0.1))
    a, b = (features(heard, Levels.of(heard)) for heard in (near, far))
    np.testing.assert_allclose(a, b, atol=0.03)
    assert a.shape == (200, FEATURES) and a[10:20, 0] == pytest.approx(1, abs=0.1)
    assert a[30:45, 0] == pytest.approx(0, abs=0.1) and a[25, 1] < -0.8 and a[29, 2] < -0.8


def test_steady_noise_is_no_speech():
    heard = loudness(0.1 * np.random.default_rng(0).normal(size=64000))
    assert np.abs(features(heard, Levels.of(heard))[:, 0]).max() < 0.2


def test_features_of_a_part_are_those_of_the_whole():
    heard = loudness(speech(60))
    levels = Levels.of(heard)
    np.testing.assert_array_equal(features(heard[15:], levels, before=5), features(heard, levels)[20:])
