"""The original's head motion: past motion and raw speech to what follows (`RotateAudio`; Chen et al. 2020).

The past chooses a linear map, by which the features of what is said become motion. Mended: motion of any length,
window by window (`stream.py`), sound at one loudness, smoothing that knows no future, and no smoothing of the motion,
which pose files have already.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.audio import SAMPLES_PER_FRAME
from utils.audio.windows import CONTEXT

# Of a window, after two convolutions:
ROWS, COLUMNS, CHANNELS = 2 * CONTEXT + 1 - 4, SAMPLES_PER_FRAME - 4, 16


class SoundEncoder(nn.Module):
    """Raw sound, three frames more on either side (B, T + 6, 640) -> features (B, T, W)

    The original cuts windows of seven frames and convolves each; to convolve the sound once and cut then is the same.
    """

    def __init__(self, width: int, smoothing: int, dropout: float) -> None:
        super().__init__()
        # The half of a Hann window that looks back.
        self.register_buffer(
            "weights", torch.hann_window(2 * smoothing + 1, periodic=False)[1 : smoothing + 1]
        )
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, CHANNELS, 3)
        hidden = 2 * width
        self.over_time = nn.Sequential(
            nn.Conv1d(CHANNELS * ROWS * COLUMNS, hidden, 3, padding=1),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.3),
            nn.Dropout(dropout),
            nn.Conv1d(hidden, width, 3, padding=1),
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.3),
        )

    def forward(self, sound: Tensor) -> Tensor:
        x = self.smooth(sound).unsqueeze(1)  # (B, 1, T + 6, 640)
        x = F.relu(self.second(F.relu(self.first(x))))  # (B, 16, T + 2, 636)
        cut = x.unfold(2, ROWS, 1).permute(0, 1, 4, 3, 2)  # (B, 16, 3, 636, T)
        return self.over_time(cut.flatten(1, 3)).mT

    def smooth(self, sound: Tensor) -> Tensor:
        """Each sample of a frame averaged with the same one of the frames before"""
        padded = F.pad(sound.mT, (len(self.weights) - 1, 0)).flatten(0, 1).unsqueeze(1)
        return F.conv1d(padded, (self.weights / self.weights.sum())[None, None]).view_as(sound.mT).mT


class RotateAudio(nn.Module):
    """`frames` frames of motion that go on from `past` ones. width: of the features; smoothing: frames of sound"""

    def __init__(
        self, past: int = 64, frames: int = 64, width: int = 256, smoothing: int = 11, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.config = dict(past=past, frames=frames, width=width, smoothing=smoothing, dropout=dropout)
        self.past, self.frames = past, frames
        self.register_buffer("deviation", torch.ones(6))
        self.sound = SoundEncoder(width, smoothing, dropout)
        self.motion = nn.ModuleList(
            [nn.Linear(6, width // 2), nn.BatchNorm1d(width // 2), nn.Linear(width // 2, width)]
        )
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv1d(2 * width, 2 * width, 5, stride=2, padding=2), nn.BatchNorm1d(2 * width)]
            layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        self.summary = nn.Sequential(*layers)
        self.map = nn.Linear(2 * width, 6 * width + 6)

    def fit(self, clips: list[Tensor]) -> None:
        """clips of motion (T, 6): what motion is divided by"""
        self.deviation.copy_(
            torch.stack([clip.square().mean(0) for clip in clips]).mean(0).sqrt().clamp(min=1e-4)
        )

    def forward(self, past: Tensor, sound: Tensor) -> Tensor:
        """past (B, P, 6), standard, sound (B, P + F + 6, 640) at a root mean square of 1 -> motion (B, F, 6)"""
        heard = self.sound(sound)  # (B, P + F, W)
        linear, norm, out = self.motion
        moved = out(F.leaky_relu(norm(linear(past).mT).mT, 0.2))
        chosen = self.map(self.summary(torch.cat([moved, heard[:, : self.past]], dim=-1).mT).mean(-1))
        weights, bias = chosen.split([chosen.shape[1] - 6, 6], dim=1)
        return heard[:, self.past :] @ weights.unflatten(1, (-1, 6)) + bias.unsqueeze(1)

    def begin(self, chance: Tensor) -> Tensor:
        """(B, P, 6) -> as many frames at rest"""
        return torch.zeros_like(chance)

    @torch.no_grad()
    def go_on(self, chance: Tensor, past: Tensor, sound: Tensor) -> Tensor:
        """As `HeadMotion.go_on`; there is no chance in it."""
        return self(past, sound)
