"""The lip reader's losses where their answer is known. Who learns from which: tests/models/lips/test_reader.py."""

import math

import pytest
import torch
from torch import Tensor

from models.reading.memory import Addresses
from models.reading.reader import Reading
from training.losses import lipread as losses


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reading(heads: bool = False) -> Reading:
    addresses = Addresses(noisy(2, 5, 4).log_softmax(-1), noisy(2, 5, 4, seed=2).log_softmax(-1))
    likeness = torch.eye(4) if heads else None
    sounds = noisy(2, 5, 6, seed=5), noisy(2, 5, 6, seed=6)
    return Reading(noisy(2, 3, seed=3), noisy(2, 3, seed=4), addresses, *sounds, likeness)


def test_words_with_smoothing_and_mixed():
    logits, label = noisy(4, 3), torch.tensor([0, 2, 1, 1])
    scores = logits.log_softmax(1)
    plain = -scores[torch.arange(4), label].mean()
    torch.testing.assert_close(losses.word_loss(logits, label), plain)
    torch.testing.assert_close(losses.word_loss(logits, label, 0.3), 0.7 * plain - 0.3 * scores.mean())
    shares, other = torch.tensor([[1.0], [0.25], [0.5], [0]]), label.roll(1)
    hot = torch.nn.functional.one_hot
    mixed = shares * hot(label, 3) + (1 - shares) * hot(other, 3)
    expected = -(mixed * scores).sum(1).mean()
    torch.testing.assert_close(losses.word_loss(logits, mixed), expected)


def test_addresses_that_agree_cost_nothing():
    seen = noisy(2, 5, 4).log_softmax(-1)
    assert losses.address_loss(Addresses(seen, seen)).item() == pytest.approx(0, abs=1e-6)
    sure = torch.tensor([0.0, -1000, -1000, -1000]).expand(2, 5, 4).clone().requires_grad_()
    even = torch.full((2, 5, 4), -math.log(4)).requires_grad_()
    loss = losses.address_loss(Addresses(even, sure))  # of a frame, however many there are
    assert loss.item() == pytest.approx(math.log(4))
    loss.backward()
    assert sure.grad is None and even.grad is not None
    backwards = losses.address_loss(Addresses(sure, even)).item()
    assert backwards == pytest.approx(750 - math.log(4), rel=1e-4)


def test_rebuilding():
    sound, rebuilt = noisy(2, 5, 6), noisy(2, 5, 6, seed=2)
    expected = (sound - rebuilt).square().mean()
    torch.testing.assert_close(losses.rebuilding_loss(sound, rebuilt), expected)
    assert losses.cosine_rebuilding_loss(sound, 3 * sound).item() == pytest.approx(0, abs=1e-5)
    assert losses.cosine_rebuilding_loss(sound, -sound).item() == pytest.approx(2 * 5, rel=1e-5)


def test_orthogonal_slots_cost_nothing():
    assert losses.orthogonality_loss(torch.eye(5)) == 0
    alike = torch.ones(5, 5)
    assert losses.orthogonality_loss(alike).item() == pytest.approx(5 * 4 / 2)
    torch.testing.assert_close(losses.orthogonality_loss(-alike + 2 * torch.eye(5)), torch.tensor(10.0))


@pytest.mark.parametrize("heads", [False, True])
def test_each_weight_scales_its_own_part(heads):
    batch = dict(label=torch.tensor([2, 0]))
    total, parts = losses.reading_loss(reading(heads), batch)
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()), rel=1e-5)
    flags = dict(recalled="recalled", heard="heard", addresses="address", rebuilt="rebuilding")
    flags |= dict(orthogonal="orthogonal")
    absent = {"addresses"} if heads else {"orthogonal"}
    assert parts.keys() == flags.keys() - absent
    for name, flag in flags.items():
        more, _ = losses.reading_loss(reading(heads), batch, **{f"{flag}_weight": 3.0})
        expected = total + 2 * parts[name] if name in parts else total
        torch.testing.assert_close(more, expected)
    smooth, _ = losses.reading_loss(reading(heads), batch, smoothing=0.1)
    assert smooth != total


def test_without_sound_the_word_alone_counts():
    seen = Reading(noisy(2, 3), addresses=Addresses(noisy(2, 5, 4).log_softmax(-1), None))
    total, parts = losses.reading_loss(seen, dict(label=torch.tensor([2, 0])))
    assert parts.keys() == {"recalled"} and total == parts["recalled"]
