"""The networks. They take and return tensors; files, devices and flags are other people's business."""

from models.atnet import ATNet, ATNetSingle
from models.discriminator import Discriminator
from models.vgnet import VGNet, VGOutput

NETWORKS = {network.__name__: network for network in (ATNet, ATNetSingle, VGNet, Discriminator)}

__all__ = ["NETWORKS", "ATNet", "ATNetSingle", "Discriminator", "VGNet", "VGOutput"]
