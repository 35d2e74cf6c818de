"""The memory: addresses in logarithms, keys of several heads, and figures of its use."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.reading.memory import Memory, SlotUsage, address, usage


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_an_address_is_the_softmax_of_cosines():
    asked, slots = noisy(2, 3, 5), noisy(4, 5, seed=2)
    cosines = torch.stack([F.cosine_similarity(asked, slot, dim=-1) for slot in slots], dim=-1)
    torch.testing.assert_close(address(asked, slots, 7.0).exp(), (7 * cosines).softmax(-1))
    torch.testing.assert_close(address(3 * asked, 0.1 * slots, 7.0), address(asked, slots, 7.0))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_sharp_addresses_stay_finite(kind):
    """Where a softmax's logarithm is minus infinity, in 16 bits or in 32, and its slope no number"""
    slots = torch.eye(4).to(kind).requires_grad_()
    asked = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]], dtype=kind)
    found = address(asked, slots, 5000.0)
    assert (5000.0 * asked @ slots).softmax(-1).log().isinf().any()
    assert found.dtype == torch.float32 and found.isfinite().all() and found.min() < -4999
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2))
    F.kl_div(found[:1], found[1:].detach(), log_target=True, reduction="sum").backward()
    assert slots.grad.isfinite().all()


def test_an_autocast_makes_no_addresses_coarse():
    asked, slots = noisy(50, 64), noisy(20, 64, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = address(asked, slots, 100.0)
    assert torch.equal(found, address(asked, slots, 100.0))


@torch.no_grad()
def test_every_head_asks_with_its_own_part():
    memory = Memory(slots=5, seen=6, width=8, radius=3.0, heads=2)
    seen = noisy(2, 3, 6)
    addresses, recalled = memory.recall(seen)
    asked = memory.ask(seen)
    for head, part in enumerate((slice(4), slice(4, 8))):
        alone = address(asked[..., part], memory.keys[head], 3.0)
        torch.testing.assert_close(addresses[:, :, head], alone)
        torch.testing.assert_close(recalled[..., 8 * head : 8 * head + 8], alone.exp() @ memory.values)
    assert addresses.shape == (2, 3, 2, 5) and recalled.shape == (2, 3, 16)


@torch.no_grad()
def test_one_head_is_a_memory_without():
    plain, headed = Memory(5, 6, 8), Memory(5, 6, 8, heads=1)
    headed.load_state_dict(plain.state_dict() | {"keys": plain.keys.unsqueeze(0)})
    seen, sound = noisy(2, 3, 6), noisy(2, 3, 8, seed=2)
    torch.testing.assert_close(headed.recall(seen)[0].squeeze(2), plain.recall(seen)[0])
    torch.testing.assert_close(headed.recall(seen)[1], plain.recall(seen)[1])
    torch.testing.assert_close(headed.rebuild(sound), plain.rebuild(sound))


def test_usage_counts_slots():
    with pytest.raises(ValueError, match="no frame"):
        SlotUsage().figures()
    even = usage(torch.full((2, 3, 8), -math.log(8)))
    assert even.perplexity == pytest.approx(8)
    sharp = torch.full((4, 8), -100.0)
    sharp[torch.arange(4), [1, 1, 5, 5]] = 0.0  # two slots, half the frames each
    found = usage(sharp)
    assert found.perplexity == pytest.approx(2) and found.dead == 6
    torch.testing.assert_close(found.mean, torch.tensor([0, 0.5, 0, 0, 0, 0.5, 0, 0]))


def test_usage_of_batches_is_that_of_all():
    addresses = (5 * noisy(6, 4, 3, 9)).log_softmax(-1)  # heads too
    counted = SlotUsage()
    for part in addresses.split([1, 3, 2]):
        counted.add(part)
    one, whole = counted.figures(), usage(addresses)
    assert one.dead == whole.dead and one.perplexity == pytest.approx(whole.perplexity)
    assert 1 < whole.perplexity < 9
    torch.testing.assert_close(one.mean, whole.mean)
    torch.testing.assert_close(whole.mean.sum(), torch.tensor(1.0))
