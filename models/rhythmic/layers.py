"""What the networks of rhythmic head motion are built of: spectral normalisation, norms, blocks, per-sample kernels.

Spectral normalisation (Miyato et al. 2018) is written out, as one vector a layer beside the weights: PyTorch's own
renames the weights in files.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = ("batch", "instance", "group")
SLOPE = 0.2  # of the leaky ReLU
GROUPS = 8  # at most, of group normalisation


class Spectral:
    """A layer whose weights are divided by their largest singular value, found by one step of power iteration a pass"""

    weight: Tensor
    u: Tensor
    baked = False

    def _start(self) -> None:
        self.register_buffer("u", torch.empty(self.weight.shape[0]))
        nn.init.normal_(self.u)
        nn.init.xavier_normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def normalised(self) -> Tensor:
        """The weights, of spectral norm 1"""
        if self.baked:
            return self.weight
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.float().flatten(1)
            with torch.no_grad():
                u = F.normalize(self.u.float(), dim=0)
                v = F.normalize(matrix.T @ u, dim=0)
                if self.training:
                    u = F.normalize(matrix @ v, dim=0)
                    self.u.copy_(u)
            return self.weight / torch.dot(u, matrix @ v)

    @torch.no_grad()
    def bake(self) -> None:
        """For inference alone: the norm is divided out once"""
        self.weight.copy_(self.normalised())
        self.baked = True


class SpectralConv2d(Spectral, nn.Conv2d):
    """Convolution of odd kernel, padded to keep its size"""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = True
    ) -> None:
        nn.Conv2d.__init__(self, inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.normalised(), self.bias, self.stride, self.padding)


class SpectralLinear(Spectral, nn.Linear):
    def __init__(self, inputs: int, outputs: int) -> None:
        nn.Linear.__init__(self, inputs, outputs)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.normalised(), self.bias)


class PlainNorm(nn.Module):
    """Normalisation without parameters, as SPADE (Park et al. 2019) modulates it: kind, one of NORMS"""

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.kind, self.groups = kind, math.gcd(channels, GROUPS)
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, remember: bool = True) -> Tensor:
        """remember: this batch's statistics are those of later evaluation, as a second pass with other maps is not"""
        if self.kind == "group":
            return F.group_norm(x, self.groups)
        if self.kind == "instance":
            return F.instance_norm(x)
        kept = (self.running_mean, self.running_var) if remember or not self.training else (None, None)
        return F.batch_norm(x, *kept, training=self.training)


def norm_layer(kind: str, channels: int) -> nn.Module:
    """With a learned scale and shift"""
    if kind == "group":
        return nn.GroupNorm(math.gcd(channels, GROUPS), channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels, affine=True)


def block(inputs: int, outputs: int, stride: int, norm: str) -> nn.Sequential:
    """C(i, o, s) of the specification: convolution with spectral normalisation, norm, leaky ReLU"""
    convolution = SpectralConv2d(inputs, outputs, stride=stride, bias=False)
    return nn.Sequential(convolution, norm_layer(norm, outputs), nn.LeakyReLU(SLOPE))


def plain(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution and leaky ReLU, without any norm; it starts by keeping the size of its signal."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
    nn.init.kaiming_normal_(convolution.weight, SLOPE)
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.LeakyReLU(SLOPE))


def quiet(convolution: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """It starts with small weights, as the original's (Xavier, gain 0.02), where no norm makes up for them."""
    nn.init.xavier_normal_(convolution.weight, 0.02)
    nn.init.zeros_(convolution.bias)
    return convolution


def doubled(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2 H, 2 W), each pixel four times"""
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Kernel:
    """1 x 1 convolutions, one for each sample: weight (B, outputs, inputs), bias (B, outputs)"""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, inputs, H, W) -> (B, outputs, H, W)"""
        made = torch.baddbmm(self.bias.unsqueeze(2), self.weight, x.flatten(2))
        return made.unflatten(2, x.shape[2:])

    def repeated(self, times: int) -> Kernel:
        return Kernel(*(part.repeat_interleave(times, 0) for part in (self.weight, self.bias)))
