"""The reference networks are the original's: every name and shape of its state dicts, and its parameter counts."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from models.original.networks import ORIGINAL_NETWORKS, VG_net

TABLE = Path(__file__).with_name("original_state_dict_shapes.tsv")
PARAMETERS = {
    "AT_net": 30_071_750,
    "AT_single": 27_833_862,
    "VG_net": 58_355_781,
    "GL_Discriminator": 21_491_473,
}


def shapes_of(network: str) -> dict[str, str]:
    """name -> "64x3x7x7" or "scalar", from the table of the original's state dicts"""
    with TABLE.open(newline="") as file:
        return {
            row["name"]: row["shape"]
            for row in csv.DictReader(file, delimiter="\t")
            if row["network"] == network
        }


def on_paper(network: str) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return ORIGINAL_NETWORKS[network]()


@pytest.mark.parametrize("network", PARAMETERS)
def test_every_name_and_shape_is_the_originals(network):
    state = on_paper(network).state_dict()
    ours = {name: "x".join(map(str, tensor.shape)) or "scalar" for name, tensor in state.items()}
    assert ours == shapes_of(network)


@pytest.mark.parametrize("network", PARAMETERS)
def test_parameter_counts_are_the_originals(network):
    assert sum(parameter.numel() for parameter in on_paper(network).parameters()) == PARAMETERS[network]


def test_gru_parameter_count_is_the_originals():
    assert sum(parameter.numel() for parameter in on_paper("VG_net").convGRU.parameters()) == 8_850_432


@torch.no_grad()
def test_original_passes_state_from_clip_to_clip_not_from_frame_to_frame():
    """The fact behind recurrence="none": landmarks of (clip 0, frame 2) reach that frame of the clips after it only."""
    torch.manual_seed(0)
    network = VG_net(width=4, blocks=1).eval()
    image, landmarks, example = torch.randn(3, 3, 128, 128), torch.randn(3, 4, 136), torch.randn(3, 136)
    moved = landmarks.clone()
    moved[0, 2] += 1
    hidden = []
    network.convGRU.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    network(image, landmarks, example)
    network(image, moved, example)
    changed = (hidden[0] - hidden[1]).abs().amax(dim=(2, 3, 4)) > 0  # (B, T)
    assert changed.nonzero().tolist() == [[0, 2], [1, 2], [2, 2]]
