"""Networks in files: one safetensors file rebuilds a network alone, its configuration inside.

safetensors is imported where it is used, so that a machine that only trains can do without it until the weights are
exported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from models.atnet import ATNet, ATNetSingle
from models.atnet_whisper import WhisperATNet
from models.discriminators import Discriminator
from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio
from models.lips.generator import LipToSpeech
from models.lips.judges import SpeechJudge, SyncNet
from models.nrnet import NRNet
from models.options import Stored, check_weights, refuse_nonfinite, skeleton
from models.reading.reader import LipReader
from models.rhythmic.discriminator import RhythmicDiscriminator
from models.rhythmic.generator import RhythmicNet
from models.vgnet import VGNet
from models.whisper import WhisperEncoder
from utils.errors import UserError, reason
from utils.files import replacing

if TYPE_CHECKING:
    from safetensors import safe_open

FORMAT = "talking-face network"
SPEECH = (ATNet, ATNetSingle, WhisperATNet, NRNet)  # networks that make coefficients of speech
LIPS = (LipToSpeech, SpeechJudge, SyncNet, LipReader)
HEADS = (HeadMotion, RotateAudio)
FACES = (VGNet, Discriminator, WhisperEncoder, RhythmicNet, RhythmicDiscriminator)
NETWORKS = {network.__name__: network for network in (*SPEECH, *FACES, *LIPS, *HEADS)}


def save_model(path: Path, model: nn.Module, metadata: dict | None = None, half: bool = False) -> None:
    """Writes `model` to `path` whole or not at all. half: floating-point weights as float16.

    metadata: anything that JSON can hold; `load_model` returns it as `network.metadata`.
    """
    from safetensors.torch import save

    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    header = {
        "format": FORMAT,
        "network": type(model).__name__,
        "config": json.dumps(model.config),
        "metadata": json.dumps(metadata or {}),
    }
    write_whole(path, in_order(save(tensors, header)))


def in_order(data: bytes) -> bytes:
    """The same safetensors file with a sorted header, so that the same weights are the same bytes

    safetensors writes the metadata in another order every time.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # as the format wants it
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside `path`, then renames, so that nobody ever sees half a file. Raises UserError."""
    with replacing(path) as part:
        part.write_bytes(data)


def load_model(
    path: Path, device: torch.device | str = "cpu", expect: type | tuple[type, ...] | None = None
) -> nn.Module:
    """The network in `path`, in eval mode, float32, on `device`, with its `metadata`.

    expect: the class (or classes) that the caller can use. Raises UserError for a file that is missing, truncated,
    not in this format (a pickle is never opened), or holds another network, weights that its configuration does not
    have, or numbers that are not finite. What does not fit is refused before memory is taken for it.
    """
    with _opened(Path(path)) as file:
        header = file.metadata() or {}
        network = _network(header, path, expect)
        try:
            config, metadata = _table(header, "config"), _table({"metadata": "{}"} | header, "metadata")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            stored = {name: Stored(str(s.get_dtype()), tuple(s.get_shape())) for name, s in slices.items()}
            check_weights(skeleton(network, config), stored)
            tensors = {name: file.get_tensor(name) for name in slices}
            refuse_nonfinite(tensors)
            model = network(**config)
            model.load_state_dict(tensors, strict=False)
        except (KeyError, TypeError, ValueError, RuntimeError, MemoryError) as error:
            raise UserError(f"{path}: weights do not fit their configuration ({reason(error)})") from error
    model.metadata = metadata
    return model.float().eval().to(device)


def _network(header: dict, path: Path, expect: type | tuple[type, ...] | None) -> type[nn.Module]:
    """The class of the network that a file says it holds. Raises UserError as `load_model` does."""
    name = header.get("network")
    if header.get("format") != FORMAT or name not in NETWORKS:
        raise UserError(f"{path}: not a network of this repository; import original weights with convert.py")
    if expect is not None and not issubclass(NETWORKS[name], expect):
        wanted = " or ".join(one.__name__ for one in (expect if isinstance(expect, tuple) else (expect,)))
        raise UserError(f"{path}: holds the network {name}, but {wanted} is needed here")
    return NETWORKS[name]


def _table(header: dict, name: str) -> dict:
    """A dictionary that a file holds as JSON. Raises ValueError or KeyError, RecursionError for a deep one."""
    found = json.loads(header[name])
    if not isinstance(found, dict):
        raise ValueError(f"its {name} is no dictionary")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({reason(error)}); import .pth files with convert.py"
        ) from error


def describe(path: Path) -> str:
    """What a file says of its network: kind, configuration, how it was made. Raises UserError as `load_model` does."""
    network = load_model(path)
    size = sum(parameter.numel() for parameter in network.parameters())
    facts = dict(
        network=type(network).__name__, parameters=size, config=network.config, metadata=network.metadata
    )
    return json.dumps(facts, indent=2, ensure_ascii=False)
