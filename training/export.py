"""Weights into training and out of it: starting points, moving average, the file for testing and the demo."""

from __future__ import annotations

import copy
from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from models.checkpoint import load_model, save_model
from utils.errors import UserError


def start_from(model: nn.Module, path: Path | None) -> None:
    """Copies the weights of the file into the network. Raises UserError where they are another network's."""
    if path is not None:
        take_weights(model, load_model(path, expect=type(model)), path)


def take_weights(model: nn.Module, loaded: nn.Module, path: Path) -> None:
    """Copies those of the loaded network. Raises UserError, which names its file, where it is another one."""
    if loaded.config != model.config:
        changed = [f"{key} {value}" for key, value in loaded.config.items() if value != model.config[key]]
        raise UserError(f"{path}: its network has {', '.join(changed)}; give the same flags to start from it")
    model.load_state_dict(loaded.state_dict())


class MovingAverage:
    """An exponential moving average of a network's weights and a copy of its buffers."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Early on the average forgets faster, so that it is not held back by the first random weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 - decay)
            else:
                self.weights[name].copy_(tensor)


def export(
    model: nn.Module, average: MovingAverage | None, args: Namespace, step: int, **notes: object
) -> nn.Module:
    """Writes the weights, or their moving average, for testing and the demo; -> that network, in eval mode.

    notes: what else the weights should say of their training
    """
    exported = averaged(model, average)
    save_model(args.model_dir / f"{args.model_name}.safetensors", exported, export_notes(args, step) | notes)
    return exported


def averaged(model: nn.Module, average: MovingAverage | None) -> nn.Module:
    """A copy in eval mode, with the moving average of the weights where there is one"""
    copied = copy.deepcopy(model)
    if average:
        copied.load_state_dict(average.weights)
    return copied.eval()


def export_notes(args: Namespace, step: int) -> dict:
    """What weights say of the run that made them"""
    names = ("dataset", "frames", "batch_size", "seed")
    return dict(steps=step) | {name: getattr(args, name) for name in names if name in args}
