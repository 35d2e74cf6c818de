"""Lip-to-speech's losses where their answer is known."""

import math
from argparse import Namespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.lips.generator import Context, LipToSpeech, Speech
from models.lips.judges import SpeechJudge, SyncNet, Verdict
from tests.evaluation.speech.test_metrics import speech
from training.losses import lip2speech as losses
from training.losses.lip2speech import envelope_loss
from utils.audio.mel import spectrum
from utils.letters import CLASSES, to_classes

WEIGHTS = Namespace(
    reconstruction_weight=50.0, adversarial_weight=1.0, sync_weight=1.0, text_weight=1.0, envelope_weight=0.0
)


def batch(frames: int = 24, lengths=(24, 20)) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(
        mouths=torch.zeros(2, frames, 8, 8, dtype=torch.uint8),
        mel=torch.rand(2, 80, 4 * frames) * 2 - 1,
        spectrum=torch.rand(2, 321, 4 * frames),
        frames=torch.tensor(lengths),
        letters=torch.zeros(2, 8, dtype=torch.int64),
        letter_count=torch.zeros(2, dtype=torch.int64),
    )


def truth(given: dict[str, torch.Tensor]) -> Speech:
    """What would be right"""
    torch.manual_seed(1)
    seen = Context(torch.randn(2, 24, 32), torch.randn(2, 24, 16), None)
    return Speech(losses.mel_pyramid(given["mel"]), given["spectrum"], (None, None), seen)


def test_what_is_right_costs_nothing_and_padding_does_not_count():
    given = batch()
    parts = losses.reconstruction_loss(truth(given), given)
    assert all(part == 0 for part in parts.values())
    wrong = truth(given)
    wrong.mels[2][1, :, 80:] += 1  # beyond the second clip's end
    wrong.spectrum[1, :, 80:] += 1
    given = batch()
    assert all(part == 0 for part in losses.reconstruction_loss(wrong, given).values())
    wrong.mels[2][1, :, 76:80] += 1  # its last frame
    assert losses.reconstruction_loss(wrong, given)["mel"] > 0


def test_mels_errors_are_in_natural_logarithms():
    given = batch(lengths=(24, 24))
    speech = truth(given)
    off = speech._replace(mels=tuple(mel + 0.1 for mel in speech.mels))
    assert losses.reconstruction_loss(off, given)["mel"].item() == pytest.approx(
        0.1 * -math.log(1e-5) / 2, rel=1e-4
    )


def test_smaller_mels_are_bilinear_means():
    mel = torch.rand(1, 80, 32)
    small, middle, whole = losses.mel_pyramid(mel)
    assert small.shape == (1, 20, 8) and middle.shape == (1, 40, 16) and whole is mel
    torch.testing.assert_close(middle, F.avg_pool2d(mel, 2))
    torch.testing.assert_close(
        small[0, 0, 0], mel[0, 1:3, 1:3].mean()
    )  # between the middle ones, as the original


def test_contrast_finds_the_frame_that_belongs():
    torch.manual_seed(0)
    features = torch.randn(2, 12, 64)
    lengths, cold = torch.tensor([12, 9]), torch.tensor(0.05)
    right = losses.contrast_loss(features, features, lengths, cold)
    late = losses.contrast_loss(features, features.roll(1, 1), lengths, cold)
    assert right < 0.01 < 3 < late
    spoilt = features.clone()
    spoilt[1, 9:] = 100.0
    assert losses.contrast_loss(spoilt, features, lengths, cold) == right  # padding is nobody's rival
    flat = losses.contrast_loss(features, features, lengths, torch.tensor(1e6))
    assert flat.item() == pytest.approx((12 * math.log(12) + 9 * math.log(9)) / 21, rel=1e-3)


def test_the_opposite_is_not_in_sync():
    features = torch.randn(1, 6, 8)
    lengths = torch.tensor([6])
    assert losses.sync_loss(features, features, lengths).item() == pytest.approx(0, abs=1e-6)
    assert losses.sync_loss(features, -features, lengths).item() == pytest.approx(2, abs=1e-6)


def test_text_is_read_off_and_clips_without_it_do_not_count():
    given = batch()
    said = to_classes("bin")
    given["letters"][0, :3], given["letter_count"][0] = torch.tensor(said), 3
    logits = torch.full((2, 24, CLASSES), -20.0)
    logits[..., 0] = 0
    assert losses.text_loss(logits, given) > 5
    for place, letter in zip((3, 9, 15), said, strict=True):
        logits[0, place, letter], logits[0, place, 0] = 20.0, -20.0
    assert losses.text_loss(logits, given) < 1e-3
    given["letter_count"][0] = 0
    assert losses.text_loss(logits, given) == 0


def test_verdicts():
    sure = Verdict([torch.full((2,), 30.0)] * 3, [torch.full((2,), 30.0)] * 3)
    assert losses.non_saturating(sure, real=True) < 1e-6
    assert losses.non_saturating(sure, real=False).item() == pytest.approx(
        60
    )  # both heads, mean over three sizes


def test_the_penalty_is_the_slope_of_the_mel_alone_for_sixteen_steps():
    torch.manual_seed(0)
    judge, given = SpeechJudge(16, 2), batch(lengths=(24, 24))
    speech = truth(given)
    plain, parts = losses.judge_loss(judge, given, speech, regularise=False)
    full, more = losses.judge_loss(judge, given, speech, regularise=True)
    context, expected = losses.clip_context(speech.seen.context, given["frames"]), 0.0
    for size, mel in zip(judge.sizes, losses.mel_pyramid(given["mel"]), strict=True):
        for clip in range(2):  # each clip by itself, its own logit by its own mel
            leaf = mel[clip : clip + 1].clone().requires_grad_()
            (slope,) = torch.autograd.grad(size(leaf, context[clip : clip + 1])[0].sum(), leaf)
            expected += slope.square().sum().item() / 6
    assert more["judge_r1"].item() == pytest.approx(expected, rel=1e-3) and "judge_r1" not in parts
    assert (full - plain).item() == pytest.approx(16 * expected, rel=1e-2)
    full.backward()
    assert all(weight.grad is not None for weight in judge.parameters())


def test_each_weight_scales_its_own_part_and_the_generator_gets_gradient():
    torch.manual_seed(0)
    model = LipToSpeech(size=32, front=4, context=16, decoder=16, postnet=8, noise=4, text=True)
    judge, sync = SpeechJudge(16, 2), SyncNet(32, 4)
    given = batch()
    given["letters"][0, :3], given["letter_count"][0] = torch.tensor(to_classes("bin")), 3
    speech = model(torch.randn(2, 24, 32, 32), given["frames"])
    heard = sync(given["mel"]).detach()
    total, parts = losses.generator_loss(speech, given, judge, sync, heard, WEIGHTS)
    weights = dict(mel=50, spectrum=50)
    expected = sum(weights.get(name, 1) * part for name, part in parts.items())
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts.keys() == {"mel", "spectrum", "adversarial", "sync", "contrast", "text"}
    total.backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not without
    alone, parts = losses.generator_loss(speech, given, None, None, None, WEIGHTS)
    assert parts.keys() == {"mel", "spectrum", "text"} and alone < total


def test_nobody_judges_what_lies_beyond_a_clips_end():
    torch.manual_seed(0)
    judge, sync, given = SpeechJudge(16, 2), SyncNet(32, 4).eval(), batch()
    speech = truth(given)
    heard = sync(given["mel"]).detach()
    junk = tuple(mel.clone() for mel in speech.mels)
    for mel in junk:
        mel[1, :, 20 * mel.shape[-1] // 24 :] = 0.7
    both = speech, speech._replace(mels=junk)
    for one, other in [
        [losses.generator_loss(told, given, judge, sync, heard, WEIGHTS)[1] for told in both],
        [losses.judge_loss(judge, given, told, False)[1] for told in both],
    ]:
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_judge_teaches_the_generator_nothing_of_its_own_step():
    model = LipToSpeech(size=32, front=4, context=16, decoder=16, postnet=8, noise=4)
    speech, given = model(torch.randn(2, 24, 32, 32)), batch()
    losses.judge_loss(SpeechJudge(16, 2), given, speech, True)[0].backward()
    assert all(weight.grad is None for weight in model.parameters())


def test_envelopes_are_compared_as_stoi_does():
    from pystoi import stoi

    true = torch.from_numpy(np.asarray(speech(2.4), np.float32))
    random, losses, figures = torch.Generator().manual_seed(0), [], []
    for share in (0.0, 0.1, 0.3, 1.0, 3.0):
        made = true + share * true.std() * torch.randn(true.shape, generator=random)
        pair = spectrum(made)[None], spectrum(true)[None]
        losses.append(float(envelope_loss(*pair, torch.tensor([pair[0].shape[2] // 4]))))
        figures.append(stoi(true.numpy(), made.numpy(), 16000))
    assert losses[0] == pytest.approx(0, abs=5e-3) and losses == sorted(losses)
    assert figures == sorted(figures, reverse=True) and losses[-1] > 0.3


def test_louder_is_no_other_envelope_and_padding_does_not_count():
    magnitudes = spectrum(torch.from_numpy(np.asarray(speech(1.2), np.float32)))[None]
    whole = torch.tensor([magnitudes.shape[2] // 4])
    assert float(envelope_loss(10 * magnitudes, magnitudes, whole)) < 1e-2
    other = magnitudes.roll(20, 2)
    first = envelope_loss(other[..., :80], magnitudes[..., :80], torch.tensor([20]))
    padded = [torch.cat([one[..., :80], torch.rand(1, 321, 40)], dim=2) for one in (other, magnitudes)]
    assert float(envelope_loss(*padded, torch.tensor([20]))) == pytest.approx(float(first), abs=1e-4)
    other.requires_grad_()
    envelope_loss(other, magnitudes, whole).backward()
    assert other.grad.isfinite().all() and other.grad.abs().sum() > 0


def test_silence_has_a_gradient_that_is_a_number():
    made = torch.zeros(1, 321, 80, requires_grad=True)
    envelope_loss(made, torch.rand(1, 321, 80).half(), torch.tensor([20])).backward()  # as samples have it
    assert made.grad.isfinite().all()
