"""What a file says of its network, checked before anything is allocated: options, and the weights' names and shapes.

A file may say anything: a width of nothing or of a billion, a text for a number. What it says must be such options as
networks have, and the network of these options must have just the file's weights, which cannot be more than the file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.whisper import WhisperEncoder

LARGEST, DEEPEST, LONGEST = 1 << 16, 256, 16  # numbers, repeated layers, lists of widths
RANGES = dict(layers=(1, DEEPEST), blocks=(0, DEEPEST), size=(1, 1024), voice=(0, LARGEST), rows=(0, LARGEST))
RANGES |= dict(sketch_width=(0, LARGEST), decoder=(0, LARGEST))
RANGES |= dict(rounds=(1, 32), steps=(1, 1000), past=(1, 4096), frames=(1, 4096))  # of head motion
RANGES |= dict(guidance=(0, 100), gain=(0, 100), emphasis=(0, 100), flow_blocks=(0, DEEPEST), scales=(1, 8))
RANGES |= dict(heads=(0, LARGEST), dropout=(0, 1), view=(0.01, 100), radius=(0, 1e6), temperature=(1e-9, 1e6))
FLOATS = "F16", "BF16", "F32", "F64"  # as safetensors calls them
INITIALISERS = {name for name in (*dir(nn.init), *dir(Tensor)) if name.endswith(("normal_", "uniform_"))}


class Stored(NamedTuple):
    """A tensor of a file, before it is read"""

    kind: str
    shape: tuple[int, ...]


class _ShapesAlone(TorchFunctionMode):
    """Weights get no values: the meta device would load PyTorch's compiler, for two seconds, to give them none."""

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None):
        kwargs = kwargs or {}
        if func is torch.eye:
            return torch.empty(args)
        if func.__name__ in INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def skeleton(network: type[nn.Module], config: dict) -> nn.Module:
    """The network of these options, without memory for its weights. Raises ValueError where there is none."""
    check_options(network, config)
    try:
        with torch.device("meta"), _ShapesAlone():
            model = network(**config)
    except Exception as error:  # whatever comes of options that no file of ours has
        raise ValueError(str(error) or type(error).__name__) from error
    empty = next((name for name, tensor in model.state_dict().items() if not tensor.numel()), None)
    if empty:
        raise ValueError(f"{empty} would hold nothing")
    return model


def check_options(network: type[nn.Module], config: dict) -> None:
    """Raises ValueError for an option that the network does not have, or of another kind, or beyond all use."""
    known = inspect.signature(network).parameters
    for name, value in config.items():
        if name not in known:
            raise ValueError(f"{network.__name__} has no option {name[:40]!r}")
        if not _fits(name, str(known[name].annotation), value):
            raise ValueError(f"its {name} is {repr(value)[:40]}")
    missing = [name for name, one in known.items() if one.default is one.empty and name not in config]
    if missing:
        raise ValueError(f"its {missing[0]} is missing")


def _fits(name: str, annotation: str, value: object) -> bool:
    """Whether an option can have this value. annotation: its type, as the network's constructor has it"""
    if annotation in ("bool", "str"):
        return isinstance(value, bool if annotation == "bool" else str)
    if annotation in ("int", "float"):
        return _is_number(name, value, annotation == "float")
    if annotation.startswith("Mapping"):  # the encoder of a larger network
        if isinstance(value, Mapping):
            check_options(WhisperEncoder, dict(value))
        return value is None or isinstance(value, Mapping)
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if annotation == "Sequence[str]":
        return len(value) <= LARGEST and all(isinstance(one, str) and one.isprintable() for one in value)
    return len(value) <= LONGEST and all(_is_number(name, one, False) for one in value)


def _is_number(name: str, value: object, fraction: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float) if fraction else int):
        return False
    low, high = RANGES.get(name, (-1e6, 1e6) if fraction else (1, LARGEST))
    return low <= value <= high  # false for NaN


def check_weights(model: nn.Module, found: dict[str, Stored]) -> None:
    """Raises ValueError where a file's weights are not those of the network, but for counters of batches."""
    needed = model.state_dict()
    missing = [name for name in needed if name not in found and not name.endswith("num_batches_tracked")]
    unknown = [name for name in found if name not in needed]
    if missing or unknown:
        example = f"such as {(missing + unknown)[0][:80]}"
        raise ValueError(f"{len(missing)} weights missing, {len(unknown)} unknown, {example}")
    for name, one in found.items():
        if one.shape != tuple(needed[name].shape):
            raise ValueError(f"{name} has the shape {one.shape}, but {tuple(needed[name].shape)} would fit")
        if needed[name].is_floating_point() and one.kind not in FLOATS:
            raise ValueError(f"{name} is of the kind {one.kind}")


def refuse_nonfinite(tensors: dict[str, Tensor]) -> None:
    """Raises ValueError where a weight is no number."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # A sum of finite numbers is rarely infinite, and costs a fraction of looking at each.
        if not math.isfinite(tensor.sum(dtype=torch.float32)) and not tensor.isfinite().all():
            raise ValueError(f"{name} has numbers that are not finite")
