"""The networks, and their files. Networks take and return tensors; devices and flags are other people's business."""

from models.atnet import ATNet, ATNetSingle
from models.atnet_whisper import WhisperATNet
from models.checkpoint import NETWORKS, load_model, save_model
from models.discriminators import Discriminator, MouthDiscriminator
from models.nrnet import NRNet, NROutput
from models.rhythmic.discriminator import RhythmicDiscriminator
from models.rhythmic.generator import RhythmicNet, RhythmicOutput
from models.vgnet import VGNet, VGOutput
from models.whisper import WhisperEncoder

__all__ = [
    "NETWORKS",
    "ATNet",
    "ATNetSingle",
    "Discriminator",
    "MouthDiscriminator",
    "NRNet",
    "NROutput",
    "RhythmicDiscriminator",
    "RhythmicNet",
    "RhythmicOutput",
    "VGNet",
    "VGOutput",
    "WhisperATNet",
    "WhisperEncoder",
    "load_model",
    "save_model",
]
