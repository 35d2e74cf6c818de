"""Training samples of lip-to-speech: a stretch of mouths, its mel and linear spectra, the letters that were said."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, get_worker_info

from data.loader import Sampling
from data.store import Clip, ClipStore, group_of
from utils.audio.mel import COLUMNS, SILENCE, spectrum, to_mel
from utils.face.mouth import cut_mouths, mouth_window, to_mouth_network
from utils.letters import to_classes

LONGEST_TEXT = 64  # letters that a sample has room for
VOICE_FRAMES = 75  # of the recording that says whose voice is wanted
CACHE = 2e9  # bytes of clips that a training process and its workers keep ready


class MouthClip(NamedTuple):
    """A whole clip: mouths (T, H, H) uint8, mel (80, 4 T) normalised, spectrum (321, 4 T) magnitudes, half precision"""

    mouths: Tensor
    mel: Tensor
    spectrum: Tensor


def mouth_clip(clip: Clip, size: int, view: float) -> MouthClip:
    """The clip as the network sees and hears it; size and view of its mouths: see utils.face.mouth"""
    magnitudes = spectrum(clip.audio)
    window = mouth_window(clip.landmarks, size, view)
    return MouthClip(cut_mouths(clip.frames(), window, size), to_mel(magnitudes), magnitudes.half())


class MouthClips:
    """The clips of a store; those used last are kept ready, as decoding costs more than the rest of a sample."""

    def __init__(self, store: ClipStore, size: int, view: float) -> None:
        self.store, self.size, self.view, self.bytes = store, size, view, 0.0
        self.kept: OrderedDict[str, MouthClip] = OrderedDict()

    def __getitem__(self, id: str) -> MouthClip:
        clip = self.kept.pop(id, None)
        if clip is None:
            clip = mouth_clip(self.store[id], self.size, self.view)
            self.bytes += _bytes(clip)
        self.kept[id] = clip
        worker = get_worker_info()
        while self.bytes > CACHE / (worker.num_workers if worker else 1) and len(self.kept) > 1:
            self.bytes -= _bytes(self.kept.popitem(last=False)[1])
        return clip

    def __getstate__(self) -> dict:
        return {**self.__dict__, "kept": OrderedDict(), "bytes": 0.0}


def _bytes(clip: MouthClip) -> float:
    return sum(tensor.nbytes for tensor in clip)


class MouthSamples(Dataset):
    """Sample number n, of a window of S frames anywhere in a clip, or of a whole clip that is shorter, padded

    mouths (S, H, H) uint8, 0 beyond the clip; mel (80, 4 S), silence beyond it; spectrum (321, 4 S) half; frames ():
    how many of S there are; letters (64,) classes and letter_count (), 0 where the window does not hold the whole clip;
    with `voice`, voice (80, 300): the mel of another clip of the speaker. augment: also changes (8,), drawn here, for
    `change_mouths`; cutout: the share of samples of which a part is hidden.
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        size: int,
        view: float,
        frames: int,
        seed: int,
        augment: bool = True,
        power: float = 1.0,
        voice: bool = False,
        cutout: float = 0.5,
    ) -> None:
        self.clips, self.frames = MouthClips(store, size, view), frames
        self.augment, self.voice, self.cutout = augment, voice, cutout
        self.sampling = Sampling(store, ids, 1, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        start = int(random.integers(max(0, self.clips.store.lengths[id] - self.frames) + 1))
        sample = self.stretch(id, start, self.frames)
        if self.voice:
            group = self.sampling.groups[group_of(id)]
            others = [other for other in group if other != id] or group
            sample["voice"] = self.stretch(others[random.integers(len(others))], 0, VOICE_FRAMES)["mel"]
        return sample | (dict(changes=draw_changes(random, self.cutout)) if self.augment else {})

    def whole(self, id: str) -> dict[str, Tensor]:
        """A clip as it is, with itself as `voice`"""
        sample = self.stretch(id, 0, self.clips.store.lengths[id])
        return sample | (dict(voice=sample["mel"]) if self.voice else {})

    def stretch(self, id: str, start: int, frames: int) -> dict[str, Tensor]:
        """So many frames of a clip from `start` on, padded where it is shorter"""
        clip = self.clips[id]
        length = len(clip.mouths)
        said = to_classes(self.clips.store[id].transcript) if length <= frames else []
        said = said if len(said) <= LONGEST_TEXT else []
        columns = slice(COLUMNS * start, COLUMNS * (start + frames))
        return dict(
            mouths=pad(clip.mouths[start : start + frames].movedim(0, -1), frames, 0).movedim(-1, 0),
            mel=pad(clip.mel[:, columns], COLUMNS * frames, SILENCE),
            spectrum=pad(clip.spectrum[:, columns], COLUMNS * frames, 0),
            frames=torch.tensor(min(length - start, frames)),
            letters=pad(torch.tensor(said, dtype=torch.int64), LONGEST_TEXT, 0),
            letter_count=torch.tensor(len(said)),
        )


def pad(tensor: Tensor, width: int, filling: float) -> Tensor:
    """(..., n) -> (..., width)"""
    return F.pad(tensor, (0, width - tensor.shape[-1]), value=filling)


def draw_changes(random: np.random.Generator, cutout: float) -> Tensor:
    """How one clip's mouths change: mirrored (1 or -1), rotation, log scale, shift of x and y in half sizes, log
    contrast, centre of the hidden square in half sizes (far away: nothing is hidden)
    """
    hidden = random.uniform(-0.75, 0.75, 2) if random.random() < cutout else (9.0, 9.0)
    mirrored = -1.0 if random.random() < 0.5 else 1.0
    numbers = random.normal(0, [0.04, 0.05, 0.05, 0.05, 0.2])
    return torch.tensor([mirrored, *numbers, *hidden], dtype=torch.float32)


def change_mouths(mouths: Tensor, changes: Tensor | None) -> Tensor:
    """mouths (B, S, H, W) uint8, changes (B, 8) or None -> (B, S, H, W) as networks see them

    The original mirrors and hides a square of half the width, the same in all frames of a clip, in every clip; here it
    is in some, and crops also turn, shift and differ in size and contrast, as strangers' do.
    """
    images = to_mouth_network(mouths)
    if changes is None:
        return images
    mirrored, angle, scale, x, y, contrast, *hidden = changes.unsqueeze(2).unbind(1)  # (B, 1) each
    cos, sin = scale.exp() * angle.cos(), scale.exp() * angle.sin()
    rows = [torch.cat([mirrored * cos, -sin, x], dim=1), torch.cat([mirrored * sin, cos, y], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), [len(images), 1, *images.shape[2:]], align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    images = images * contrast.exp()[..., None, None]
    height, width = images.shape[2:]
    down, across = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=images.device) for n in (height, width))
    rows, columns = (down - hidden[1]).abs() < 0.5, (across - hidden[0]).abs() < 0.5  # (B, H), (B, W)
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)
