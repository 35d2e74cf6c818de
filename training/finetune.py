"""Fine-tuning on a person's own clip, for about a minute: frames of it are references and targets of one another."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from data.heads.rhythmic import Drawn
from models import RhythmicNet
from models.rhythmic.person import covers_faces, network_inputs
from training.heads import RhythmicSamples
from training.losses.rhythmic import generator_loss
from training.rhythmic import prepare
from utils.face.pose import Pose

BATCH = 4
SHOTS = 4  # references of a sample, at most
CLIP = 5.0  # largest gradient norm


class OwnFrames:
    """Draws sample number n out of frames in memory: images (T, 3, H, H) uint8, landmarks (T, 68, 2), poses, face

    Any frame may be the target, the others references.
    """

    def __init__(
        self, images: Tensor, landmarks: np.ndarray, pose: Pose, face: np.ndarray, seed: int = 0
    ) -> None:
        self.images, self.landmarks, self.pose, self.face, self.seed = images, landmarks, pose, face, seed

    def draw(self, number: int) -> Drawn:
        random = np.random.default_rng((self.seed, number))
        most = min(SHOTS, max(1, len(self.images) - 1))
        count = 1 + number // BATCH % most
        chosen = random.choice(len(self.images), min(count + 1, len(self.images)), replace=False)
        chosen = chosen if len(chosen) > 1 else np.repeat(chosen, 2)  # a single picture is all there is
        return Drawn(
            self.images[torch.from_numpy(chosen)],
            self.landmarks[chosen],
            self.pose[chosen],
            self.face,
            random,
        )


def fine_tune(
    network: RhythmicNet, frames: OwnFrames, seconds: float, lr: float, steps: int | None = None
) -> tuple[RhythmicNet, int]:
    """-> a copy of the network that has learned from these frames for so many seconds (or steps), and its steps

    In evaluation mode throughout: norms and spectral norms stay those of many people. There is no discriminator.
    """
    device = next(network.parameters()).device
    tuned = copy.deepcopy(network).eval()
    optimiser = torch.optim.Adam(tuned.parameters(), lr=lr, betas=(0.5, 0.999))
    samples, covered = RhythmicSamples(frames, augment=True, light=False), covers_faces(network)
    start, done = time.monotonic(), 0
    while done < steps if steps is not None else time.monotonic() - start < seconds:
        batch = collate([samples[number] for number in range(done * BATCH, (done + 1) * BATCH)], device)
        batch = prepare(batch, covered)
        made = tuned(**network_inputs(batch, tuned.config["landmark_flow"]))
        loss, _ = generator_loss(made, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), CLIP)
        optimiser.step()
        done += 1
    return tuned.requires_grad_(False), done


def collate(samples: Sequence[dict[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in default_collate(list(samples)).items()}
