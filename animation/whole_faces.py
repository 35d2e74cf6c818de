"""From NR-net's coefficients to faces: motion added to somebody's rest shape, and faces to draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from animation.stream import Subject
from models import NRNet, load_model
from utils.audio.raw_speech import speech_windows
from utils.errors import UserError
from utils.face.alignment import apply_transform, fit_similarity
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import STABLE, TEMPLATE, normalise

CHUNK = 250  # frames that go through the network at a time


def load_speaker(path: Path, device: torch.device) -> NRNet:
    """An NR-net that can be drawn. Raises UserError for other weights, and for those without a landmark basis."""
    network = load_model(path, device, expect=NRNet)
    if not network.landmark_components.any():
        raise UserError(f"{path}: holds no landmark basis; add it with python convert.py ... --pca")
    return network


def hear(network: nn.Module, speech: np.ndarray, frames: int) -> np.ndarray:
    """speech (N,), or (B, N), at the network's loudness -> coefficients (T, K), or (B, T, K), of so many frames"""
    device, state, made = network.initial.device, None, []
    batch = np.atleast_2d(speech)
    for start in range(0, frames, CHUNK):
        count = min(CHUNK, frames - start)
        windows = np.stack([speech_windows(one, count, start) for one in batch])
        with torch.inference_mode():
            audio = torch.from_numpy(windows).to(device)
            coefficients, state = network.stream(audio, network.initial[None], state)
        made.append(coefficients.float().cpu().numpy())
    joined = np.concatenate(made, axis=1)
    return joined[0] if np.ndim(speech) == 1 else joined


def motion_of(network: nn.Module, coefficients: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """coefficients (T, K), rest (136,) normalised -> motion (T, 136) to add to it

    Whole faces of another scale are brought onto the rest shape by nose and eye corners; what differs from the face
    that the network starts with is their motion.
    """
    basis = LandmarkBasis.of(network)
    if basis.space == "motion":
        return basis.reconstruct(coefficients)
    start = network.initial.detach().cpu().numpy()
    still, *moving = basis.reconstruct(np.vstack([start, coefficients])).reshape(-1, 68, _dimensions(network))
    onto = fit_similarity(still[STABLE, :2], rest.reshape(68, 2)[STABLE])
    placed = apply_transform(onto, np.stack([still, *moving])[..., :2]).reshape(-1, 136)
    return placed[1:] - placed[0]


def faces_of(network: nn.Module, coefficients: np.ndarray) -> np.ndarray:
    """coefficients (T, K) -> landmarks (T, 68, 2 or 3) to draw: the network's whole faces, or motion of an average face

    The average face is in half sizes of a crop, whole faces in the network's own units; y points down.
    """
    basis = LandmarkBasis.of(network)
    if basis.space == "motion":
        still = basis.close_mouth(normalise(TEMPLATE))
        return (still + basis.reconstruct(coefficients)).reshape(-1, 68, 2)
    return basis.reconstruct(coefficients).reshape(-1, 68, _dimensions(network))


def _dimensions(network: nn.Module) -> int:
    return network.config["dimensions"]


class WholeFaceSubject(Subject):
    """A subject for networks that make whole faces: how these move is what the photo's face does."""

    def __init__(self, network: nn.Module, landmarks: np.ndarray, size: int) -> None:
        """landmarks (68, 2) of the photo in crop pixels"""
        shape = normalise(landmarks, size)
        initial = network.initial.detach().cpu().numpy()
        super().__init__(LandmarkBasis.of(network), shape, shape, initial)
        self.network = network

    def landmarks(self, coefficients: np.ndarray) -> np.ndarray:
        return self.rest + motion_of(self.network, coefficients, self.rest)
