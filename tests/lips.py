"""A small lip-to-speech network for tests."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from models.lips.generator import LipToSpeech
from utils.face.mouth import to_mouth_network

SMALL = dict(size=32, view=0.7, front=4, context=16, decoder=16, postnet=8, noise=4, text=True)


def small_lip_to_speech(seed: int = 0, **options) -> LipToSpeech:
    """Random weights, with statistics of its own maps, so that no layer hushes what comes before it; a loud voice"""
    torch.manual_seed(seed)
    model = LipToSpeech(**SMALL | dict(dropout=0.0) | options).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    size = model.config["size"]
    with torch.no_grad():
        voice = torch.randn(2, 80, 50) if model.voice else None
        model(to_mouth_network(torch.randint(0, 256, (2, 40, size, size), dtype=torch.uint8)), voice=voice)
        if model.config["sketch_width"]:
            torch.nn.init.normal_(model.sketch.layers[-1].weight, 0, 0.1)
        model.postnet.layers[-1].weight.abs_().mul_(20)
    return model.eval()
