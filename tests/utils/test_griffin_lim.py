"""Griffin and Lim's phases beside librosa's, of the same magnitudes."""

import librosa
import torch

from tests.evaluation.speech.test_metrics import speech
from utils.audio.mel import HOP, WINDOW, spectrum, stft
from utils.audio.vocoder import LEAD, LOUD, MOMENTUM, griffin_lim, sharpened, softened


def unlike(sound: torch.Tensor, magnitudes: torch.Tensor) -> float:
    """How far a sound's magnitudes are from those that it was made of (spectral convergence)"""
    made = stft(sound).abs()[..., : magnitudes.shape[-1]]
    return float((made - magnitudes).norm() / magnitudes.norm())


def test_it_converges_as_librosa_does():
    magnitudes = spectrum(speech(1.2))
    whole = torch.cat(
        [magnitudes, magnitudes[:, -1:]], dim=1
    ).numpy()  # with the column after the last sample
    options = dict(hop_length=HOP, win_length=WINDOW, n_fft=WINDOW, pad_mode="reflect", momentum=MOMENTUM)
    for iterations in (10, 60):
        ours = unlike(griffin_lim(magnitudes, iterations), magnitudes)
        theirs = librosa.griffinlim(whole, n_iter=iterations, random_state=0, **options)
        assert 0.85 < ours / unlike(torch.from_numpy(theirs), magnitudes) < 1.15


def test_sharpened_magnitudes_have_deeper_valleys_and_the_same_loudness_at_one_point():
    magnitudes = torch.tensor([-0.5, 0.0, LOUD / 4, LOUD, 4 * LOUD])
    assert torch.equal(sharpened(magnitudes, 1), magnitudes.clamp(min=0))
    made = sharpened(magnitudes, 1.5)
    torch.testing.assert_close(made, LOUD * torch.tensor([0, 0, 1 / 8, 1, 8]))


def test_softened_magnitudes_are_spread_over_time_a_little_early():
    click = torch.zeros(321, 41)
    click[:, 20] = 1
    assert torch.equal(softened(click, 0), click)
    torch.testing.assert_close(softened(click, 0.01), click)  # too narrow for a neighbour
    for softness in (0.7, 1.0, 1.4):
        made, places = softened(click, softness), torch.arange(41.0)
        torch.testing.assert_close(made.sum(1), torch.ones(321))
        centre = (made * places).sum(1)
        torch.testing.assert_close(centre, torch.full((321,), 20 - LEAD), atol=0.02, rtol=0)
        spread = (made * (places - centre[:, None]).square()).sum(1).sqrt()
        torch.testing.assert_close(spread, torch.full((321,), softness), atol=0.03, rtol=0)
    steady = torch.rand(2, 321, 1).expand(-1, -1, 30)
    torch.testing.assert_close(softened(steady, 1.0), steady)  # the ends too
