"""The lip reader's back-ends: what is seen and heard frame by frame to a word.

Both take any number of frames. lengths (B,): frames of each clip in a batch of unlike ones; what lies beyond a clip's
end does not count, and in eval mode a clip comes out as it would alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DROPOUT = 0.2  # of the MS-TCN
KERNELS = 3, 5, 7
DILATIONS = 1, 2, 4, 8  # of its blocks


def inside(lengths: Tensor, frames: int, device: torch.device) -> Tensor:
    """lengths (B,) -> (B, frames): which frames are the clip's"""
    return torch.arange(frames, device=device) < lengths.to(device).unsqueeze(1)


def mean_over(features: Tensor, lengths: Tensor | None) -> Tensor:
    """features (B, S, C) -> (B, C), the mean over each clip's frames"""
    if lengths is None:
        return features.mean(1)
    mask = inside(lengths, features.shape[1], features.device).unsqueeze(2)
    return features.masked_fill(~mask, 0).sum(1) / mask.sum(1)


class GRUBackend(nn.Module):
    """features (B, S, F) -> logits (B, classes): two bidirectional layers of `width`, the mean over time, linear"""

    def __init__(self, features: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(features, width, 2, batch_first=True, bidirectional=True, dropout=dropout)
        self.out = nn.Linear(2 * width, classes)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            return self.out(self.gru(features)[0].mean(1))
        packed = nn.utils.rnn.pack_padded_sequence(features, lengths.cpu(), True, enforce_sorted=False)
        made, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], True, total_length=features.shape[1])
        return self.out(mean_over(made, lengths))


class MSTCN(nn.Module):
    """features (B, S, F) -> logits (B, classes): four blocks of three branches (Martinez et al. 2020)

    A branch has width / 2 channels, so that there are 768 for the paper's width of 512. dropout: not used, the blocks'
    own is the paper's.
    """

    def __init__(self, features: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        branch = width // 2
        channels = branch * len(KERNELS)
        inputs = [features, *[channels] * (len(DILATIONS) - 1)]
        self.blocks = nn.ModuleList(
            TemporalBlock(one, branch, dilation) for one, dilation in zip(inputs, DILATIONS, strict=True)
        )
        self.out = nn.Linear(channels, classes)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        maps, mask = features.transpose(1, 2), None
        if lengths is not None:
            mask = inside(lengths, features.shape[1], features.device).unsqueeze(1)
        for block in self.blocks:
            maps = block(maps, mask)
        return self.out(mean_over(maps.transpose(1, 2), lengths))


class TemporalBlock(nn.Module):
    """Twice three convolutions side by side, beside a 1 x 1 convolution; (B, F, S) -> (B, 3 branch, S)"""

    def __init__(self, inputs: int, branch: int, dilation: int) -> None:
        super().__init__()
        channels = branch * len(KERNELS)
        self.first, self.second = (
            nn.ModuleList(Branch(one, branch, kernel, dilation) for kernel in KERNELS)
            for one in (inputs, channels)
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.shortcut, self.act = nn.Conv1d(inputs, channels, 1), nn.PReLU(channels)

    def forward(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        """mask (B, 1, S): frames beyond a clip's end are zeros to every convolution, as its padding is"""
        made = maps
        for branches in (self.first, self.second):
            made = made if mask is None else made.masked_fill(~mask, 0)
            made = self.dropout(torch.cat([branch(made) for branch in branches], dim=1))
        return self.act(made + self.shortcut(maps))


class Branch(nn.Sequential):
    """Convolution, batch normalisation, PReLU; as long as it was

    The original pads with twice as many zeros and cuts the ends off behind the normalisation: the same, but that its
    statistics in training count what is cut off.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding="same")
        self.norm, self.act = nn.BatchNorm1d(outputs), nn.PReLU(outputs)


BACKENDS = dict(GRU=GRUBackend, MSTCN=MSTCN)
