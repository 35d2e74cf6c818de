"""Weights into training and out of it: starting points, moving average, the files for testing and the demo."""

from __future__ import annotations

import copy
from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from models import load_model, save_model
from utils.errors import UserError
from utils.versions import versions

PACKAGES = ("torch", "torchvision", "numpy", "h5py")


def start_from(model: nn.Module, path: Path | None) -> None:
    """Copies the weights of the file into the network. Raises UserError where they are another network's."""
    if path is not None:
        take_weights(model, load_model(path, expect=type(model)), path)


def start_together(networks: dict[str, nn.Module], path: Path | None) -> None:
    """As `start_from` for "model"; each of the others, NAME, starts from the file STEM_NAME.safetensors beside, where
    there is one: `convert.py --judges` writes such. Raises UserError as `start_from` does.
    """
    for name, network in networks.items():
        file = path if path is None or name == "model" else path.with_stem(f"{path.stem}_{name}")
        if name == "model" or (file and file.is_file()):
            start_from(network, file)


def take_weights(model: nn.Module, loaded: nn.Module, path: Path) -> None:
    """Copies those of the loaded network. Raises UserError, which names its file, where it is another one."""
    if loaded.config != model.config:
        changed = [f"{key} {value}" for key, value in loaded.config.items() if value != model.config[key]]
        raise UserError(f"{path}: its network has {', '.join(changed)}; give the same flags to start from it")
    model.load_state_dict(loaded.state_dict())


class MovingAverage:
    """An exponential moving average of a network's weights and a copy of what else it remembers."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Early on the average forgets faster, so that it is not held back by the first random weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [(self.weights[name], tensor.detach()) for name, tensor in model.state_dict().items()]
        real = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_(*(list(side) for side in zip(*real, strict=True)), 1 - decay)
        for own, tensor in pairs:
            if not own.is_floating_point():
                own.copy_(tensor)


def averaged(model: nn.Module, average: MovingAverage | None) -> nn.Module:
    """A copy in eval mode, with the moving average of the weights where there is one"""
    copied = copy.deepcopy(model)
    if average:
        copied.load_state_dict(average.weights)
    return copied.eval()


def export(path: Path, model: nn.Module, args: Namespace, step: int, facts: dict) -> None:
    """Writes weights that say how they were made: the step, every flag, package versions, and `facts` of the data."""
    notes = dict(steps=step, flags=plain_flags(args), versions=versions(PACKAGES))
    save_model(path, model, notes | facts)


def plain_flags(args: Namespace) -> dict:
    """The flags by their names, as JSON has them; paths as text"""

    def plain(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)

    return {name: plain(value) for name, value in vars(args).items()}
