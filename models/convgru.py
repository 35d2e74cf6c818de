"""A convolutional GRU that runs over time (Section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import fold, unfold


class ConvGRU(nn.Module):
    """One layer of gated recurrence with dilated 3x3 convolutions, zero initial state.

    r = sigmoid(Wir x + Whr h), z = sigmoid(Wiz x + Whz h), n = tanh(Win x + r (Whn h)), h' = n + z (h - n), each
    product with its bias. recurrence "time" carries h from frame to frame; "none" starts every frame from h = 0, which
    is how the original's released weights behave on one clip (its GRU ran over the batch by mistake).
    """

    def __init__(self, inputs: int, hidden: int, recurrence: str = "time") -> None:
        super().__init__()
        if recurrence not in ("time", "none"):
            raise ValueError(f"recurrence must be 'time' or 'none', not {recurrence!r}")
        self.recurrence = recurrence
        self.input_gates = nn.Conv2d(inputs, 3 * hidden, 3, padding=2, dilation=2)
        self.hidden_gates = nn.Conv2d(hidden, 3 * hidden, 3, padding=2, dilation=2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))
        self.hidden_gates.weight.requires_grad_(recurrence == "time")

    def forward(self, features: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """features (B, T, C, H, W), state (B, hidden, H, W) -> hidden states (B, T, hidden, H, W), last state"""
        gates = unfold(self.input_gates(fold(features)), len(features))
        if self.recurrence == "none":
            states = _update(gates, self.hidden_gates.bias.view(1, 1, -1, 1, 1).to(gates.dtype), None)
            return states, states[:, -1]
        if state is None:
            state = gates.new_zeros(len(gates), gates.shape[2] // 3, *gates.shape[3:])
        states, state = [], state.to(gates.dtype)
        for gate in gates.unbind(1):
            state = _update(gate, self._recurrent(state), state)
            states.append(state)
        return torch.stack(states, 1), state

    def _recurrent(self, state: Tensor) -> Tensor:
        """`hidden_gates`, its bias added afterwards: PyTorch adds it slowly to a dilated convolution on a CPU"""
        gates = self.hidden_gates
        made = F.conv2d(state, gates.weight, None, 1, gates.padding, gates.dilation)
        return made + gates.bias.view(-1, 1, 1).to(made.dtype)


def _update(gate: Tensor, recurrent: Tensor, state: Tensor | None) -> Tensor:
    """gate and recurrent (..., 3 hidden, H, W), the two convolutions' sums; state None where it is zero"""
    input_r, input_z, input_n = gate.chunk(3, -3)
    hidden_r, hidden_z, hidden_n = recurrent.chunk(3, -3)
    z = torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + torch.sigmoid(input_r + hidden_r) * hidden_n)
    return n - z * n if state is None else torch.lerp(n, state, z)
