"""Checkpoints of the original VCA-GAN from seeded weights, and our networks with the same weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import NETWORKS
from models.original import vcagan
from models.original.vcagan_names import read_vcagan

SMALL = dict(front=4, context=24, decoder=128, noise=6, postnet=10, judges=4, sync=6)  # no two layers alike
PAPER = dict(front=64, context=512, decoder=512, noise=128, postnet=128, judges=32, sync=128)
PARTS = ["v_front", "gen", "post", "dis1", "dis2", "dis3", "s_dis"]


def reference(
    front: int, context: int, decoder: int, noise: int, postnet: int, judges: int, sync: int
) -> dict[str, nn.Module]:
    """The original's seven networks by the names of its checkpoints' parts"""
    networks = [
        vcagan.Visual_front(front, context),
        vcagan.Decoder(decoder, 8 * front, context, noise),
        vcagan.Postnet(postnet),
        *(vcagan.Discriminator(phase, context, judges) for phase in (1, 2, 3)),
        vcagan.sync_Discriminator(8 * front, sync),
    ]
    return dict(zip(PARTS, networks, strict=True))


def seeded(seed: int = 0, **widths: int) -> dict[str, nn.Module]:
    """The same with seeded weights, `lively`"""
    torch.manual_seed(seed)
    return {part: lively(network) for part, network in reference(**(SMALL | widths)).items()}


def lively(network: nn.Module) -> nn.Module:
    """In eval mode, with weights larger than PyTorch's defaults and normalisations that are no identities, so that
    every layer's signal is still there in the output
    """
    for module in network.eval().modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
        elif isinstance(module, nn.PReLU):
            module.weight.data.uniform_(0, 0.5)
        elif isinstance(module, (nn.Linear, nn.GRU, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            for weight in module.parameters():
                weight.data *= 3 if isinstance(module, (nn.Linear, nn.GRU)) else 1.6
    return network


def checkpoint(networks: dict[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """What the original's training would save of them"""
    return {f"{part}_state_dict": network.state_dict() for part, network in networks.items()}


def ours(saved: dict) -> list[nn.Module]:
    """LipToSpeech, SpeechJudge and SyncNet with the checkpoint's weights, in eval mode"""
    made = []
    for name, config, tensors in read_vcagan(saved, True, Path("original.ckpt")).values():
        network = NETWORKS[name](**config)
        missing, unknown = network.load_state_dict(tensors, strict=False)
        assert not unknown and all(one.endswith("num_batches_tracked") for one in missing)
        made.append(network.eval())
    return made
