"""The networks of a talking face, loaded once for as many of them as are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from animation.original import check_pair
from models import ATNet, ATNetSingle, NRNet, RhythmicNet, VGNet, WhisperATNet, load_model
from models.headmotion.generative import HeadMotion
from models.layers import fold_norms
from models.rhythmic.generator import for_inference
from utils.errors import UserError
from utils.face.detector import FaceDetector


class Networks(NamedTuple):
    """at_net hears, vg_net draws, detector finds faces; head_motion moves heads, where it is wanted."""

    at_net: nn.Module
    vg_net: VGNet | RhythmicNet
    detector: FaceDetector
    head_motion: HeadMotion | None = None


def load_networks(
    at_model: Path,
    vg_model: Path,
    device: torch.device,
    lstm: bool | None = None,
    hm_model: Path | None = None,
) -> Networks:
    """hm_model: weights that move heads, None for none.

    Raises UserError for weights of other networks, a pair that does not fit, and where lstm is not the AT-net's.
    """
    at_net = load_model(at_model, device, expect=(ATNet, ATNetSingle, WhisperATNet, NRNet))
    if lstm is not None and lstm != isinstance(at_net, ATNet):
        kind = "has no LSTM" if lstm else "is the one with LSTM"
        raise UserError(
            f"{at_model}: this {type(at_net).__name__} {kind}; leave -lstm out or give other weights"
        )
    if not at_net.landmark_components.any():
        raise UserError(f"{at_model}: holds no landmark basis; convert the original's weights with --pca")
    vg_net = load_model(vg_model, device, expect=(VGNet, RhythmicNet))
    check_pair(at_net, vg_net, at_model, vg_model)
    head_motion = load_model(hm_model, device, expect=HeadMotion) if hm_model else None
    fold = for_inference if isinstance(vg_net, RhythmicNet) else fold_norms
    drawing = fold(vg_net).to(memory_format=torch.channels_last)
    return Networks(at_net, drawing, FaceDetector(), head_motion)
