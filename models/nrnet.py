"""NR-net: raw 8 kHz speech to landmark coefficients, base and temporal-condition (Eskimez et al., TASLP 2020).

Window and frame. The coefficients of video frame t are made from the seven frames of sound around it, the samples
320 (t - 3) to 320 (t + 4): frame t can be made 120 ms after its own sound has ended. The convolutions' strides
multiply to 16, which divides a frame's 320 samples, so that one pass over a recording computes what every window by
itself would.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.atnet import LandmarkCoefficients

STEP, CONTEXT = 320, 3  # samples of a video frame; frames that a window holds on either side of its own
WINDOW = STEP * (2 * CONTEXT + 1)
STRIDE = 2  # of each of the four convolutions
SLOPE = 0.3  # of every leaky ReLU, the one behind fc1 too


class NROutput(NamedTuple):
    """coefficients (B, T, K); features (B, C, L), the last convolution's, which the noise-resilient loss compares."""

    coefficients: Tensor
    features: Tensor


class NRNet(LandmarkCoefficients):
    """Drives a face's landmark coefficients with raw speech. `temporal`: each frame also sees the frame before.

    The tensors have the original's names and shapes. space: "motion" (added to a person's rest shape) or "face" (whole
    faces of any scale). level: how a recording's loudness is set before it gets here, "rms" or "peak". dimensions: of
    a landmark, 2 or 3.
    """

    SPACES = ("motion", "face")

    def __init__(
        self,
        components: int = 6,
        filters: int = 64,
        width: int = 21,
        temporal: bool = False,
        dropout: float = 0.2,
        dimensions: int = 2,
        space: str = "motion",
        level: str = "rms",
    ) -> None:
        if dimensions not in (2, 3) or (space, dimensions) == ("motion", 3):
            raise ValueError("dimensions must be 2 or, of whole faces, 3")
        super().__init__(components, space, 68 * dimensions)
        if level not in ("rms", "peak"):
            raise ValueError(f"level must be 'rms' or 'peak', not {level!r}")
        self.config = dict(
            components=components,
            filters=filters,
            width=width,
            temporal=temporal,
            dropout=dropout,
            dimensions=dimensions,
            space=space,
            level=level,
        )
        self.temporal, self.dropout = temporal, dropout
        channels = [1, filters, 2 * filters, 4 * filters, 8 * filters]
        length = WINDOW
        for number in range(1, 5):
            setattr(
                self, f"conv{number}", nn.Conv1d(channels[number - 1], channels[number], width, stride=STRIDE)
            )
            length = (length - width) // STRIDE + 1
        self.length = length  # positions of the last convolution that belong to one window; 122 at width 21
        self.fc1 = nn.Linear(channels[-1] * length, components)
        if temporal:
            self.fc2 = nn.Linear(2 * components, components)
        self.register_buffer("initial", torch.zeros(components))
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)

    def set_basis(self, mean, components, eigenvalues, rest_opening: float = 0.0) -> None:
        super().set_basis(mean, components, eigenvalues, rest_opening)
        if self.config["space"] == "motion":  # the coefficients of no motion
            self.initial.copy_(-self.landmark_mean @ self.landmark_components)

    def start_from_base(self, base: NRNet) -> None:
        """Takes over a base network's weights so that this temporal one makes the same, whatever came before."""
        self.load_state_dict(base.state_dict(), strict=False)
        components = len(self.initial)
        with torch.no_grad():
            self.fc2.weight.copy_(torch.eye(components, 2 * components))
            self.fc2.bias.zero_()

    def forward(self, speech: Tensor, previous: Tensor | None = None, own: Tensor | None = None) -> NROutput:
        """speech (B, 320 (T + 6)) -> coefficients (B, T, K), features (B, C, L)

        previous (B, T, K): the coefficients before each frame, which a temporal network is conditioned on, except where
        own (B, T), bool, says that it shall go on from what it has made itself; without them it always does, starting
        with `initial`.
        """
        features = self.features(speech)
        heard = self.hear(features)
        if not self.temporal:
            return NROutput(heard, features)
        if previous is not None and own is None:
            return NROutput(self.fc2(torch.cat([heard, previous], dim=-1)), features)
        start = self.initial.expand(len(heard), -1) if previous is None else previous[:, 0]
        return NROutput(self.roll_out(heard, start, previous, own), features)

    def features(self, speech: Tensor) -> Tensor:
        """speech (B, N) -> (B, 8 filters, L): the four convolutions, without any padding"""
        x = speech.unsqueeze(1)
        for number, layer in enumerate((self.conv1, self.conv2, self.conv3, self.conv4)):
            if number:
                x = F.dropout(x, self.dropout, self.training)
            x = F.leaky_relu(layer(x), SLOPE)
        return x

    def hear(self, features: Tensor) -> Tensor:
        """features (B, C, L) -> (B, T, K): fc1 on every window's part of them, as one more convolution"""
        kernel = self.fc1.weight.unflatten(1, (-1, self.length))  # (K, C, 122)
        features = F.dropout(features, self.dropout, self.training)
        heard = F.conv1d(features, kernel, self.fc1.bias, stride=STEP // STRIDE**4)
        return F.leaky_relu(heard, SLOPE).transpose(1, 2)

    def roll_out(
        self, heard: Tensor, start: Tensor, previous: Tensor | None = None, own: Tensor | None = None
    ) -> Tensor:
        """heard (B, T, K), start (B, K) -> coefficients (B, T, K), each conditioned on the one made before it

        previous (B, T, K), own (B, T): see `forward`. This is scheduled sampling (Bengio et al. 2015).
        """
        made = []
        for t in range(heard.shape[1]):
            if t:
                start = made[-1] if own is None else torch.where(own[:, t, None], made[-1], previous[:, t])
            made.append(self.fc2(torch.cat([heard[:, t], start], dim=-1)))
        return torch.stack(made, dim=1)

    def stream(
        self, audio: Tensor, example: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Windows (B, T, 2240) of consecutive frames, example (B, K) -> coefficients (B, T, K), state for the next.

        The example is where a temporal network starts; the state is the coefficients of the last frame.
        """
        overlap = WINDOW - STEP
        speech = torch.cat([audio[:, 0, :overlap], audio[:, :, overlap:].flatten(1)], dim=1)
        heard = self.hear(self.features(speech))
        if not self.temporal:
            return heard, None
        start = example.expand(len(heard), -1) if state is None else state
        made = self.roll_out(heard, start)
        return made, made[:, -1]
