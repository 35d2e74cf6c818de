"""The regression-based discriminator (Section 3.3 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import conv, fold, mlp, unfold


class Discriminator(nn.Module):
    """Judges a clip real or fake, and reads its landmarks off the frames. Widths default to the paper's."""

    def __init__(
        self, width: int = 64, features: int = 512, hidden: int = 256, layers: int = 3, size: int = 128
    ) -> None:
        super().__init__()
        if size % 16:
            raise ValueError("size must be a multiple of 16")
        self.config = dict(width=width, features=features, hidden=hidden, layers=layers, size=size)
        w = width
        self.image_encoder = nn.Sequential(
            conv(3, w, stride=2, norm=False),
            conv(w, 2 * w, stride=2),
            conv(2 * w, 4 * w, stride=2),
            conv(4 * w, 8 * w, stride=2),
            nn.Flatten(),
        )
        self.image_features = mlp(8 * w * (size // 16) ** 2, features)
        self.landmark_encoder = mlp(136, features // 2, features)
        self.lstm = nn.LSTM(2 * features, hidden, layers, batch_first=True)
        self.landmark_head = nn.Linear(hidden, 136)
        self.decision_head = nn.Linear(hidden, 1)

    def forward(self, frames: Tensor, example_landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """frames (B, T, 3, H, W), example_landmarks (B, 136) -> logits (B,), landmarks (B, T, 136)

        The logit of a clip is the mean of its frames' (the original averaged the first 16); the landmarks are the
        example's plus what the network sees of their change.
        """
        images = unfold(self.image_features(self.image_encoder(fold(frames))), len(frames))  # (B, T, 512)
        identity = self.landmark_encoder(example_landmarks).unsqueeze(1).expand_as(images)
        hidden, _ = self.lstm(torch.cat([identity, images], dim=-1))
        change = torch.tanh(self.landmark_head(hidden))
        return self.decision_head(hidden).mean(dim=(1, 2)), example_landmarks.unsqueeze(1) + change
