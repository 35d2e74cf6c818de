"""MFCC against a plain transcription of the formulas and against librosa, and windows whole against streamed."""

import numpy as np
import pytest

from utils.audio.mfcc import AudioWindows, _mel_filters, context_windows, mfcc, windows
from utils.audio.noise import add_noise


def slow_mfcc(signal: np.ndarray) -> np.ndarray:
    """The defining formulas of the reference features, loop by loop, in double precision."""
    signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    count = 1 + max(0, int(np.ceil((len(signal) - 400) / 160)))
    signal = np.append(signal, np.zeros(max(0, 400 + 160 * (count - 1) - len(signal))))
    top = 2595 * np.log10(1 + 8000 / 700)
    hertz = [700 * (10 ** (top * i / 27 / 2595) - 1) for i in range(28)]
    bins = [int(513 * h / 16000) for h in hertz]
    rows = []
    for i in range(count):
        power = np.abs(np.fft.rfft(signal[160 * i : 160 * i + 400], 512)) ** 2 / 512
        logs = []
        for f in range(26):
            energy = sum(
                power[k] * (k - bins[f]) / (bins[f + 1] - bins[f]) for k in range(bins[f], bins[f + 1])
            )
            energy += sum(
                power[k] * (bins[f + 2] - k) / (bins[f + 2] - bins[f + 1])
                for k in range(bins[f + 1], bins[f + 2])
            )
            logs.append(np.log(energy or np.finfo(float).eps))
        cepstra = []
        for n in range(1, 13):
            dct = np.sqrt(2 / 26) * sum(logs[f] * np.cos(np.pi * n * (2 * f + 1) / 52) for f in range(26))
            cepstra.append(dct * (1 + 11 * np.sin(np.pi * n / 22)))
        rows.append(cepstra)
    return np.array(rows)


@pytest.fixture
def speech() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32)


@pytest.mark.parametrize("samples", [300, 400, 401, 4000])
def test_mfcc_is_the_reference_features(speech, samples):
    np.testing.assert_allclose(mfcc(speech[:samples]), slow_mfcc(speech[:samples].astype(float)), atol=1e-3)


def librosa_mfcc(signal: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """librosa's pre-emphasis, spectrum, logarithm's DCT -> (M, 12), with mel filters (26, 257) and the sine lifter

    The lifter is applied here, because librosa's is shifted by one coefficient.
    """
    librosa = pytest.importorskip("librosa")
    emphasised = librosa.effects.preemphasis(signal, coef=0.97, zi=[0.0])
    rows = 1 + max(0, -(-(len(signal) - 400) // 160))
    # librosa puts the window of 400 in the middle of the 512 samples that it transforms.
    padded = np.pad(emphasised, (56, 400 + 160 * (rows - 1) - len(signal) + 56))
    spectrum = librosa.stft(
        padded, n_fft=512, hop_length=160, win_length=400, window="boxcar", center=False, dtype=np.complex128
    )
    cepstra = librosa.feature.mfcc(S=np.log(filters @ (np.abs(spectrum) ** 2 / 512)), n_mfcc=13, norm="ortho")
    return cepstra[1:].T * (1 + 11 * np.sin(np.pi * np.arange(1, 13) / 22))


def test_mfcc_is_librosas_given_the_same_filters(speech):
    np.testing.assert_allclose(mfcc(speech), librosa_mfcc(speech, _mel_filters(1.0)), atol=1e-3)


def test_filters_are_librosas_but_for_their_edges_at_whole_bins(speech):
    librosa = pytest.importorskip("librosa")
    edges = np.floor(513 * librosa.mel_frequencies(28, fmin=0, fmax=8000, htk=True) / 16000)
    assert _mel_filters(1.0).argmax(1).tolist() == edges[1:-1].tolist()
    theirs = librosa_mfcc(speech, librosa.filters.mel(sr=16000, n_fft=512, n_mels=26, htk=True, norm=None))
    correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(mfcc(speech).T, theirs.T, strict=True)]
    assert min(correlations) > 0.95


def test_one_second_is_99_rows_and_lrw_115():
    assert mfcc(np.zeros(16000, np.float32)).shape == (99, 12)
    assert mfcc(np.zeros(18560, np.float32)).shape == (115, 12)


def test_a_window_is_the_rows_of_seven_frames(speech):
    rows = mfcc(speech)
    inner = windows(speech, 14)
    # Row 0 of a whole signal has no sample before it; windows look further back than that only in frames 0 to 2.
    np.testing.assert_allclose(inner[5], rows[8:36], atol=1e-3)


def test_windows_from_the_middle_are_those_of_the_whole(speech):
    whole, part = windows(speech, 14), windows(speech, 5, start=6)
    np.testing.assert_allclose(whole[6:11, 1:], part[:, 1:], atol=1e-3)


@pytest.mark.parametrize("samples", [100, 640, 641, 9000])
@pytest.mark.parametrize("piece", [37, 640, 5000])
def test_streamed_windows_are_the_whole(speech, samples, piece):
    stream = AudioWindows()
    parts = [stream.push(speech[i : min(i + piece, samples)]) for i in range(0, samples, piece)]
    streamed = np.concatenate([*parts, stream.finish()])
    np.testing.assert_allclose(streamed, windows(speech[:samples], -(-samples // 640)), atol=1e-3)


def test_silence_is_all_zero_cepstra():
    assert np.abs(windows(np.zeros(6400, np.float32), 10)).max() < 1e-6


def test_warping_moves_a_formant_and_1_changes_nothing():
    tone = np.sin(2 * np.pi * 1000 * np.arange(5120) / 16000).astype(np.float32)
    needed = np.pad(tone, (0, 640 * 7 + 240 - 0))[: 640 * 7 + 240]
    np.testing.assert_array_equal(context_windows(needed), context_windows(needed, 1.0))
    higher = np.sin(2 * np.pi * 1100 * np.arange(len(needed)) / 16000).astype(np.float32)
    apart = np.abs(context_windows(needed) - context_windows(higher)).mean()
    warped = np.abs(context_windows(needed) - context_windows(higher, 1.1)).mean()
    assert warped < 0.7 * apart


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_is_added_at_the_ratio_asked_for(snr):
    voice = np.sin(np.arange(16000) * 0.05).astype(np.float32)
    noisy = add_noise(voice, snr, seed=1)
    measured = 10 * np.log10(np.mean(voice**2) / np.mean((noisy - voice) ** 2))
    assert noisy.dtype == np.float32 and measured == pytest.approx(snr, abs=0.2)
    np.testing.assert_array_equal(noisy, add_noise(voice, snr, seed=1))


def test_silence_gets_no_noise():
    np.testing.assert_array_equal(add_noise(np.zeros(640, np.float32), 0.0, 1), 0)
