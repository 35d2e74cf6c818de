"""What reads a damaged file to its end, as a script would."""

from __future__ import annotations

from pathlib import Path

import torch

from data.store import ClipStore, check
from models import load_model
from tests.training.test_state_files import CPU, run
from utils.errors import UserError


def store(path: Path) -> None:
    """All clips, as training reads them, and then as --check does"""
    try:
        opened = ClipStore(path)
        for id in opened.ids:
            clip = opened[id]
            clip.frames(), clip.landmarks, clip.source_landmarks, clip.transforms, clip.audio, clip.mfcc
            clip.speaker, clip.transcript, clip.source, clip.source_size, clip.split, clip.metadata  # noqa: B018
        opened.close()
    except UserError:
        check(path)  # which must find something too
        raise AssertionError("the check finds nothing") from None
    check(path)


def state(path: Path) -> None:
    """A step of training from there"""
    later = run(path)
    later.load(CPU)
    model, optimiser = later.parts["model"], later.parts["optimiser"]
    model(torch.ones(1, 1, 28, 12)).sum().backward()
    optimiser.step()
    later.average.update(model, 1)
    assert all(weight.isfinite().all() for weight in model.parameters())


def weights(path: Path) -> None:
    """What the network makes of silence"""
    made = load_model(path)(torch.zeros(1, 1, 28, 12))
    assert made.isfinite().all()
