"""The regression-based discriminator (Section 3.3 of the paper), and one of mouths alone (not in the paper).

The paper's discriminator says one word about a whole clip; what a short training leaves soft is a few hundred pixels of
teeth and lips. The second, small one sees those alone, at full resolution, and says of every patch whether it is real.
It sees their fine detail, as what is left of colours when their neighbourhood's mean is taken off: shown whole
pictures, it needed many times as many steps to see that the fake ones are soft.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import conv, fold, mlp, unfold
from models.warp import mouth_maps

NEIGHBOURHOOD = 5  # pixels a side
CONTRAST = 6.0  # brings detail to about the size of colours


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


class MouthDiscriminator(nn.Module):
    """Patches of 30 x 30 pixels, in a square of 3/8 of the image about each clip's mouth, real or fake."""

    def __init__(self, width: int = 32, size: int = 128) -> None:
        super().__init__()
        self.config = dict(width=width, size=size)
        self.side = 3 * size // 8
        self.layers = nn.ModuleList([_layer(5, width, 4, 2, norm=False), _layer(width, 2 * width, 4, 2)])
        self.layers.append(_layer(2 * width, 4 * width, 3, 1))
        self.head = nn.Conv2d(4 * width, 1, 3, padding=1)

    def forward(self, frames: Tensor, landmarks: Tensor) -> tuple[Tensor, list[Tensor]]:
        """frames (B, T, 3, H, W), landmarks (B, T, 136) -> logits (B T, 1, h, w), each layer's features

        It also sees where the landmarks have the inside of the mouth. Batch normalisation would make the strength of
        detail the same in a batch of nothing but fake frames: show it real ones beside them.
        """
        inside = mouth_maps(landmarks, landmarks[:, 0], frames.shape[-1])[:, :, :2]
        pictures = mouth_crops(torch.cat([frames.float(), inside], dim=2), landmarks, self.side)
        colours, inside = fold(pictures).split([3, 2], dim=1)
        blurred = F.avg_pool2d(colours, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2, count_include_pad=False)
        x = torch.cat([CONTRAST * (colours - blurred), inside], dim=1)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return self.head(x), features


def _layer(inputs: int, outputs: int, kernel: int, stride: int, norm: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(outputs)] if norm else []), nn.LeakyReLU(0.2))


def mouth_crops(pictures: Tensor, landmarks: Tensor, side: int) -> Tensor:
    """pictures (B, T, C, H, W), landmarks (B, T, 136) -> (B, T, C, side, side) about the middle of each clip's mouth

    Whole pixels, as resampling would blur what is to be judged.
    """
    size = pictures.shape[-1]
    middle = landmarks.unflatten(-1, (68, 2))[..., 48:68, :].mean((1, 2))  # (B, 2)
    corners = ((middle + 1) / 2 * size - side / 2).round().long().clamp(0, size - side)
    # Gathered, since to slice the host would have to wait for the corners.
    columns, rows = (corners.unsqueeze(-1) + torch.arange(side, device=corners.device)).unbind(1)  # (B, side)
    strip = pictures.gather(-2, rows[:, None, None, :, None].expand(*pictures.shape[:3], -1, size))
    return strip.gather(-1, columns[:, None, None, None, :].expand(*strip.shape[:4], -1))
