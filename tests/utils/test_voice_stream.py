"""Sound of magnitudes that come piece by piece."""

import numpy as np
import pytest
import torch
from torch import Tensor

from utils.audio import vocoder
from utils.audio.mel import spectrum
from utils.audio.vocoder import FADE, OVERLAP, deemphasised, griffin_lim, join, voice_stream


def speech(frames: int, loudness: float = 0.5) -> np.ndarray:
    """A buzz whose pitch glides, with two syllables a second and a little hiss between them"""
    time = np.arange(640 * frames) / 16000
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 2 * time) + 0.3, 0, 1)
    hiss = np.random.default_rng(0).normal(size=len(time))
    return (loudness * (0.4 * buzz * syllables + 0.01 * hiss)).astype(np.float32)


def pieces_of(magnitudes: Tensor, length: int) -> list[Tensor]:
    return list(magnitudes.split(length, dim=1))


def test_what_fits_one_chunk_is_plain_griffin_lim():
    magnitudes = spectrum(speech(20))
    plain = deemphasised(griffin_lim(magnitudes)).clamp(-1, 1)
    for pieces in (pieces_of(magnitudes, 80), pieces_of(magnitudes, 12)):
        assert torch.equal(torch.cat(list(voice_stream(pieces, chunk=80))), plain)


@pytest.mark.parametrize("frames", [1, 2, 24, 25, 26, 60, 101])
@pytest.mark.parametrize("length", [4, 1000])
def test_each_frame_has_640_samples(frames, length):
    magnitudes = spectrum(speech(frames))
    sound = torch.cat(list(voice_stream(pieces_of(magnitudes, length), chunk=100)))
    assert sound.shape == (640 * frames,) and sound.isfinite().all() and sound.abs().max() <= 1


def test_joints_neither_click_nor_change_what_is_heard():
    magnitudes = spectrum(speech(150))
    whole = torch.cat(list(voice_stream([magnitudes], chunk=600)))
    joined = torch.cat(list(voice_stream([magnitudes], chunk=200)))
    steps = joined.diff().abs()
    near = torch.zeros(len(steps), dtype=torch.bool)
    for joint in range(200 - OVERLAP, 600, 200 - OVERLAP):  # each lies in the overlap from here on
        near[160 * joint : 160 * (joint + OVERLAP)] = True
    assert 0 < near.sum() < len(near) / 2
    assert steps[near].max() <= steps[~near].max()

    def error(sound: Tensor) -> Tensor:
        return (spectrum(sound) - spectrum(whole)).abs().mean(0)

    loud = spectrum(whole).mean()
    assert error(joined).mean() < 0.2 * loud < 0.5 * error(torch.zeros(len(whole))).mean()


def columns(count: int) -> Tensor:
    """Magnitudes that tell which columns they are"""
    return torch.arange(count, dtype=torch.float32).expand(321, -1)


@pytest.fixture
def told(monkeypatch):
    """Replaces Griffin-Lim by a function of the first and last sample that are wanted"""

    def replace(sound_of) -> None:
        def made(magnitudes: Tensor, seed: int) -> Tensor:
            first = int(magnitudes[0, 0])
            assert torch.equal(magnitudes[0], torch.arange(first, first + magnitudes.shape[1]))
            return sound_of(160 * first, 160 * (first + magnitudes.shape[1]))

        monkeypatch.setattr(vocoder, "griffin_lim", made)

    return replace


def test_chunks_that_agree_join_to_the_whole(told):
    """Each at its place, and de-emphasis goes on from one to the next"""
    whole = 0.02 + 0.01 * torch.sin(torch.arange(160 * 400) / 70)  # the sum of it is large: 0.02 / (1 - 0.97)
    told(lambda start, end: whole[start:end])
    joined = torch.cat(list(voice_stream([columns(400)], chunk=150)))
    torch.testing.assert_close(joined, deemphasised(whole), atol=1e-4, rtol=0)


def test_chunks_that_do_not_agree_join_without_a_step(told):
    """Neither where they are loud, beside a pause, nor where there is none"""
    time = torch.arange(160 * 400) / 16000
    for pause in (0.0, 1.0):
        gate = 1 - pause * (torch.sin(2 * torch.pi * 3 * time) > 0.9).float()

        def waves(start: int, end: int, gate: Tensor = gate) -> Tensor:
            return 0.02 * gate[start:end] * torch.cos(2 * torch.pi * 100 * time[: end - start] + start)

        told(waves)
        joined = torch.cat(list(voice_stream([columns(400)], chunk=150)))
        alone = deemphasised(waves(0, 160 * 400))
        assert joined.diff().abs().max() <= 1.1 * alone.diff().abs().max()
        assert joined.abs().max() <= 1.1 * alone.abs().max()


def test_a_joint_lies_where_it_is_quiet_and_signs_agree():
    time = torch.arange(9600) / 16000
    tone = torch.sin(2 * torch.pi * 200 * time)
    tone[5000 : 5000 + 2 * FADE] = 0
    later = torch.cat([-tone, torch.ones(100)])
    joined = join(tone, later)
    torch.testing.assert_close(joined[:9600], tone)  # the same wave, turned over, does not cancel
    assert (joined[9600:] == -1).all() and len(joined) == 9700
    other = torch.cat([0.5 * tone, torch.zeros(7)])
    joined = join(tone, other)
    assert torch.equal(joined[:5000], tone[:5000])
    assert torch.equal(joined[5000 + 2 * FADE :], other[5000 + 2 * FADE :])


def test_deemphasis_goes_on_across_chunks():
    """A low tone has an offset that de-emphasis alone carries: restarted at a joint, it would leave a step"""
    random = torch.Generator().manual_seed(0)
    sound = torch.rand(5000, generator=random) - 0.3
    first = deemphasised(sound[:2000])
    again = torch.cat([first, deemphasised(sound[2000:], float(first[-1]))])
    torch.testing.assert_close(again, deemphasised(sound), atol=1e-4, rtol=0)


def test_loud_speech_is_clipped_and_silence_stays_silent():
    loud = torch.cat(list(voice_stream([20 * spectrum(speech(10))])))
    assert loud.abs().max() == 1
    quiet = spectrum(speech(30))
    quiet[:, 40:80] = 0
    sound = torch.cat(list(voice_stream([quiet], chunk=90)))
    assert sound[160 * 45 : 160 * 76].abs().max() < 1e-4 < sound[: 160 * 30].abs().max()


def test_sound_comes_while_spectra_are_still_made():
    """Memory: a chunk's worth waits, no more"""
    given = 0

    def made():
        nonlocal given
        for piece in pieces_of(spectrum(speech(100)), 40):
            given += 40
            yield piece

    heard = 0
    for sound in voice_stream(made(), chunk=120):
        heard += len(sound) // 160
        assert given - heard <= 120 + OVERLAP + 40
    assert heard == 400
