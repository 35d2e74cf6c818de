"""VGG19's perceptual loss (Johnson et al. 2016), for who has the weights: a file is given, and nothing is fetched"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.errors import UserError, reason

LAST = {
    1: 1 / 32,
    6: 1 / 16,
    11: 1 / 8,
    20: 1 / 4,
    29: 1.0,
}  # of each slice: relu1_1 to relu5_1, and its weight
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures it was trained on


class PerceptualLoss(nn.Module):
    """Mean absolute differences of VGG19's features; colours as it was trained on, where the original gives [-1, 1]

    path: a state dict of torchvision's vgg19, as `torch.save` writes it. Raises UserError where it is none.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.layers = vgg_layers()
        weights = read_weights(Path(path))
        needed = self.layers.state_dict()
        wrong = [name for name in needed if name not in weights or weights[name].shape != needed[name].shape]
        if wrong:
            raise UserError(
                f"{path}: has no fitting features.{wrong[0]}; give torchvision's vgg19 state dict"
            )
        self.layers.load_state_dict({name: weights[name] for name in needed})
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """fake, real (B, 3, H, W) in [-1, 1] -> (); no gradient to the real ones"""
        fake, real = (((one + 1) / 2 - self.mean) / self.spread for one in (fake, real.detach()))
        total = 0.0
        for i, layer in enumerate(self.layers):
            fake, real = layer(fake), layer(real)
            if i in LAST:
                total = total + LAST[i] * F.l1_loss(fake, real)
        return total


def vgg_layers() -> nn.Sequential:
    """VGG19's convolutions up to relu5_1, without weights of anybody's"""
    from torchvision.models.vgg import cfgs, make_layers

    layers = make_layers(cfgs["E"])[: max(LAST) + 1]
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # what is compared must stay
    return layers


def read_weights(path: Path) -> dict[str, Tensor]:
    """The convolutions of a state dict, by their names without `features.`"""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the weights of VGG19, or leave them out")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise UserError(f"{path}: no file of PyTorch weights ({reason(error)}); give VGG19's") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no state dict; give torchvision's vgg19 state dict")
    start = "features."
    return {
        name.removeprefix(start): x
        for name, x in found.items()
        if isinstance(name, str) and name.startswith(start) and isinstance(x, Tensor)
    }
