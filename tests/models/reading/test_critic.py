"""The lip reader as a critic: it sees the mouths that its training would, and gradients pass to the pictures."""

import numpy as np
import pytest
import torch

from models.reading.critic import ReadingCritic
from models.reading.reader import LipReader
from tests.synthetic import draw_face, talking_landmarks
from training.losses.vgnet import reading_loss
from utils.face.landmarks import denormalise, normalise
from utils.face.mouth import cut_mouths, mouth_window, to_mouth_network

FRAMES = 6


@pytest.fixture(scope="module")
def critic() -> ReadingCritic:
    torch.manual_seed(0)
    return ReadingCritic(LipReader(["bin", "now"], size=32, view=0.7, front=4, hearing=4, width=16, slots=8))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips: frames (2, T, 3, 128, 128) in [-1, 1], landmarks (2, T, 136)"""
    clips = [talking_landmarks(FRAMES, seed)[0] for seed in (0, 1)]
    pictures = np.stack([[draw_face(points, (200, 160, 120), 128) for points in clip] for clip in clips])
    frames = torch.from_numpy(pictures).movedim(-1, 2).float() / 127.5 - 1
    return frames, torch.from_numpy(np.stack([normalise(clip) for clip in clips]))


def test_it_sees_the_mouths_that_a_store_would_give(critic):
    frames, landmarks = batch()
    seen = critic(frames, critic.windows(landmarks, 128))
    for clip, points, own in zip(frames, landmarks, seen, strict=True):
        pictures = ((clip + 1) * 127.5).round().to(torch.uint8)
        window = mouth_window(denormalise(points.numpy()), 32, 0.7)
        expected = critic.frontend(to_mouth_network(cut_mouths(pictures, window, 32))[None])[0]
        torch.testing.assert_close(own, expected, atol=0.05, rtol=0.02)  # whole grey levels there


def test_gradients_reach_the_mouth_alone_and_nothing_learns(critic):
    frames, landmarks = batch()
    statistics = {name: value.clone() for name, value in critic.state_dict().items()}
    made = (frames + 0.1 * torch.randn_like(frames)).requires_grad_()
    critic.train()
    reading_loss(critic, made, frames, landmarks).backward()
    moved = made.grad.abs().sum((0, 1, 2))
    assert moved[80:100, 50:78].min() > 0 and moved[:40].max() == 0  # mouth, and forehead
    assert all(torch.equal(value, statistics[name]) for name, value in critic.state_dict().items())
    assert not any(weight.requires_grad for weight in critic.parameters())


def test_the_loss_is_nothing_for_the_truth_and_grows_with_the_mouths_unlikeness(critic):
    frames, landmarks = batch()
    still = frames[:, :1].expand_as(frames)
    assert reading_loss(critic, frames, frames, landmarks) == pytest.approx(0, abs=1e-5)
    assert reading_loss(critic, still, frames, landmarks) > 1e-4
    other = frames.clone()
    other[..., :40, :] = 0  # what it does not see
    assert reading_loss(critic, other, frames, landmarks) == pytest.approx(0, abs=1e-5)
