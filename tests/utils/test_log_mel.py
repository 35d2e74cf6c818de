"""The lip reader's sound features beside librosa's filters and scipy's spectra."""

import librosa
import numpy as np
import pytest
import scipy.signal

from tests.evaluation.speech.test_metrics import speech
from utils.audio.log_mel import filters, log_mel


def test_filters_are_htks():
    wanted = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80, fmin=0, fmax=8000, htk=True, norm=None)
    np.testing.assert_allclose(filters().numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("samples", [18560, 1600])
def test_standardised_log_energies(samples):
    sound = np.asarray(speech(1.2), np.float32)[:samples]
    padded = np.pad(sound.astype(float), 200, mode="reflect")
    window = scipy.signal.get_window("hann", 400)
    columns = np.stack([padded[160 * n : 160 * n + 400] * window for n in range(samples // 160 + 1)], axis=1)
    power = np.abs(np.fft.rfft(columns, axis=0)) ** 2 / (window**2).sum()
    levels = 10 * np.log10(np.maximum(filters().numpy() @ power, 1e-10))
    wanted = (levels - levels.mean(1, keepdims=True)) / levels.std(1, ddof=1, keepdims=True)
    made = log_mel(sound)
    assert made.shape == (80, samples // 160)
    np.testing.assert_allclose(made.numpy(), wanted[:, :-1], atol=2e-3)


def test_silence_is_no_division_by_nothing():
    assert not log_mel(np.zeros(18560, np.float32)).any()
