"""The losses' weights: what each one scales, and that the log shows every part without it."""

import pytest
import torch

import vgnet
from models import VGOutput
from utils.losses import discriminator_loss


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
        loss, _ = vgnet.judge(discriminator, output, batch, args)
        assert loss == discriminator_loss(*judged, weight, args.mouth_landmark_weight)[0]
