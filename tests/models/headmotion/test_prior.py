"""The Gaussian process that motion begins with."""

import numpy as np
import torch

from models.headmotion.prior import MotionPrior
from tests.heads import SIZES, smooth_motion


def fitted(past: int = 8, frames: int = 24) -> MotionPrior:
    prior = MotionPrior(past, frames)
    prior.fit([torch.from_numpy(smooth_motion(200, seed)) for seed in range(6)], [torch.zeros(200, 3)] * 6)
    return prior


def test_loud_words_come_with_larger_pushes():
    """Motion whose pushes are larger six frames before loudness: the fit finds it, and leaves silence as it was"""
    random, prior = torch.Generator().manual_seed(0), MotionPrior(8, 24)
    heard = torch.zeros(20, 300, 3)
    heard[..., 0] = (torch.arange(300) // 20 % 2).float()
    sizes = 0.5 + 2 * heard[:, 6:, :1]
    pushes = torch.randn(20, 294, 6, generator=random) * sizes
    motion = torch.zeros(20, 294, 6)
    for n in range(1, 294):
        motion[:, n] = 0.9 * motion[:, n - 1] + 0.01 * pushes[:, n]
    prior.fit([*motion], [*heard[:, :294]])
    made = prior.sizes(heard[:1, 100:132])[0, :, 0]
    louder = heard[0, 114:138, 0] > 0.5
    assert made[louder].mean() > 2 * made[~louder].mean()
    assert prior.loud[1].argmax() in (1, 2, 3) and prior.loud[1].max() > 0.3
    calm = prior.sizes(heard[:1, 100:132], emphasis=0.0)[0]
    torch.testing.assert_close(calm, prior.level.exp().expand_as(calm))


def test_motion_and_chance_are_inverse():
    prior, random = fitted(), torch.Generator().manual_seed(0)
    past, chance = torch.randn(3, 8, 6, generator=random), torch.randn(3, 24, 6, generator=random)
    torch.testing.assert_close(prior.chance(prior.motion(chance, past), past), chance, rtol=1e-3, atol=1e-3)


def test_it_goes_on_smoothly_and_comes_back_to_rest():
    prior = fitted(16, 150)
    true = torch.from_numpy(smooth_motion(100, 9)) / prior.deviation
    expected = prior.expected(true[None, 50:66])[0]
    step, steps = (expected[0] - true[65]).abs(), true.diff(dim=0).abs()
    assert (step < 2 * steps.max(0).values).all()
    assert expected[-1].abs().max() < 0.2
    assert prior.expected(torch.zeros(1, 16, 6)).abs().max() == 0


def test_what_it_makes_is_as_large_as_heads_move():
    prior = fitted(8, 200)
    made = prior.motion(
        torch.randn(40, 200, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(40, 8, 6)
    )
    ratio = made[:, 100:].std((0, 1)) * prior.deviation / torch.from_numpy(SIZES) / 0.47
    assert (ratio > 0.7).all() and (ratio < 1.4).all()


def test_it_survives_half_precision():
    prior, other = fitted(32, 64), MotionPrior(32, 64)
    other.load_state_dict({name: tensor.half() for name, tensor in prior.state_dict().items()})
    past, chance = torch.zeros(1, 32, 6), torch.randn(1, 64, 6)
    np.testing.assert_allclose(other.motion(chance, past), prior.motion(chance, past), atol=0.05)
