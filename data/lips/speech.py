"""Training samples of lip-to-speech: a stretch of mouths, its mel and linear spectra, the letters that were said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from data.lips.mouths import KeptClips, draw_changes, pad
from data.loader import Sampling
from data.store import Clip, ClipStore, group_of
from utils.audio.mel import COLUMNS, SILENCE, spectrum, to_mel
from utils.audio.offset import later
from utils.face.mouth import cut_mouths, mouth_window
from utils.letters import to_classes

LONGEST_TEXT = 64  # letters that a sample has room for
VOICE_FRAMES = 75  # of the recording that says whose voice is wanted


class MouthClip(NamedTuple):
    """A whole clip: mouths (T, H, H) uint8, mel (80, 4 T) normalised, spectrum (321, 4 T) magnitudes, half precision"""

    mouths: Tensor
    mel: Tensor
    spectrum: Tensor


def mouth_clip(clip: Clip, size: int, view: float, offset: float = 0.0) -> MouthClip:
    """The clip as the network sees and hears it; size and view of its mouths: see utils.face.mouth

    offset: video frames that its lips are late of its sound, which is moved to them.
    """
    magnitudes = spectrum(later(clip.audio, offset))
    window = mouth_window(clip.landmarks, size, view)
    return MouthClip(cut_mouths(clip.frames(), window, size), to_mel(magnitudes), magnitudes.half())


class MouthSamples(Dataset):
    """Sample number n, of a window of S frames anywhere in a clip, or of a whole clip that is shorter, padded

    mouths (S, H, H) uint8, 0 beyond the clip; mel (80, 4 S), silence beyond it; spectrum (321, 4 S) half; frames ():
    how many of S there are; letters (64,) classes and letter_count (), 0 where the window does not hold the whole clip;
    with `voice`, voice (80, 300): the mel of another clip of the speaker. augment: also changes (8,), drawn here, for
    `change_mouths`; cutout: the share of samples of which a part is hidden; tempo: by what share at most a sample is
    faster or slower than the clip, mouths and spectra alike (`at_tempo`). offsets: see `mouth_clip`, by ids; clips that
    it lacks are as they are.
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
        tempo: float = 0.0,
        offsets: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.store, self.frames, self.offsets = store, frames, dict(offsets)
        self.clips = KeptClips(partial(self._clip, size, view))
        self.augment, self.voice, self.cutout, self.tempo = augment, voice, cutout, tempo
        self.sampling = Sampling(store, ids, 1, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        frames = self.frames
        if self.augment and self.tempo:
            frames = max(1, round(frames * random.uniform(1 - self.tempo, 1 + self.tempo)))
        start = int(random.integers(max(0, self.store.lengths[id] - frames) + 1))
        sample = at_tempo(self.stretch(id, start, frames), self.frames)
        if self.voice:
            group = self.sampling.groups[group_of(id)]
            others = [other for other in group if other != id] or group
            sample["voice"] = self.stretch(others[random.integers(len(others))], 0, VOICE_FRAMES)["mel"]
        return sample | (dict(changes=draw_changes(random, self.cutout)) if self.augment else {})

    def _clip(self, size: int, view: float, id: str) -> MouthClip:
        return mouth_clip(self.store[id], size, view, self.offsets.get(id, 0.0))

    def whole(self, id: str) -> dict[str, Tensor]:
        """A clip as it is, with itself as `voice`"""
        sample = self.stretch(id, 0, self.store.lengths[id])
        return sample | (dict(voice=sample["mel"]) if self.voice else {})

    def stretch(self, id: str, start: int, frames: int) -> dict[str, Tensor]:
        """So many frames of a clip from `start` on, padded where it is shorter"""
        clip = self.clips[id]
        length = len(clip.mouths)
        said = to_classes(self.store[id].transcript) if length <= frames else []
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


def at_tempo(sample: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
    """A sample of `MouthSamples.stretch` -> the same in so many frames, faster or slower, by linear interpolation"""
    before = len(sample["mouths"])
    if before == frames:
        return sample
    seen = _resampled(sample["mouths"].flatten(1).T.float(), frames).T.reshape(
        frames, *sample["mouths"].shape[1:]
    )
    heard = {name: _resampled(sample[name].float(), COLUMNS * frames) for name in ("mel", "spectrum")}
    heard["spectrum"] = heard["spectrum"].half()
    # What lies half beyond the clip's end does not count.
    count = (sample["frames"] * frames // before).clamp(min=1)
    return sample | heard | dict(mouths=seen.round().to(torch.uint8), frames=count)


def _resampled(rows: Tensor, length: int) -> Tensor:
    """(R, n) -> (R, length)"""
    return F.interpolate(rows.unsqueeze(0), size=length, mode="linear", align_corners=False)[0]
