"""Mel features against librosa, their inverse, and the vocoder."""

import librosa
import numpy as np
import pytest
import torch

from utils.audio import mel
from utils.audio.vocoder import deemphasised, griffin_lim


def voice(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """A glide with overtones that fades in and out, and a little noise"""
    time = np.arange(int(16000 * seconds)) / 16000
    pitch = 2 * np.pi * (120 * time + 15 * np.sin(3 * time))
    sound = sum(np.sin(n * pitch) / n for n in range(1, 12)) * np.sin(np.pi * time / seconds) ** 2
    return (0.2 * sound + 0.001 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


def test_the_filters_are_slaneys():
    ours = mel.mel_filters().numpy()
    theirs = librosa.filters.mel(sr=16000, n_fft=640, n_mels=80, fmin=55, fmax=7500)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_spectra_are_librosas():
    sound = mel.emphasised(voice())
    theirs = np.abs(librosa.stft(sound.numpy(), n_fft=640, hop_length=160, pad_mode="reflect"))[:, :-1]
    np.testing.assert_allclose(mel.spectrum(voice()).numpy(), theirs, atol=1e-4)


def test_four_columns_a_frame_and_levels_do_not_matter():
    whole = mel.mel_of(voice())
    assert whole.shape == (80, 100) and whole.min() >= -1 and whole.max() < 1.2
    torch.testing.assert_close(mel.mel_of(0.01 * voice()), whole, rtol=0, atol=1e-3)
    assert mel.spectrum(voice()[:641]).shape == (321, 8)  # a second frame that is nearly empty


@pytest.mark.parametrize("samples", [0, 640, 6400])
def test_silence_is_minus_one(samples):
    assert (mel.mel_of(np.zeros(samples, np.float32)) == mel.SILENCE).all()


def test_a_mels_magnitudes_have_that_mel():
    true = mel.mel_of(voice())
    again = mel.to_mel(mel.from_mel(true))
    loud = true > -0.5
    assert (again - true).abs()[loud].mean() < 0.02  # 0.1 of a natural logarithm's unit
    flat = mel.to_mel(mel.mel_filters().T @ ((true + 1) * mel.DENORMALISED - mel.DEPTH).exp())
    assert (again - true).abs()[loud].mean() < (flat - true).abs()[loud].mean() / 5  # the transpose is none


def test_deemphasis_undoes_emphasis_also_in_pieces():
    sound = torch.from_numpy(voice())
    sound = 0.5 * sound / sound.abs().max()
    emphasised = torch.cat([sound[:1], sound[1:] - mel.EMPHASIS * sound[:-1]])
    torch.testing.assert_close(deemphasised(emphasised), sound, rtol=0, atol=1e-5)
    first = deemphasised(emphasised[:5000])
    second = deemphasised(emphasised[5000:], float(first[-1]))
    torch.testing.assert_close(torch.cat([first, second]), sound, rtol=0, atol=1e-5)


def inconsistency(sound: torch.Tensor, magnitudes: torch.Tensor) -> float:
    """How far the sound's magnitudes are from those wanted, of their energy: the spectral convergence"""
    return float((mel.stft(sound).abs()[..., :-1] - magnitudes).norm() / magnitudes.norm())


def test_griffin_lim_finds_a_sound_of_these_magnitudes():
    magnitudes = mel.spectrum(voice())
    made = griffin_lim(magnitudes)
    assert made.shape == (16000,)
    padded = torch.cat([magnitudes, magnitudes[:, -1:]], 1).numpy()
    theirs = librosa.griffinlim(padded, n_iter=60, hop_length=160, random_state=0, pad_mode="reflect")
    ours = inconsistency(made, magnitudes)
    assert ours < 0.1 and ours < 1.2 * inconsistency(torch.from_numpy(theirs), magnitudes)
    assert ours < inconsistency(griffin_lim(magnitudes, iterations=2), magnitudes) / 2


def test_griffin_lim_repeats_itself_in_batches_and_by_seed():
    magnitudes = mel.spectrum(voice())
    assert torch.equal(griffin_lim(magnitudes), griffin_lim(magnitudes))
    assert not torch.equal(griffin_lim(magnitudes), griffin_lim(magnitudes, seed=1))
    below = griffin_lim(torch.where(magnitudes < 1e-3, -0.1, magnitudes))
    assert below.isfinite().all()
