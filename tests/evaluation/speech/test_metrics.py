"""Figures of speech: what is the same, what is worse, and what cannot be judged."""

import math
import warnings

import numpy as np
import pytest

from evaluation.speech.metrics import in_step, intelligibility, level, speech_figures
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mel import mel_of
from utils.audio.offset import sync_offset


def speech(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Noise in syllables, of changing colour"""
    random = np.random.default_rng(seed)
    count = int(16000 * seconds)
    time = np.arange(count) / 16000
    noise = random.standard_normal(count)
    smooth = np.convolve(noise, np.ones(12) / 12, "same")
    colour = np.sin(2 * np.pi * 1.3 * time) ** 2
    sound = (colour * noise + 3 * (1 - colour) * smooth) * np.sin(2 * np.pi * 2.1 * time + seed) ** 2
    return (0.1 * sound).astype(np.float32)


def with_noise(sound: np.ndarray, share: float) -> np.ndarray:
    return sound + share * np.random.default_rng(9).standard_normal(len(sound)).astype(np.float32)


def test_a_sound_is_as_intelligible_as_itself_and_less_so_in_noise():
    true = speech()
    for extended in (False, True):
        values = [intelligibility(with_noise(true, share), true, extended) for share in (0, 0.03, 0.3)]
        assert values[0] == pytest.approx(1, abs=1e-6)
        assert values[0] > values[1] + 0.02 > values[2] + 0.1
    alone = speech_figures(true, true)
    assert [alone[name] for name in ("mel_distance", "sound_offset", "level")] == [0, 0, 0]
    assert speech_figures(with_noise(true, 0.03), true)["mel_distance"] > 1


def test_loudness_is_no_distance():
    true = speech()
    quiet = speech_figures(0.1 * true, true)
    assert quiet["level"] == pytest.approx(-20, abs=1e-3)
    assert quiet["stoi"] == pytest.approx(1, abs=1e-4) and quiet["mel_distance"] < 0.01


def test_rumble_is_no_level():
    true = speech()
    rumble = 0.5 * np.sin(2 * np.pi * 10 * np.arange(len(true)) / 16000).astype(np.float32)
    assert abs(level(true + rumble, true)) < 0.2


@pytest.mark.parametrize("frames", [-7, -1, 3, 10])
def test_a_shift_is_found(frames):
    sound = speech(4)
    start, count = 16000, 2 * 16000
    true = sound[start : start + count]
    made = sound[start - frames * SAMPLES_PER_FRAME :][:count]  # later by so many frames
    assert sync_offset(mel_of(made).numpy(), mel_of(true).numpy()) == frames
    quarter = sound[start - SAMPLES_PER_FRAME // 4 :][:count]
    assert sync_offset(mel_of(quarter).numpy(), mel_of(true).numpy()) == 0.25


def test_what_cannot_be_judged_is_nan_and_nothing_is_said_about_it():
    true, silence = speech(), np.zeros(32000, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mute = speech_figures(silence, true)
        assert (
            mute["stoi"] == mute["estoi"] == 0
            and math.isnan(mute["sound_offset"])
            and math.isnan(mute["level"])
        )
        assert mute["mel_distance"] > 5
        unknown = speech_figures(true, silence)
        for length in (640, 1280, 3200, 6400):
            short = speech_figures(true[:length] + 0.01, true[:length])
            assert math.isnan(short["stoi"]) and math.isnan(short["estoi"])
            assert math.isfinite(short["mel_distance"])
    assert all(math.isnan(unknown[name]) for name in ("stoi", "estoi", "pesq", "sound_offset", "level"))


def test_figures_are_the_same_each_time_and_leave_random_numbers_alone():
    true = speech()
    made = np.where(np.arange(len(true)) % 16000 < 8000, 0, true)  # half of it exactly 0
    np.random.seed(3)
    expected, first = np.random.default_rng(0), intelligibility(made, true, extended=True)
    state = np.random.get_state()[1].tolist()
    np.random.seed(4)
    assert intelligibility(made, true, extended=True) == first
    np.random.seed(3)
    assert np.random.get_state()[1].tolist() == state and expected


def test_narrow_band_pesq_where_it_is_installed():
    pytest.importorskip("pesq")
    true = speech(3)
    values = [speech_figures(with_noise(true, share), true)["pesq"] for share in (0, 0.01, 0.1)]
    assert values[0] > 4.4 and values[0] > values[1] > values[2]


def test_a_late_sound_is_as_good_in_step():
    true = speech(2.4)
    late = np.concatenate([np.zeros(960, np.float32), true[:-960]])  # a frame and a half
    for made in (late, np.concatenate([true[960:], np.zeros(960, np.float32)])):
        figures = speech_figures(made, true)
        assert abs(figures["sound_offset"]) == 1.5 and figures["estoi"] < 0.9
        assert figures["stoi_in_step"] > 0.99 and figures["estoi_in_step"] > 0.98
    unknown = in_step(late, true, math.nan)
    assert len(unknown[0]) == len(unknown[1]) == len(true)
