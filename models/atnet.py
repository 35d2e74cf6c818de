"""AT-net: speech to landmark coefficients (Section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import conv, fold, mlp, unfold

LSTMState = tuple[Tensor, Tensor]


def audio_encoder(channels: Sequence[int], norm: bool) -> nn.Sequential:
    """(N, 1, 28, 12) -> (N, 24 channels[4]): five convolutions, two poolings that shorten frequency first"""
    c1, c2, c3, c4, c5 = channels
    return nn.Sequential(
        conv(1, c1, norm=norm),
        conv(c1, c2, norm=norm),
        nn.MaxPool2d(3, stride=(1, 2)),
        conv(c2, c3, norm=norm),
        conv(c3, c4, norm=norm),
        conv(c4, c5, norm=norm),
        nn.MaxPool2d(3, stride=(2, 2)),
        nn.Flatten(),
    )


class LandmarkCoefficients(nn.Module):
    """What all speech networks share: the PCA basis that gives coefficients a meaning travels in their weights."""

    SPACES: tuple[str, ...] = ("motion", "original")

    def __init__(self, components: int, space: str, size: int = 136) -> None:
        super().__init__()
        if space not in self.SPACES:
            raise ValueError(f"space must be {' or '.join(self.SPACES)}, not {space!r}")
        if not 0 < components <= size:
            raise ValueError(f"{components} components of {size} numbers")
        self.register_buffer("landmark_mean", torch.zeros(size))
        self.register_buffer("landmark_components", torch.eye(size, components))
        self.register_buffer("landmark_eigenvalues", torch.ones(components))
        self.register_buffer("landmark_rest_opening", torch.zeros(()))

    def set_basis(self, mean, components, eigenvalues, rest_opening: float = 0.0) -> None:
        """mean (D,), components (D, K), eigenvalues (K,): arrays or tensors, copied into the buffers"""
        self.landmark_mean.copy_(torch.as_tensor(mean))
        self.landmark_components.copy_(torch.as_tensor(components))
        self.landmark_eigenvalues.copy_(torch.as_tensor(eigenvalues))
        self.landmark_rest_opening.fill_(rest_opening)


class ATNet(LandmarkCoefficients):
    """Drives a face's landmark coefficients with speech: AT-net with LSTM. Widths default to the paper's."""

    def __init__(
        self,
        components: int = 6,
        channels: Sequence[int] = (64, 128, 256, 256, 512),
        audio_features: Sequence[int] = (2048, 256),
        example_features: Sequence[int] = (256, 512),
        hidden: int = 256,
        layers: int = 3,
        space: str = "motion",
    ) -> None:
        super().__init__(components, space)
        self.config = dict(
            components=components,
            channels=list(channels),
            audio_features=list(audio_features),
            example_features=list(example_features),
            hidden=hidden,
            layers=layers,
            space=space,
        )
        self.audio_encoder = audio_encoder(channels, norm=True)
        self.audio_features = mlp(24 * channels[-1], *audio_features)
        self.example_encoder = mlp(components, *example_features)
        self.lstm = nn.LSTM(example_features[-1] + audio_features[-1], hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, components)

    def forward(self, audio: Tensor, example: Tensor) -> Tensor:
        """audio (B, T, 28, 12), example (B, K) -> coefficients (B, T, K)"""
        return self.stream(audio, example)[0]

    def stream(
        self, audio: Tensor, example: Tensor, state: LSTMState | None = None
    ) -> tuple[Tensor, LSTMState]:
        """As `forward` for one stretch of a recording; `state` is what the stretch before returned."""
        speech = self.audio_features(self.audio_encoder(fold(audio).unsqueeze(1)))
        speech = unfold(speech, len(audio))  # (B, T, 256)
        identity = self.example_encoder(example).unsqueeze(1).expand(-1, speech.shape[1], -1)
        hidden, state = self.lstm(torch.cat([identity, speech], dim=-1), state)
        return self.head(hidden), state


class ATNetSingle(LandmarkCoefficients):
    """Speech to landmark coefficients, each frame by itself: AT-net without example and LSTM."""

    def __init__(
        self,
        components: int = 6,
        channels: Sequence[int] = (64, 128, 256, 256, 512),
        audio_features: Sequence[int] = (2048, 256),
        space: str = "motion",
    ) -> None:
        super().__init__(components, space)
        self.config = dict(
            components=components, channels=list(channels), audio_features=list(audio_features), space=space
        )
        self.audio_encoder = audio_encoder(channels, norm=False)
        self.audio_features = mlp(24 * channels[-1], *audio_features)
        self.head = nn.Linear(audio_features[-1], components)

    def forward(self, audio: Tensor, example: Tensor | None = None) -> Tensor:
        """audio (B, T, 28, 12) -> coefficients (B, T, K); an example is accepted and not used"""
        speech = self.audio_features(self.audio_encoder(fold(audio).unsqueeze(1)))
        return unfold(self.head(speech), len(audio))

    def stream(self, audio: Tensor, example: Tensor | None = None, state: None = None) -> tuple[Tensor, None]:
        """As `ATNet.stream`; there is no state to carry."""
        return self(audio), None
