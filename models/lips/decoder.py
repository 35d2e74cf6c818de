"""The decoder of lip-to-speech: local features to mels of three sizes, with a look at the context between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.lips.sound import HALF

ROWS = 20  # of the coarsest mel
SHRINKAGE = 4, 2, 1  # of the three mels, in height and width
LEAST_MIDDLE, LEAST_FINE = 16, 8  # channels of the larger mels in narrow decoders


class Decoder(nn.Module):
    """Section 3.2: visual features (B, I, S), the same in all rows, and noise and what else tells rows apart
    (B, J, 20, S) -> mels of three sizes, and the two attention maps

    sketch (B, 80, 4 S): what the mels are before the decoder adds its part, and both go through tanh; None: nothing.
    """

    def __init__(self, columns: int, rows: int, context: int, width: int) -> None:
        super().__init__()
        half, coarse = width // 2, width // 4
        middle, fine = max(width // 8, LEAST_MIDDLE), max(width // 16, LEAST_FINE)
        self.bottleneck = nn.Sequential(SpreadingBlock(columns, rows, width), *blocks(width, half, half))
        self.coarse = blocks(half, coarse, coarse, coarse)
        self.attend1 = ContextAttention(ROWS * coarse, context, half, 1, middle)
        self.merge1 = nn.Conv2d(coarse + middle, coarse, 5, padding=2)
        self.middle = blocks(coarse, middle, middle, middle, up=True)
        self.attend2 = ContextAttention(2 * ROWS * middle, context, half, 2, fine)
        self.merge2 = nn.Conv2d(middle + fine, middle, 5, padding=2)
        self.fine = blocks(middle, fine, fine, fine, up=True)
        self.to_mels = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.LeakyReLU(0.2), nn.Conv2d(n, 1, 1))
            for n in (coarse, middle, fine)
        )

    def forward(
        self,
        columns: Tensor,
        rows: Tensor,
        context: Tensor,
        mask: Tensor | None,
        sketch: Tensor | None = None,
    ):
        first = self.bottleneck[0](columns, rows)
        first = self.coarse(self.bottleneck[1:](first))
        found, attention1 = self.attend1(first, context, mask)
        second = self.middle(self.merge1(torch.cat([first, found], dim=1)))
        found, attention2 = self.attend2(second, context, mask)
        third = self.fine(self.merge2(torch.cat([second, found], dim=1)))
        mels = [
            head(maps).squeeze(1) for head, maps in zip(self.to_mels, (first, second, third), strict=True)
        ]
        if sketch is not None:
            mels = [mel + F.avg_pool2d(sketch, factor) for mel, factor in zip(mels, SHRINKAGE, strict=True)]
        return tuple(mel.tanh() for mel in mels), (attention1, attention2)


def blocks(inputs: int, *widths: int, up: bool = False) -> nn.Sequential:
    """Residual blocks of these widths; up: the first of them doubles height and width"""
    pairs = zip((inputs, *widths), widths, strict=False)
    return nn.Sequential(*(GeneratorBlock(a, b, up and i == 0) for i, (a, b) in enumerate(pairs)))


class GeneratorBlock(nn.Module):
    """Two normalised 5 x 5 convolutions beside a shortcut, over the root of two; up: at twice the height and width"""

    def __init__(self, inputs: int, outputs: int, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 5, padding=2)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 5, padding=2)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, F, T) -> (B, C', F, T), or (B, C', 2 F, 2 T)"""
        made = F.leaky_relu(self.norm1(maps), 0.2)
        side = self.shortcut(maps)  # before it is doubled, which gives the same and costs a quarter
        if self.up:
            made, side = (F.interpolate(one, scale_factor=2.0) for one in (made, side))
        return self._second(self.conv1(made), side)

    def _second(self, made: Tensor, side: Tensor) -> Tensor:
        """What the first convolution made, and the shortcut's output -> the block's"""
        made = self.conv2(F.leaky_relu(self.norm2(made), 0.2))
        return (made + side) * HALF


class SpreadingBlock(GeneratorBlock):
    """The decoder's first: of its inputs the first ones, columns, are the same in all 20 rows

    It computes what `GeneratorBlock` would of the columns repeated, but their convolution is one over time alone, of
    five kinds of rows: of the paper's network this saves a fifth of the decoder's work, of a narrow one a third.
    """

    def __init__(self, columns: int, rows: int, outputs: int) -> None:
        super().__init__(columns + rows, outputs)
        self.columns = columns

    def forward(self, columns: Tensor, rows: Tensor) -> Tensor:
        """columns (B, I, S), rows (B, J, 20, S) -> (B, C, 20, S)"""
        own, others, side = slice(None, self.columns), slice(self.columns, None), self._side(columns, rows)
        columns, rows = (
            F.leaky_relu(self._norm(maps, part), 0.2) for maps, part in ((columns, own), (rows, others))
        )
        made = self._spread(columns) + F.conv2d(
            rows, self.conv1.weight[:, others], self.conv1.bias, padding=2
        )
        return self._second(made, side)

    def _side(self, columns: Tensor, rows: Tensor) -> Tensor:
        if isinstance(self.shortcut, nn.Identity):
            return torch.cat([columns.unsqueeze(2).expand(-1, -1, ROWS, -1), rows], dim=1)
        weight = self.shortcut.weight
        own = F.conv1d(columns, weight[:, : self.columns, 0])
        return own.unsqueeze(2) + F.conv2d(rows, weight[:, self.columns :])

    def _norm(self, maps: Tensor, part: slice) -> Tensor:
        """Some channels of the first normalisation, whose statistics it keeps up as ever"""
        norm = self.norm1
        statistics = norm.running_mean[part], norm.running_var[part]
        affine = norm.weight[part], norm.bias[part]
        return F.batch_norm(maps, *statistics, *affine, self.training, norm.momentum, norm.eps)

    def _spread(self, columns: Tensor) -> Tensor:
        """The first convolution of columns (B, I, S) that stand in all rows -> (B, C, 20, S), without its bias

        A row sees five, but at the borders: the first kernel rows meet nothing above the top, the last nothing below.
        """
        weight = self.conv1.weight[:, : self.columns]  # (C, I, 5, 5)
        met = [slice(2, 5), slice(1, 5), slice(0, 5), slice(0, 4), slice(0, 3)]
        kinds = torch.stack([weight[:, :, rows].sum(2) for rows in met])  # (5, C, I, 5)
        made = F.conv1d(columns, kinds.flatten(0, 1), padding=2).unflatten(1, (5, -1))
        kind = [0, 1, *[2] * (ROWS - 4), 3, 4]
        return made[:, kind].transpose(1, 2)


class ContextAttention(nn.Module):
    """Section 3.2, Eq. 3: each column of a mel's maps asks the video's context what it needs

    maps (B, C, F, scale S), context (B, S, K) -> found (B, channels, F, scale S), attention (B, scale S, S)
    """

    def __init__(self, column: int, context: int, width: int, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.query = nn.Linear(column, width)
        self.key, self.value = nn.Linear(context, width), nn.Linear(context, width)
        self.out = nn.Linear(width, ROWS * scale * channels)

    def forward(self, maps: Tensor, context: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        query = self.query(maps.flatten(1, 2).transpose(1, 2))
        scores = query @ self.key(context).transpose(1, 2) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask.repeat_interleave(self.scale, 1), float("-inf"))
        attention = scores.float().softmax(-1).to(scores.dtype)
        found = self.out(attention @ self.value(context)).unflatten(-1, (-1, self.channels))
        return found.permute(0, 3, 2, 1), attention
