"""The losses, one module for each system: functions -> (total, {name: part}), so that the log can show each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Parts = dict[str, Tensor]


@contextmanager
def frozen(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Gradients flow through the networks, and none to them."""
    weights = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
