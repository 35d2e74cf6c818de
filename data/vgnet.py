"""Training samples of VG-net: an example image, a stretch of frames and their landmarks (Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.augment import draw_changes
from data.loader import Sampling
from data.store import ClipStore
from utils.face.landmarks import denoise, mouth_opening, normalise

OPEN = 0.25  # share of augmented samples whose example is the frame with the widest mouth


class PortraitSamples(Dataset):
    """Sample number n: example_image (3, H, W), example_landmarks (136,), frames (T, 3, H, W), landmarks (T, 136).

    The example is any frame of the clip, as in the paper. Images are uint8, landmarks normalised, and neither is
    changed yet: `data.augment.augment` does that to a batch, by the changes drawn here where `augment` is set. Then
    some examples are also the clip's frame with the widest mouth, because many photos smile.
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        frames: int,
        seed: int,
        augment: bool = True,
        power: float = 1.0,
    ) -> None:
        self.store, self.frames, self.augment = store, frames, augment
        self.sampling = Sampling(store, ids, frames, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        clip_id, random = self.sampling.draw(number)
        clip, length = self.store[clip_id], self.store.lengths[clip_id]
        start = int(random.integers(length - self.frames + 1))
        steady = denoise(clip.landmarks)
        widest = self.augment and random.random() < OPEN
        example = mouth_opening(steady).argmax() if widest else random.integers(length)
        chosen = np.r_[example, start : start + self.frames]
        images = clip.frames(chosen)  # (T + 1, 3, H, W)
        landmarks = torch.from_numpy(normalise(steady[chosen], self.store.size))
        sample = dict(example_image=images[0], example_landmarks=landmarks[0])
        sample |= dict(frames=images[1:], landmarks=landmarks[1:])
        return sample | draw_changes(random) if self.augment else sample
