"""Sound whose loudness is steadied between the columns of its spectrum."""

import pytest
import torch
from torch import Tensor

from tests.utils.test_voice_stream import speech
from utils.audio import SAMPLE_RATE, steady
from utils.audio.mel import BINS, spectrum, stft
from utils.audio.steady import BANDS, SHORT, STEP, halfway, shares, steadied
from utils.audio.vocoder import deemphasised, griffin_lim, voice_stream


def guessed(frames: int) -> Tensor:
    """Magnitudes as a network guesses them: loudness and colour without pitch or detail"""
    return torch.nn.functional.avg_pool2d(spectrum(speech(frames))[None], (21, 7), 1, (10, 3))[0]


def loudness(sound: Tensor) -> Tensor:
    """(bands, T): the power of bands in windows of 25 ms"""
    return shares(SHORT // 2 + 1) @ stft(sound, SHORT, STEP).abs().square() + 1e-6


def flutter(sound: Tensor) -> float:
    """How much the loudness of bands changes from 5 to 5 ms, in dB"""
    return float((10 * loudness(sound).log10().diff(dim=1)).abs().mean())


def test_bands_share_each_bin_and_are_even():
    weights = shares(BINS)
    torch.testing.assert_close(weights[:, 1:-1].sum(0), torch.ones(BINS - 2))
    assert len(weights) == BANDS and (weights >= 0).all() and (weights.sum(1) > 0.9).all()
    assert (weights.argmax(1).diff() > 0).all()


def test_what_lies_between_columns_is_their_mean():
    columns = torch.tensor([[1.0, 3.0, 7.0], [0.0, 2.0, 2.0]])
    expected = torch.tensor([[1.0, 2.0, 3.0, 5.0, 7.0, 7.0, 7.0], [0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]])
    assert torch.equal(halfway(columns), expected)


def test_two_renderings_of_one_guess_are_alike_once_steadied():
    magnitudes = guessed(60)
    plain = [griffin_lim(magnitudes, seed=seed) for seed in (0, 1)]
    calm = [steadied(sound, magnitudes) for sound in plain]

    def unlike(first: Tensor, second: Tensor) -> float:
        return float((10 * (loudness(first) / loudness(second)).log10()).abs().mean())

    assert unlike(*calm) < 0.5 * unlike(*plain)
    assert flutter(calm[0]) < 0.7 * flutter(plain[0])


def test_loudness_and_colour_stay_what_the_magnitudes_say():
    magnitudes = guessed(60)
    sound = steadied(griffin_lim(magnitudes), magnitudes)
    made = stft(sound).abs()[:, :-1]
    level = 10 * (made.square().sum() / magnitudes.square().sum()).log10()
    assert sound.shape == (160 * magnitudes.shape[1],) and abs(level) < 2
    weights = steady.bands(BINS)
    both = torch.stack([(weights @ one.square()).flatten().add(1e-4).log() for one in (made, magnitudes)])
    assert torch.corrcoef(both)[0, 1] > 0.97


def test_silence_stays_silent_and_the_short_and_the_unasked_stay():
    magnitudes = guessed(20)
    magnitudes[:, 30:50] = 0
    sound = steadied(griffin_lim(magnitudes), magnitudes)
    gap = sound[160 * 34 : 160 * 46]
    assert sound.isfinite().all() and gap.abs().max() < 0.02 * sound.abs().max()
    assert steadied(sound, magnitudes, 0) is sound
    few = torch.rand(SHORT)
    assert steadied(few, torch.rand(321, 2)) is few


def test_a_stream_is_steadied_piece_by_piece():
    magnitudes = guessed(20)
    whole = deemphasised(steadied(griffin_lim(magnitudes, seed=2), magnitudes, 3)).clamp(-1, 1)
    assert torch.equal(torch.cat(list(voice_stream([magnitudes], seed=2, steady=3))), whole)
    parts = list(voice_stream(magnitudes.split(8, dim=1), chunk=70, steady=3))
    plain = list(voice_stream(magnitudes.split(8, dim=1), chunk=70))
    assert len(parts) > 1 and sum(map(len, parts)) == len(whole) == SAMPLE_RATE * 20 // 25
    for calm, other in zip(parts, plain, strict=True):
        assert flutter(calm) < 0.8 * flutter(other)


@pytest.mark.parametrize("columns", [3, 4, 5])
def test_sounds_hardly_longer_than_a_window(columns):
    magnitudes = torch.rand(321, columns)
    made = steadied(griffin_lim(magnitudes), magnitudes)
    assert made.shape == (160 * columns,) and made.isfinite().all()
