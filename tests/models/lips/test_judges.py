"""The discriminators and the sync net: shapes, what each logit depends on, gradients."""

import pytest
import torch
from torch import Tensor

from models.lips.judges import LEAST_FRAMES, SpeechJudge, SyncNet
from training.losses.lip2speech import mel_pyramid


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def judge(context: int = 12, width: int = 2) -> SpeechJudge:
    torch.manual_seed(0)
    return SpeechJudge(context, width).eval()


@pytest.mark.parametrize("frames", [LEAST_FRAMES, LEAST_FRAMES + 1, 40])
def test_logits_of_three_sizes(frames):
    verdict = judge()(mel_pyramid(noisy(3, 80, 4 * frames)), noisy(3, 12))
    for logits in verdict:
        assert [tuple(one.shape) for one in logits] == [(3,)] * 3


def test_shorter_mels_cannot_be_judged():
    with pytest.raises(RuntimeError):
        judge()(mel_pyramid(noisy(1, 80, 4 * (LEAST_FRAMES - 1))), noisy(1, 12))


@torch.no_grad()
def test_only_the_conditional_logits_see_the_context():
    network, mels, context = judge(), mel_pyramid(noisy(2, 80, 80)), noisy(2, 12)
    one, other = network(mels, context), network(mels, torch.cat([context[:1], context[1:] + 1]))
    for size in range(3):
        assert torch.equal(one.alone[size], other.alone[size])
        assert one.given[size][0] == other.given[size][0] and one.given[size][1] != other.given[size][1]


@torch.no_grad()
def test_each_size_has_its_own_judge():
    network, mels, context = judge(), mel_pyramid(noisy(2, 80, 80)), noisy(2, 12)
    before = network(mels, context)
    for changed in range(3):
        after = network(tuple(mel * (1 + (size == changed)) for size, mel in enumerate(mels)), context)
        for size in range(3):
            assert torch.equal(before.alone[size], after.alone[size]) == (size != changed)
            assert torch.equal(before.given[size], after.given[size]) == (size != changed)


@pytest.mark.parametrize("learned", [True, False])
def test_gradients_reach_every_parameter(learned):
    network, mels = judge().train(), mel_pyramid(noisy(2, 80, 80))
    verdict = network(mels, noisy(2, 12))
    torch.stack([*verdict.alone, *verdict.given]).sum().backward()
    sync = SyncNet(10, 3, temperature=0.5, learned=learned)
    heard = sync(mels[2])
    assert heard.shape == (2, 20, 10)
    ((heard * noisy(*heard.shape)).sum() / sync.temperature).backward()
    for name, parameter in [*network.named_parameters(), *sync.named_parameters()]:
        if name == "log_temperature" and not learned:
            assert parameter.grad is None
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.ndim < 2 or parameter.grad.abs().max() > 1e-6, name


def test_temperature():
    assert SyncNet(4, 2, temperature=0.25).temperature.item() == pytest.approx(0.25)
    assert SyncNet(4, 2, temperature=1e-5).temperature.item() == pytest.approx(0.01)


@torch.no_grad()
def test_a_frames_features_hear_that_frame_and_its_neighbours():
    """Two strided convolutions and a block of two hear 3.5 frames either side at most, so a change stays near."""
    torch.manual_seed(0)
    network, mel = SyncNet(10, 3).eval(), noisy(1, 80, 80)
    changed = mel.clone()
    changed[..., 40:44] += 1  # frame 10
    differs = (network(mel) - network(changed)).abs().amax((0, 2)) > 1e-6
    heard = differs.nonzero().flatten()
    assert 10 in heard and heard.min() >= 7 and heard.max() <= 13
