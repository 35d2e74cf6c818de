"""The losses on pictures whose answer is known, and their weights: what each one scales."""

import pytest
import torch
from torch.nn import functional as F

import vgnet
from models import VGOutput
from training.losses.vgnet import (
    discriminator_loss,
    dynamic_pixel_loss,
    generator_loss,
    hinge_loss,
    judge_clips,
    matching_loss,
    mouth_map,
    texture_loss,
)
from utils.face.landmarks import TEMPLATE, normalise


def noise(size: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 2, 3, size, size) * 2 - 1


def blur(frames: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(frames.flatten(0, 1), 3, 1, 1, count_include_pad=False).unflatten(0, (1, 2))


def test_texture_counts_detail_wherever_it_lies():
    real = noise()
    assert texture_loss(real, real).item() == 0
    shifted, soft = texture_loss(real.roll(1, -1), real).item(), texture_loss(blur(real), real).item()
    assert soft > 5 * shifted  # the mean absolute error has it the other way round
    assert (blur(real) - real).abs().mean() < (real.roll(1, -1) - real).abs().mean()


def test_the_gradient_of_texture_sharpens():
    real = noise()
    fake = blur(real).requires_grad_()
    (gradient,) = torch.autograd.grad(texture_loss(fake, real), fake)
    step = fake - 0.1 * gradient / gradient.abs().mean()
    assert texture_loss(step, real) < texture_loss(fake, real)


def test_texture_is_weighted_by_place():
    real = noise()
    left = torch.zeros(1, 2, 1, 64, 64)
    left[..., :32] = 1
    fake = real.clone()
    fake[..., 40:] = 0
    assert texture_loss(fake, real, left).item() == 0 < texture_loss(fake, real, left.flip(-1)).item()


def test_the_pixel_loss_lowers_nothing_by_looking_away():
    real, fake = noise(), blur(noise())
    attention = torch.full((1, 2, 1, 64, 64), 0.5, requires_grad=True)
    fake = fake.requires_grad_()
    loss = dynamic_pixel_loss(fake, real, attention, beta=0.5)
    loss.backward()
    assert attention.grad is None and fake.grad.abs().sum() > 0
    torch.testing.assert_close(loss, (fake - real).abs().mean())


def test_the_mouth_map_weighs_the_mouth():
    face = torch.from_numpy(normalise(TEMPLATE)).expand(1, 1, -1)
    weights = mouth_map(face, 64, 3.0)[0, 0, 0]
    x, y = ((face.unflatten(-1, (68, 2))[0, 0, 48:].mean(0) + 1) * 32).long().tolist()
    assert weights[y, x] > 3.9 and weights[0, 0] == 1


@pytest.fixture
def judged() -> tuple[torch.Tensor, ...]:
    """Logits of real and fake clips, the landmarks read off them, and the true ones"""
    torch.manual_seed(0)
    return *torch.randn(2, 3), *torch.randn(3, 3, 4, 136)


def test_the_discriminators_landmark_terms_have_a_weight(judged):
    plain, parts = discriminator_loss(*judged, landmark_weight=1, mouth_weight=10)
    assert plain == sum(parts.values())
    weighted, again = discriminator_loss(*judged, landmark_weight=3, mouth_weight=10)
    assert again == parts
    expected = parts["real"] + parts["fake"] + 3 * (parts["landmark_real"] + parts["landmark_fake"])
    torch.testing.assert_close(weighted, expected)
    assert discriminator_loss(*judged, 0, 10)[0] == parts["real"] + parts["fake"]


def test_vgnets_flag_weighs_them(judged):
    real, fake, read_real, read_fake, true = judged
    images = torch.zeros(3, 4, 3, 16, 16)
    batch = dict(frames=images, example_landmarks=true[:, 0], landmarks=true)
    output = VGOutput(images, *[None] * 5)

    def discriminator(frames, example):
        return torch.cat([real, fake]), torch.cat([read_real, read_fake])

    for weight in (1.0, 2.5):
        args = vgnet.parse_args(["-landmark_weight", str(weight)])
        loss, _ = judge_clips(discriminator, output, batch, args)
        assert loss == discriminator_loss(*judged, weight, args.mouth_landmark_weight)[0]


def test_fine_detail_is_measured_precisely_in_bfloat16():
    """Rounded, an even bright wall would have detail."""
    real = (0.9 + 0.002 * torch.rand(1, 2, 3, 64, 64)).clone()
    fake = torch.full_like(real, 0.9)
    precise = texture_loss(fake, real)
    with torch.autocast("cpu", torch.bfloat16):
        assert texture_loss(fake, real) == precise > 0


def test_the_hinge_loss_wants_a_margin():
    sure = torch.full((4, 1, 3, 3), 1.5)
    assert hinge_loss(sure, -sure) == 0
    assert hinge_loss(0 * sure, 0 * sure) == 2 and hinge_loss(-sure, sure) == 5


def test_matching_compares_features_and_teaches_the_fake_alone():
    fake, real = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    loss = matching_loss([fake, fake], [real, 3 * real])
    loss.backward()
    assert loss == 2 and fake.grad.abs().sum() > 0 and real.grad is None


def test_without_the_dynamic_weight_pixels_count_alike():
    """The paper's ND: the absolute error, weighted by the mouth only; the attention has no say."""
    torch.manual_seed(0)
    frames, real = torch.randn(2, 1, 4, 3, 32, 32)
    landmarks = torch.rand(1, 4, 136) - 0.5
    batch = dict(frames=real, landmarks=landmarks)
    losses = {}
    for flag in ("true", "false"):
        for openness in (0.0, 1.0):
            output = VGOutput(frames, torch.full((1, 4, 1, 32, 32), openness), *[None] * 4)
            args = vgnet.parse_args(["-dynamic_pixel_loss", flag, "-mouth_weight", "3"])
            losses[flag, openness] = generator_loss(output, batch, {}, args)[0]
    expected = 10 * ((frames - real).abs() * mouth_map(landmarks, 32, 3.0)).mean()
    torch.testing.assert_close(losses["false", 0.0], expected)
    assert losses["false", 0.0] == losses["false", 1.0]
    torch.testing.assert_close(losses["true", 0.0], 0.5 * expected)
    torch.testing.assert_close(losses["true", 1.0], 1.5 * expected)
