"""Optimisers by their flags, the learning rate of a step, and what validations make of it."""

from argparse import ArgumentParser, Namespace

import pytest
import torch
from torch import nn

from training.optimiser import add_optimiser_flags, learning_rate, optimiser, set_rate
from training.state import Validation

ARGS = dict(lr=0.1, beta1=0.8, beta2=0.9, cooldown=0, steps=100)


def made(*words: str, **more) -> torch.optim.Optimizer:
    flags = ArgumentParser()
    add_optimiser_flags(flags, "sgd", 0.1)
    args = Namespace(**ARGS, **more, **vars(flags.parse_args(words)))
    its = optimiser(nn.Linear(2, 2), args)
    set_rate(its, 0, args)
    return its


def test_scripts_without_the_choice_have_adam():
    its = optimiser(nn.Linear(2, 2), Namespace(**ARGS, weight_decay=0.01, amsgrad=True))
    assert type(its) is torch.optim.Adam
    assert (its.defaults["betas"], its.defaults["weight_decay"], its.defaults["amsgrad"]) == (
        (0.8, 0.9),
        0.01,
        True,
    )


def test_optimisers_by_name():
    its = made(weight_decay=0.01)
    assert type(its) is torch.optim.SGD
    assert (its.defaults["momentum"], its.defaults["nesterov"], its.defaults["weight_decay"]) == (
        0.9,
        True,
        0.01,
    )
    assert type(made("-opt", "adamw")) is torch.optim.AdamW and type(made("-opt", "adam")) is torch.optim.Adam
    plain = made("-momentum", "0")
    assert not plain.defaults["nesterov"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_each_goes_downhill(name):
    network = nn.Linear(3, 1)
    args = Namespace(**ARGS | dict(lr=0.01), opt=name, momentum=0.9)
    its, inputs, losses = optimiser(network, args), torch.eye(3), []
    for step in range(20):
        set_rate(its, step, args)
        loss = (network(inputs) - 1).square().mean()
        losses.append(float(loss.detach()))
        its.zero_grad()
        loss.backward()
        its.step()
    assert losses[-1] < losses[0]


def test_the_rate_of_a_step():
    plain = Namespace(lr=0.4, steps=100, cooldown=20)
    assert [learning_rate(step, plain) for step in (0, 80, 90, 99)] == pytest.approx([0.4, 0.4, 0.2, 0.02])
    cosine = Namespace(**vars(plain), schedule="cosine")
    assert [learning_rate(step, cosine) for step in (0, 80, 90, 100)] == pytest.approx([0.4, 0.4, 0.2, 0.0])
    assert learning_rate(95, cosine) < learning_rate(95, plain)
    reduced = Namespace(**vars(plain) | dict(reduce_at=10))
    assert [learning_rate(step, reduced) for step in (9, 10, 90)] == pytest.approx([0.4, 0.04, 0.02])


def test_halvings_lower_the_rate_of_all_groups():
    args = Namespace(**ARGS, opt="sgd", momentum=0.9)
    its = optimiser(nn.Linear(2, 2), args)
    set_rate(its, 0, args, halvings=3)
    assert its.param_groups[0]["lr"] == pytest.approx(0.1 / 8)


def test_validations_without_a_better_one_ask_for_half_the_rate():
    validation = Validation(endurance=2)
    asked = []
    for error in (3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, 1.5, 1.5):
        validation.improved(error)
        asked.append(validation.halvings)
    assert asked == [0, 0, 0, 1, 1, 2, 2, 2, 3]
    again = Validation(endurance=2)
    again.load_state_dict(validation.state_dict())
    assert (again.best, again.since, again.halvings) == (1.0, 2, 3)
    again.load_state_dict(dict(best=1.0, since=2))  # of a state from before
    assert again.halvings == 0
    never = Validation()
    assert never.improved(1.0) and not any(never.improved(1.0) for _ in range(9)) and never.halvings == 0
