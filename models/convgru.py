"""A convolutional GRU that runs over time (Section 3.2)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

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
        weight, bias = (p.to(gates.dtype) for p in self.hidden_gates.parameters())
        states = _Recurrence.apply(gates, weight, bias, state.to(gates.dtype))
        return states, states[:, -1]


def _update(gate: Tensor, recurrent: Tensor, state: Tensor | None) -> Tensor:
    """gate and recurrent (..., 3 hidden, H, W), the two convolutions' sums; state None where it is zero"""
    input_r, input_z, input_n = gate.chunk(3, -3)
    hidden_r, hidden_z, hidden_n = recurrent.chunk(3, -3)
    z = torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + torch.sigmoid(input_r + hidden_r) * hidden_n)
    return n - z * n if state is None else torch.lerp(n, state, z)


class _Recurrence(torch.autograd.Function):
    """The loop over time, with the weight's gradient taken once for all frames.

    Left to autograd, each frame would add a gradient as large as the weight to those of the frames before.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> Tensor:
        """gates (B, T, 3 hidden, H, W), state (B, hidden, H, W) -> states (B, T, hidden, H, W)"""
        states, recurrent = [state], []
        for gate in gates.unbind(1):
            recurrent.append(F.conv2d(states[-1], weight, bias, padding=2, dilation=2))
            states.append(_update(gate, recurrent[-1], states[-1]))
        before, after = torch.stack(states[:-1], 1), torch.stack(states[1:], 1)
        ctx.save_for_backward(gates, torch.stack(recurrent, 1), before, weight)
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, recurrent, before, weight = ctx.saved_tensors
        to_gates, to_recurrent = [], []
        to_state = torch.zeros_like(before[:, 0])
        for t in reversed(range(gates.shape[1])):
            inputs = [x[:, t].detach().requires_grad_() for x in (gates, recurrent, before)]
            with torch.enable_grad():
                state = _update(*inputs)
            to_gate, to_convolved, to_state = torch.autograd.grad(state, inputs, gradient[:, t] + to_state)
            to_state = to_state + conv2d_input(
                before[:, t].shape, weight, to_convolved, padding=2, dilation=2
            )
            to_gates.append(to_gate)
            to_recurrent.append(to_convolved)
        to_gates, to_recurrent = (torch.stack(steps[::-1], 1) for steps in (to_gates, to_recurrent))
        to_weight = conv2d_weight(fold(before), weight.shape, fold(to_recurrent), padding=2, dilation=2)
        return to_gates, to_weight, to_recurrent.sum((0, 1, 3, 4)), to_state
