"""Maps for every size of the main branch: of the target's label, and of a warped picture (Section 2.4)"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.rhythmic.kernels import LevelKernels
from models.rhythmic.layers import SLOPE, doubled, plain


class LabelEmbedder(nn.Module):
    """The label's way down to 1/32 of its size and up again, the latter by weights made of the references.

    A step up is a nearest doubling, a 1 x 1 convolution and a leaky ReLU (the original's transposed convolution gives
    its bias in three of four pixels). adaptive: all steps but the first are by generated kernels. skips: what the way
    down saw is added, so that the map keeps the edges' places (not in the paper).
    """

    def __init__(self, widths: Sequence[int], adaptive: bool, skips: bool) -> None:
        super().__init__()
        self.first = plain(1, widths[0])
        self.down = nn.ModuleList(plain(a, b, 2) for a, b in pairwise(widths))
        steps = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(plain(a, b) for a, b in (steps[:1] if adaptive else steps))
        self.skips = skips

    def forward(self, label: Tensor, kernels: Sequence[LevelKernels]) -> list[Tensor]:
        """label (B, 1, H, W) -> maps (B, C, H / 2 ** i, W / 2 ** i) for i = 0, 1, ..."""
        seen = [self.first(label)]
        for layer in self.down:
            seen.append(layer(seen[-1]))
        maps = [seen[-1]]
        for level in range(len(self.down) - 1, -1, -1):
            number = len(self.down) - 1 - level
            if number < len(self.up):
                x = self.up[number](doubled(maps[-1]))
            else:  # before the doubling, which is the same and four times as fast
                x = doubled(F.leaky_relu(kernels[level].embed(maps[-1]), SLOPE))
            maps.append(x + seen[level] if self.skips else x)
        return maps[::-1]


class ImageEmbedder(nn.Module):
    """A picture and its weight (B, 4, H, W) -> maps of the two finest sizes

    The original goes on to 1/32 and throws that away.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.first, self.second = plain(4, widths[0]), plain(widths[0], widths[1], 2)

    def forward(self, picture: Tensor) -> list[Tensor]:
        fine = self.first(picture)
        return [fine, self.second(fine)]
