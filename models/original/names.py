"""The original releases' tensors by our names: which of their networks, which tensor is which, which widths."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from utils.errors import UserError, reason

Tensors = dict[str, Tensor]
Readers = dict[str, Callable[[Tensors], dict]]


class Original(NamedTuple):
    """One network of the original release: ours, its own tensors' names, and what it never used."""

    network: str  # of models.NETWORKS
    names: dict[str, str]  # the beginning of an original name -> the beginning of ours
    unused: str = ""  # the beginning of the names of tensors that its `forward` never touched


AUDIO = {"audio_eocder.": "audio_encoder."} | {
    f"audio_eocder_fc.{n}.": f"audio_features.{n}." for n in (0, 2)
}
SPEECH = {f"{layer}.": f"{layer}." for layer in ("conv1", "conv2", "conv3", "conv4", "fc1")}
ORIGINALS = {
    "AT_net": Original(
        "ATNet", AUDIO | {"lmark_encoder.": "example_encoder.", "lstm.": "lstm.", "lstm_fc.0.": "head."}
    ),
    "AT_single": Original("ATNetSingle", AUDIO | {"audio_eocder_fc.4.": "head."}),
    "VG_net": Original(
        "VGNet",
        {
            "image_encoder1.": "image_encoder.",
            "image_encoder2.": "bottleneck_encoder.",
            "landmark_encoder.": "landmark_encoder.",
            "landmark_encoder_stage2.0.": "landmark_maps.",
            "lmark_feature.0.": "landmark_features.",
            "lmark_att.0.": "landmark_attention.0.0.",
            "lmark_att.1.": "landmark_attention.0.1.",
            "lmark_att.3.": "landmark_attention.1.0.",
            "lmark_att.4.": "landmark_attention.1.1.",
            "lmark_att.6.0.": "landmark_attention.2.",
            "bottle_neck.0.": "bottleneck.",
            "convGRU.weight_ih_l0": "gru.input_gates.weight",
            "convGRU.bias_ih_l0": "gru.input_gates.bias",
            "convGRU.weight_hh_l0": "gru.hidden_gates.weight",
            "convGRU.bias_hh_l0": "gru.hidden_gates.bias",
            "base.0.": "decoder.0.0.",
            "base.1.": "decoder.0.1.",
            "base.3.": "decoder.1.0.",
            "base.4.": "decoder.1.1.",
            "generator_color.0.": "motion_head.",
            "generator_attention.0.": "attention_head.",
        },
    ),
    "GL_Discriminator": Original(
        "Discriminator",
        {
            "image_encoder_dis.": "image_encoder.",
            "img_fc.": "image_features.",
            "encoder.": "landmark_encoder.",
            "lstm.": "lstm.",
            "lstm_fc.0.": "landmark_head.",
            "decision.0.": "decision_head.",
        },
        unused="decoder.",
    ),
    "SPCH2FLM": Original("NRNet", SPEECH),
    "SPCH2FLMTC": Original("NRNet", SPEECH | {"fc2.": "fc2."}),
}


def read_pickle(path: Path) -> dict:
    """The dictionary in `path`, without running anything that a pickle may hold. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a .pth file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles: the error below says it in one line
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything for a damaged or hostile file
        raise UserError(
            f"{path}: not a whole file of PyTorch weights ({reason(error, 120)}); get it again"
        ) from error
    if not isinstance(saved, dict):
        raise UserError(
            f"{path}: holds a {type(saved).__name__}, not the tensors of a network; save its state_dict()"
        )
    return saved


def recognise(tensors: Tensors, path: Path) -> str:
    """The name in ORIGINALS of the network that these tensors belong to."""
    if "convGRU.weight_ih_l0" in tensors:
        return "VG_net"
    if "image_encoder_dis.0.0.weight" in tensors:
        return "GL_Discriminator"
    if "audio_eocder.0.0.weight" in tensors:
        return "AT_net" if "lstm.weight_ih_l0" in tensors else "AT_single"
    if "conv4.weight" in tensors and "fc1.weight" in tensors:
        return "SPCH2FLMTC" if "fc2.weight" in tensors else "SPCH2FLM"
    names = ", ".join(list(tensors)[:3])
    known = f"the original's {', '.join(ORIGINALS)}, the visual-audio memory's or VCA-GAN's checkpoints"
    raise UserError(f"{path}: none of {known} (its tensors: {names} ...)")


def clean(tensors: object, path: Path) -> Tensors:
    """Plain float32 tensors by their names without "module."."""
    if not (isinstance(tensors, dict) and tensors and all(isinstance(name, str) for name in tensors)):
        raise UserError(
            f"{path}: no named tensors in it; give a file made by torch.save(network.state_dict(), ...)"
        )
    plain = {}
    for name, tensor in tensors.items():
        if not (
            isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
        ):
            raise UserError(
                f"{path}: {name} is not a plain tensor; give a file of a network's state_dict() alone"
            )
        if tensor.is_quantized or tensor.is_complex() or name.removeprefix("module.") in plain:
            raise UserError(
                f"{path}: {name} is quantised, complex or there twice; give the network's own weights"
            )
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} has numbers that are not finite; get the file again")
        plain[name.removeprefix("module.")] = tensor.detach().float()
    return plain


def rename(tensors: Tensors, original: Original, path: Path) -> tuple[Tensors, list[str]]:
    """The tensors by our names, and the names of those left out; each is one or the other. Raises UserError."""
    starts = original.names | (generator_names(tensors) if original.network == "VGNet" else {})
    renamed, dropped = {}, []
    for name, tensor in tensors.items():
        start = next((start for start in starts if name.startswith(start)), None)
        if name.endswith(".num_batches_tracked") or (original.unused and name.startswith(original.unused)):
            dropped.append(name)
        elif start:
            renamed[starts[start] + name.removeprefix(start)] = tensor
        else:
            raise UserError(f"{path}: the original's network has no tensor {name}; was the network changed?")
    return renamed, dropped


def generator_names(tensors: Tensors) -> dict[str, str]:
    """VG-net's generator1 is one flat list: residual blocks, then (transposed convolution, norm, ReLU) twice."""
    n = sum(re.fullmatch(r"generator1\.\d+\.conv_block\.0\.weight", name) is not None for name in tensors)
    names = {f"generator1.{block}.conv_block.": f"generator.{block}.block." for block in range(n)}
    for up, first in ((n, n), (n + 1, n + 3)):
        names |= {f"generator1.{first + part}.": f"generator.{up}.{part}." for part in (0, 1)}
    return names


def infer_config(network: str, tensors: Tensors, path: Path, readers: Readers | None = None) -> dict:
    """The widths that give tensors of these shapes, by the network's reader. Raises UserError."""
    try:
        return (readers or READERS)[network](tensors)
    except KeyError as error:
        raise UserError(
            f"{path}: incomplete, {error.args[0]} is missing; get the whole file again"
        ) from error
    except (IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path}: tensors of impossible shapes; get the file again") from error


def outputs(tensors: Tensors, *layers: str) -> list[int]:
    return [tensors[f"{layer}.weight"].shape[0] for layer in layers]


def atnet_config(tensors: Tensors) -> dict:
    config = dict(
        channels=outputs(tensors, *(f"audio_encoder.{layer}.0" for layer in (0, 1, 3, 4, 5))),
        audio_features=outputs(tensors, "audio_features.0", "audio_features.2"),
        components=tensors["head.weight"].shape[0],
        space="original",
    )
    if "lstm.weight_hh_l0" not in tensors:
        return config
    example_features = outputs(tensors, "example_encoder.0", "example_encoder.2")
    return config | dict(example_features=example_features) | lstm_config(tensors)


def nrnet_config(tensors: Tensors) -> dict:
    """Without dropout: it was never active where the release's weights were trained (PyTorch 0.4)."""
    filters, _, width = tensors["conv1.weight"].shape
    facts = dict(components=tensors["fc1.weight"].shape[0], filters=filters, width=width)
    return facts | dict(temporal="fc2.weight" in tensors, dropout=0.0, space="face", level="peak")


def lstm_config(tensors: Tensors) -> dict:
    layers = sum(name.startswith("lstm.weight_hh_l") for name in tensors)
    return dict(hidden=tensors["lstm.weight_hh_l0"].shape[1], layers=layers)


def vgnet_config(tensors: Tensors) -> dict:
    blocks = sum(name.endswith(".block.0.weight") for name in tensors)
    side = math.isqrt(tensors["landmark_encoder.0.weight"].shape[0])
    return dict(width=tensors["image_encoder.1.0.weight"].shape[0], blocks=blocks, size=16 * side)


def discriminator_config(tensors: Tensors) -> dict:
    width = tensors["image_encoder.0.0.weight"].shape[0]
    features, inputs = tensors["image_features.0.weight"].shape
    size = 16 * math.isqrt(inputs // (8 * width))
    return dict(width=width, features=features, size=size) | lstm_config(tensors)


READERS: Readers = dict(
    ATNet=atnet_config,
    ATNetSingle=atnet_config,
    VGNet=vgnet_config,
    Discriminator=discriminator_config,
    NRNet=nrnet_config,
)
