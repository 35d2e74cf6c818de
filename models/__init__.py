"""The networks. They take and return tensors; files, devices and flags are other people's business."""

from models.atnet import ATNet, ATNetSingle
from models.discriminator import Discriminator
from models.mouth_discriminator import MouthDiscriminator
from models.nrnet import NRNet, NROutput
from models.vgnet import VGNet, VGOutput

NETWORKS = {network.__name__: network for network in (ATNet, ATNetSingle, NRNet, VGNet, Discriminator)}

__all__ = [
    "NETWORKS",
    "ATNet",
    "ATNetSingle",
    "Discriminator",
    "MouthDiscriminator",
    "NRNet",
    "NROutput",
    "VGNet",
    "VGOutput",
]
