"""The discriminator of pictures of any size"""

import pytest
import torch

from models import RhythmicDiscriminator, load_model, save_model
from tests.models.rhythmic.inputs import given

NAMES = ("warp_label", "warp_image", "label")


@pytest.mark.parametrize(("size", "logits"), [(64, 7), (96, 9), (128, 11), (256, 19)])
def test_logits_and_features(size, logits):
    judge, inputs = RhythmicDiscriminator(4), given(size=size)
    opinion = judge(*(inputs[name] for name in NAMES), inputs["ani_image"])
    assert [tuple(x.shape) for x in opinion.logits] == [(2, 1, logits, logits)]
    assert [x.shape[1] for x in opinion.features[0]] == [4, 8, 16, 32, 64]
    opinion.logits[0].sum().backward()
    assert all(
        x.grad is not None and x.grad.any() for name, x in judge.named_parameters() if "bias" not in name
    )


def test_scales_halve_the_picture(tmp_path):
    judge, inputs = RhythmicDiscriminator(4, scales=2).eval(), given(size=128)
    seen = [inputs[name] for name in NAMES], inputs["ani_image"]
    opinion = judge(*seen[0], seen[1])
    assert [x.shape[-1] for x in opinion.logits] == [11, 7] and len(opinion.features) == 2
    save_model(tmp_path / "judge", judge)
    again = load_model(tmp_path / "judge", expect=RhythmicDiscriminator)
    torch.testing.assert_close(again(*seen[0], seen[1]).logits, opinion.logits)
