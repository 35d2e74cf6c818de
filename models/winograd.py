"""3x3 convolution by Winograd's minimal filtering, for float32 on a CPU.

A tile of 4x4 outputs costs 36 multiplications a channel pair where direct convolution takes 144 (Lavin and Gray, "Fast
algorithms for convolutional neural networks", CVPR 2016). PyTorch's CPU library has it for AVX-512 alone; VG-net's
residual blocks, two thirds of its arithmetic, run about twice as fast by it with AVX2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from utils.memory import keep_freed_memory

TILE = 4  # outputs a side
POINTS = (0, 2 / 3, -2 / 3, 4 / 3, -4 / 3)  # and infinity; round off as little as direct convolution does
CHANNELS = 128  # with fewer, the transforms cost more than they save


class Conv3x3(nn.Conv2d):
    """nn.Conv2d with a 3x3 kernel, stride 1 and padding 1; the same parameters, outputs equal to rounding.

    In eval mode it is nn.Conv2d to the last bit, for the sake of weights that were trained elsewhere: rounding adds up
    to 1e-4 of a frame's range through VG-net's 27 such layers.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, C, H, W) -> (B, outputs, H, W)"""
        if not self._pays(features):
            return super().forward(features)
        keep_freed_memory()  # for callers other than our scripts, which have done so
        maps = winograd(features, self.weight)
        return maps if self.bias is None else maps + self.bias.view(-1, 1, 1)

    def _pays(self, features: Tensor) -> bool:
        """On a GPU, and in bfloat16, PyTorch's libraries do better."""
        return (
            self.training
            and features.device.type == "cpu"
            and features.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and min(self.in_channels, self.out_channels) >= CHANNELS
            and features.shape[-1] % TILE == features.shape[-2] % TILE == 0
        )


def winograd(features: Tensor, weight: Tensor) -> Tensor:
    """features (B, C, H, W), weight (K, C, 3, 3) -> (B, K, H, W), zero padding 1; H and W multiples of 4"""
    return _Winograd.apply(features, weight)


class _Winograd(torch.autograd.Function):
    """Every tile and every kernel is transformed to 36 values, where the convolution is 36 products of matrices."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        to_tiles, to_weights, to_outputs = (matrix.to(features) for matrix in transforms())
        outputs, inputs = weight.shape[:2]
        tiles = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        tiles = tiles.unfold(1, TILE + 2, TILE).unfold(2, TILE + 2, TILE).permute(4, 5, 0, 1, 2, 3)
        grid = tiles.shape[2:5]  # B, H / 4, W / 4
        tiles = (to_tiles @ tiles.reshape(36, -1)).view(36, -1, inputs)
        weights = (to_weights @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, outputs, inputs)
        ctx.save_for_backward(tiles, weights)
        products = torch.bmm(tiles, weights.transpose(1, 2))
        maps = (to_outputs @ products.view(36, -1)).view(TILE, TILE, *grid, outputs)
        maps = maps.permute(2, 3, 0, 4, 1, 5).reshape(len(features), *features.shape[-2:], outputs)
        return maps.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        tiles, weights = ctx.saved_tensors
        to_tiles, to_weights, to_outputs = (matrix.to(gradient) for matrix in transforms())
        batch, outputs, height, width = gradient.shape
        grid, inputs = (batch, height // TILE, width // TILE), weights.shape[2]
        products = gradient.permute(0, 2, 3, 1).unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE))
        products = to_outputs.T @ products.permute(2, 4, 0, 1, 3, 5).reshape(TILE * TILE, -1)
        products = products.view(36, -1, outputs)
        to_weight = to_weights.T @ torch.bmm(products.transpose(1, 2), tiles).view(36, -1)
        to_tile = to_tiles.T @ torch.bmm(products, weights).view(36, -1)
        padded = gradient.new_zeros(batch, height + 2, width + 2, inputs)
        for index, tile in enumerate(to_tile.view(36, *grid, inputs)):
            row, column = divmod(index, TILE + 2)
            padded[:, row : row + height : TILE, column : column + width : TILE] += tile
        to_features = padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
        return to_features, to_weight.view(3, 3, outputs, inputs).permute(2, 3, 0, 1)


@lru_cache(maxsize=1)
def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Of tiles (36, 36), weights (36, 9) and products (16, 36), float64, by Toom and Cook's construction.

    Polynomials of 4 and 3 coefficients are evaluated at 6 points, multiplied there, and interpolated; convolution's
    form, a sliding product, is the transpose of that.
    """
    evaluate = {size: np.vander(POINTS, size, increasing=True) for size in (3, 4, 6)}
    evaluate = {size: np.vstack([matrix, np.eye(size)[-1:]]) for size, matrix in evaluate.items()}
    interpolate = np.linalg.inv(evaluate[6])
    one_axis = (interpolate.T, evaluate[3], evaluate[4].T)
    return tuple(torch.from_numpy(np.kron(matrix, matrix)) for matrix in one_axis)
