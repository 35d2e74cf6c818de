"""Head motion and what is said meanwhile: the tracks of a clip store and its poses, and training samples of them.

People file, for leaving people out: a line a person with all speakers (first parts of clip ids) that are this one, such
as "w02 w09 w13"; whoever is in none is a person alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.heads.poses import PoseStore, default_path
from data.loader import Sampling
from data.store import ClipStore, group_of
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.loudness import DELTAS, Levels, features, loudness
from utils.audio.raw_speech import set_level
from utils.audio.windows import CONTEXT, cut
from utils.errors import UserError
from utils.face.motion import MIRROR

STRETCH, AMPLITUDE = 1.25, 1.25  # most, and by as much less, that a training sample is slower, and moves more
GAINS = 3.0  # dB by which pauses and loud speech may be taken for others


class MotionClips:
    """Motion, loudness and sound of a store's clips. Raises UserError where its poses are missing or do not fit."""

    def __init__(self, path: Path, poses: Path | None = None) -> None:
        self.store, self.path = ClipStore(path), path
        self.poses = PoseStore(poses or default_path(Path(path)))
        self.lengths = self.store.lengths
        self.poses.check(self.lengths)
        self._motions: dict[str, np.ndarray] = {}

    def motion(self, id: str) -> np.ndarray:
        """(T, 6) float32, see `utils.face.motion`; the same array every time, which must not be written to"""
        if id not in self._motions:
            self._motions[id] = self.poses.motion(id)
        return self._motions[id]

    def loudness(self, id: str) -> np.ndarray:
        """(T,) dB"""
        return loudness(self.store[id].audio, self.lengths[id])

    def sound(self, id: str) -> np.ndarray:
        """(640 T,) at a root mean square of 1"""
        return set_level(self.store[id].audio, "rms")


def sound_frames(sound: np.ndarray, start: int, frames: int) -> np.ndarray:
    """sound (N,) -> (T, 640): the samples of frames `start` on; zeros beyond its ends"""
    return cut(sound, start * SAMPLES_PER_FRAME, frames * SAMPLES_PER_FRAME).reshape(-1, SAMPLES_PER_FRAME)


def evened(tracks: dict[str, np.ndarray], even: float) -> dict[str, np.ndarray]:
    """{id: motion (T, 6)} -> the same, lively and calm people brought nearer to each other

    even: 0 leaves them, 1 makes all turn equally far; what all together turn by on average stays.
    """
    sizes = {id: float(np.sqrt(np.square(track[:, :3]).sum(1).mean())) for id, track in tracks.items()}
    mean = np.mean([*sizes.values()])
    factors = {id: (mean / max(size, 1e-4)) ** even for id, size in sizes.items()}
    again = mean / np.mean([sizes[id] * factors[id] for id in tracks])
    return {id: (track * again * factors[id]).astype(np.float32) for id, track in tracks.items()}


class MotionSamples(Dataset):
    """Sample number n: past (P, 6) and motion (F, 6), in radians and face widths, and what is heard in both.

    That is loudness (P + F, 3) as `utils.audio.loudness.features` makes it or, with `raw`, sound (P + F + 6, 640) of
    these frames and of three on either side.
    augment: mirror images, other amplitudes, other levels and, without `raw`, other speeds.
    """

    def __init__(
        self,
        clips: MotionClips,
        tracks: dict[str, np.ndarray],
        past: int,
        frames: int,
        seed: int,
        power: float,
        augment: bool,
        raw: bool,
    ) -> None:
        self.past, self.frames, self.augment, self.raw = past, frames, augment, raw
        self.tracks = tracks
        heard = clips.sound if raw else clips.loudness
        self.heard = {id: heard(id) for id in tracks}
        self.sampling = Sampling(clips, sorted(tracks), past + frames, seed, power)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        id, random = self.sampling.draw(number)
        track, heard, count = self.tracks[id], self.heard[id], self.past + self.frames
        if self.raw:
            start = int(random.integers(len(track) - count + 1))
            sample = dict(sound=sound_frames(heard, start - CONTEXT, count + 2 * CONTEXT))
            motion = track[start : start + count]
        else:
            rate = STRETCH ** random.uniform(-1, 1) if self.augment else 1.0
            rate = min(rate, (len(track) - 1) / count)
            places = random.uniform(0, len(track) - 1 - rate * (count - 1)) + rate * np.arange(count)
            motion, sample = at(track, places), dict(loudness=self.features(heard, places, rate, random))
        if self.augment:
            motion = motion * np.float32(AMPLITUDE ** random.uniform(-1, 1))
            motion = motion * np.array(MIRROR if random.random() < 0.5 else 1, np.float32)
        sample |= dict(past=motion[: self.past], motion=motion[self.past :])
        return {
            name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in sample.items()
        }

    def features(
        self, heard: np.ndarray, places: np.ndarray, rate: float, random: np.random.Generator
    ) -> np.ndarray:
        """heard (T,) dB of the clip, places (n,) in it, `rate` apart -> (n, 3)"""
        before = places[0] - rate * np.arange(max(DELTAS), 0, -1)
        found = at(heard, np.concatenate([before, places]).clip(0))
        if self.augment:  # as where a recording has just begun, and its levels are guessed
            found = found + np.float32(random.uniform(-GAINS, GAINS))
        return features(found, Levels.of(heard), before=max(DELTAS))


def at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """values (T, ...) at places (n,) between them -> (n, ...), linearly"""
    low = np.floor(places).astype(int).clip(0, len(values) - 1)
    share = (places - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share


def read_people(path: Path | None) -> list[set[str]]:
    """The sets of speakers that are one person. Raises UserError for a file that cannot be read, or names one twice."""
    if path is None:
        return []
    try:
        lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no list of people that can be read ({error})") from error
    named = [speaker for line in lines for speaker in line]
    twice = sorted({speaker for speaker in named if named.count(speaker) > 1})
    if twice:
        raise UserError(f"{path}: {twice[0]} is in it twice; keep it with one person")
    return [set(line) for line in lines if line]


def people_of(ids: Iterable[str], groups: Sequence[set[str]]) -> dict[str, list[str]]:
    """The clips of each person, by the first of the person's speakers"""
    people: dict[str, list[str]] = {}
    for id in sorted(ids):
        person = min(next((group for group in groups if group_of(id) in group), {group_of(id)}))
        people.setdefault(person, []).append(id)
    return people


def left_out(ids: Iterable[str], groups: Sequence[set[str]], names: Sequence[str]) -> set[str]:
    """The clips of the persons, each named by any of its speakers. Raises UserError where one has none."""
    gone: set[str] = set()
    people = people_of(ids, groups)
    for name in names:
        own = {id for clips in people.values() for id in clips if name in {group_of(one) for one in clips}}
        if not own:
            raise UserError(f"-leave_out {name}: no clip of such a person; there are {', '.join(people)}")
        gone |= own
    return gone
