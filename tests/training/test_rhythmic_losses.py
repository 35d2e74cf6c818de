"""The losses of rhythmic head motion's renderer"""

import numpy as np
import pytest
import torch

from evaluation.picture_metrics import ssim
from models import RhythmicDiscriminator
from tests.models.rhythmic.inputs import given, small
from training.losses.perceptual import PerceptualLoss, vgg_layers
from training.losses.rhythmic import (
    WEIGHTS,
    flow_loss,
    generator_loss,
    judge_loss,
    mask_loss,
    pyramid_loss,
    regions_loss,
    silhouette,
    structure_loss,
    warp_loss,
)
from utils.errors import UserError


def batch(size: int = 64) -> dict[str, torch.Tensor]:
    inputs = given(2, 2, size)
    template = torch.zeros(2, 1, size, size)
    template[..., size // 2 : size // 2 + 8, 20:40] = 1
    flows = {f"flow_{name}": torch.randn(2, 2, size, size) for name in ("ref", "ani")}
    trusted = {f"confidence_{name}": torch.rand(2, 1, size, size) for name in ("ref", "ani")}
    return inputs | flows | trusted | dict(image=torch.rand(2, 3, size, size) * 2 - 1, template=template)


def forward(network, batch):
    names = "label ref_images ref_labels warp_image warp_label ani_image ani_label".split()
    return network(**{name: batch[name] for name in names})


def test_structure_is_what_evaluation_measures():
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (3, 40, 48, 3)).astype(np.uint8)
    fake = np.clip(real + random.normal(0, 30, real.shape), 0, 255).astype(np.uint8)
    pictures = [torch.from_numpy(one).permute(0, 3, 1, 2) / 127.5 - 1 for one in (fake, real)]
    assert 1 - structure_loss(*pictures).item() == pytest.approx(ssim(fake, real).mean(), abs=1e-4)
    assert structure_loss(pictures[1], pictures[1]).item() == pytest.approx(0, abs=1e-5)


def test_a_pyramid_sees_all_frequencies():
    real = torch.rand(2, 3, 64, 64)
    assert pyramid_loss(real, real) == 0
    for shift in (torch.tensor(0.5), torch.rand(64, 64)):
        assert pyramid_loss(real + shift, real) > 0.1
    assert pyramid_loss(real + 0.5, real).item() == pytest.approx(0.5, abs=1e-5)


def test_errors_count_where_they_should():
    real, template = torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    template[..., :4, :] = 1
    within, beyond = real + template, real + (1 - template)
    assert regions_loss(within, real, template) == 1 and regions_loss(beyond, real, template) == 0
    assert warp_loss(within, real, template) == 0 and warp_loss(beyond, real, template) == 1
    assert warp_loss(beyond, real, template, torch.zeros(1, 1, 16, 16)) == 0
    flow, given_flow, trusted = torch.ones(1, 2, 16, 16), torch.zeros(1, 2, 16, 16), template
    assert flow_loss(flow, given_flow, trusted).item() == pytest.approx(0.25)
    assert silhouette(torch.where(template > 0, 0.0, -1.0)).equal(template)


def test_weights_are_drawn_to_what_is_synthesised():
    real = torch.zeros(1, 3, 8, 8)
    assert mask_loss(torch.zeros(1, 1, 8, 8), real, real) == 0
    assert mask_loss(torch.ones(1, 1, 8, 8), real, real) == 1
    assert mask_loss(torch.ones(1, 1, 8, 8), real + 1, real) == 0


@pytest.mark.parametrize(
    "flags", [{}, dict(spade_combine=False, add_raw_loss=False), dict(warp_ani=False)], ids=str
)
def test_the_generator_s_terms(flags):
    network, judge, data = small(**flags), RhythmicDiscriminator(4, scales=2), batch()
    total, parts = generator_loss(forward(network, data), data, judge)
    assert set(parts) == set(WEIGHTS) - {"perceptual"} and torch.isfinite(total)
    assert total.item() == pytest.approx(sum(WEIGHTS[name] * x.item() for name, x in parts.items()), rel=1e-4)
    total.backward()
    assert all(x.grad is None and x.requires_grad for x in judge.parameters())
    assert all(x.grad is not None for x in network.parameters())


def test_the_judge_s_gradient_is_its_own():
    network, judge, data = small(), RhythmicDiscriminator(4), batch()
    output = forward(network, data)
    loss, parts = judge_loss(judge, output, data)
    assert set(parts) == {"judge"} and parts["judge"].item() == pytest.approx(loss.item())
    loss.backward()
    assert all(x.grad is None for x in network.parameters())
    assert all(x.grad is not None for x in judge.parameters())


def test_the_adversarial_gradient_never_ends():
    """The original's generator gets max(0, 1 - D), which gives nothing where D is above 1."""
    network, judge, data = small(), RhythmicDiscriminator(4), batch()
    torch.nn.init.constant_(judge.scales[0].head.bias, 100.0)
    weights = dict.fromkeys(WEIGHTS, 0) | dict(adversarial=1)
    total, _ = generator_loss(forward(network, data), data, judge, weights)
    total.backward()
    assert network.main.to_colours.weight.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.manual_seed(0)
    weights = {f"features.{name}": x for name, x in vgg_layers().state_dict().items()}
    torch.save(weights | {"classifier.0.weight": torch.zeros(2)}, path)
    return path


def test_perceptual_loss_of_a_given_file(vgg_file, tmp_path):
    loss = PerceptualLoss(vgg_file)
    assert not any(x.requires_grad for x in loss.parameters()) and not loss.training
    fake, real = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    loss(fake, real).backward()
    assert fake.grad.abs().sum() > 0 and real.grad is None
    assert loss(real, real) == 0
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([1], tmp_path / "list.pth")
    for name in ("text.pth", "other.pth", "list.pth", "missing.pth"):
        with pytest.raises(UserError, match=name) as refusal:
            PerceptualLoss(tmp_path / name)
        assert "\n" not in str(refusal.value)
