"""Whether a saved state is one, and fits the parts of a run: checked before any of it is loaded.

A fused optimiser reads and writes as many numbers as its parameter has, wherever the tensors of a state end: one of
another shape would end the process, or change whatever lies behind it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor, nn

LATER_KEYS = {"halvings"}  # of parts' states, which they had not from the beginning
ADAM, SGD = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, {"momentum_buffer"}
ONLY_IF_OURS = (
    "maximize",
    "capturable",
    "differentiable",
)  # switches of optimisers that change or forbid a step
RANGES = dict(
    scale=(1e-30, 1e30), growth_factor=(1, 1e6), backoff_factor=(1e-6, 1), growth_interval=(1, 2**31)
)
RANGES |= dict(halvings=(0, 1000), best=(-math.inf, math.inf))
NUMBER, COUNT = (0, 1e30), (0, 2**53)


def check_archive(path: Path) -> None:
    """Raises ValueError, or what zipfile raises, where a file is not whole as PyTorch wrote it, bit for bit."""
    if not path.is_file():  # a pipe would never end
        raise ValueError("no file")
    with ZipFile(path) as archive:  # whose checksums PyTorch writes, but does not read
        if any(entry.compress_type != ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed, as PyTorch writes no file")
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} is not what its checksum says")


def check_header(saved: dict) -> None:
    """Raises ValueError where a state's step, settings, flags or parts are none."""
    step = saved.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < COUNT[1]:
        raise ValueError("its step is no number of steps")
    for name in ("settings", "flags"):
        text = saved.get(name, "{}" if name == "flags" else None)
        if not isinstance(text, str) or not isinstance(json.loads(text), dict):
            raise ValueError(f"its {name} are missing")
    if not isinstance(json.loads(saved["settings"]).get("config"), dict):
        raise ValueError("its settings have no network")
    state = saved.get("state")
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError("its parts are missing")


def check_parts(state: dict, parts: dict[str, object], average: dict[str, Tensor] | None) -> None:
    """Raises ValueError where what is saved does not fit the parts: networks, optimisers and others' numbers."""
    for name in [name for name in parts if name in state]:
        part, saved = parts[name], state[name]
        if not isinstance(saved, dict):
            raise ValueError(f"{name} is no dictionary")
        if isinstance(part, nn.Module):
            _check_tensors(name, saved, part.state_dict())
        elif isinstance(part, torch.optim.Optimizer):
            _check_optimiser(name, saved, part)
        else:
            _check_numbers(name, saved, part.state_dict())
    if average is not None:
        _check_tensors("average", state.get("average"), average)


def _check_tensors(name: str, saved: object, own: dict[str, Tensor]) -> None:
    if not isinstance(saved, dict) or saved.keys() != own.keys():
        odd = sorted(map(str, saved.keys() ^ own.keys())) if isinstance(saved, dict) else ["all"]
        raise ValueError(f"{name} has other tensors, such as {odd[0][:80]}")
    for key, tensor in own.items():
        _check_tensor(f"{name}.{key}", saved[key], tensor.shape, tensor.is_floating_point())
        if tensor.is_floating_point() and not saved[key].isfinite().all():
            raise ValueError(f"{name}.{key} has numbers that are not finite")


def _check_tensor(name: str, saved: object, shape: torch.Size, floating: bool = True) -> None:
    """It must be a plain tensor, all of whose numbers are its own: an optimiser writes them in their order."""
    if not isinstance(saved, Tensor) or saved.layout != torch.strided or saved.is_meta or saved.is_quantized:
        raise ValueError(f"{name} is no plain tensor")
    if saved.shape != shape:
        raise ValueError(f"{name} has the shape {tuple(saved.shape)}, but {tuple(shape)} would fit")
    if saved.is_floating_point() != floating or saved.is_complex() or saved.dtype == torch.bool:
        raise ValueError(f"{name} holds {saved.dtype}")
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    last = saved.ndim in formats and saved.is_contiguous(memory_format=formats[saved.ndim])
    if not (saved.is_contiguous() or last):
        raise ValueError(f"{name} does not lie back to back")


def _check_optimiser(name: str, saved: dict, part: torch.optim.Optimizer) -> None:
    groups, own, state = saved.get("param_groups"), part.state_dict()["param_groups"], saved.get("state")
    if not isinstance(groups, list) or len(groups) != len(own) or not isinstance(state, dict):
        raise ValueError(f"{name} is of other parameters")
    parameters = {}
    for group, mine, held in zip(groups, own, part.param_groups, strict=True):
        if not isinstance(group, dict) or group.get("params") != mine["params"]:
            raise ValueError(f"{name} is of other parameters")
        _check_group(name, group, mine)
        extreme = {"max_exp_avg_sq"} if group.get("amsgrad") else set()
        parameters |= {key: (one, extreme) for key, one in zip(mine["params"], held["params"], strict=True)}
    needed, known = (set(), SGD) if isinstance(part, torch.optim.SGD) else (ADAM - {"max_exp_avg_sq"}, ADAM)
    for number, entry in state.items():
        if number not in parameters or not isinstance(entry, dict):
            raise ValueError(f"{name} is of other parameters")
        parameter, extreme = parameters[number]
        if not needed | extreme <= entry.keys() <= known:
            raise ValueError(f"{name} is another optimiser's, or lacks something")
        for key, value in entry.items():
            _check_entry(f"{name}.{number}.{key}", key, value, parameter)


def _check_entry(name: str, key: str, value: object, parameter: Tensor) -> None:
    if key == "step":
        value = value if isinstance(value, Tensor) else torch.tensor(_number(name, value))
        _check_tensor(name, value, torch.Size(()))
        _number(name, value.item())
    elif not (key == "momentum_buffer" and value is None):
        _check_tensor(name, value, parameter.shape)
        if value.isnan().any():
            raise ValueError(f"{name} has numbers that are none")


def _check_group(name: str, group: dict, own: dict) -> None:
    """Rates and switches of an optimiser; later versions of PyTorch have more switches than a state knows."""
    for key, mine in own.items():
        if key == "params":
            continue
        value = group.get(key, mine if mine is None or isinstance(mine, bool) else "nothing")
        if mine is None or isinstance(mine, bool):
            if not (value is None or isinstance(value, bool)) or (key in ONLY_IF_OURS and value and not mine):
                raise ValueError(f"{name} has the switch {key} {str(value)[:20]}")
        elif isinstance(mine, tuple):
            if not isinstance(value, (tuple, list)) or len(value) != len(mine):
                raise ValueError(f"{name}.{key} is {str(value)[:20]}")
            for one in value:
                _number(f"{name}.{key}", one)
        else:
            _number(f"{name}.{key}", value)
    if group.get("fused") and group.get("foreach"):
        raise ValueError(f"{name} is both fused and foreach")


def _check_numbers(name: str, saved: dict, own: dict[str, float]) -> None:
    for key, mine in own.items():
        if key in saved:
            _number(f"{name}.{key}", saved[key], RANGES.get(key, COUNT), isinstance(mine, int))
        elif key not in LATER_KEYS:
            raise ValueError(f"{name} lacks {key}")


def _number(name: str, value: object, range: tuple[float, float] = NUMBER, whole: bool = False) -> float:
    """The value itself. Raises ValueError where it is no number of this range."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not range[0] <= value <= range[1]:
        raise ValueError(f"{name} is {str(value)[:20]}")
    return value
