"""What is to be drawn: frames of a clip, out of a few others of the same person.

Self-reenactment: the references are of the first quarter of a clip, as published, and its other frames are made again,
from their true landmarks and poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from data.heads.poses import PoseStore
from data.heads.rhythmic import reference_pool
from data.store import Clip
from data.store_writer import ClipArrays
from models.head3d.head import Head
from utils.audio import SAMPLES_PER_FRAME
from utils.errors import UserError
from utils.face.landmarks import eye_openness
from utils.face.pose import Pose, fit_track, frontalise, motion_of, place, pose_of, rest_pose, smooth_pose
from utils.media.images import to_network, to_tensor

SHUT = 0.85  # of the median openness: eyes that are less open are no good key frame's

SMOOTHING = 1.0  # frames, of poses over time


@dataclass(frozen=True)
class Track:
    """A clip in memory: images (T, 3, H, H) uint8, landmarks (T, 68, 2), poses, the person's face (68, 3), audio"""

    id: str
    images: Tensor
    landmarks: np.ndarray
    pose: Pose
    face: np.ndarray
    audio: np.ndarray

    @classmethod
    def of(cls, clip: Clip, poses: PoseStore) -> Track:
        face = poses.face(clip.id)
        return cls(clip.id, clip.frames(), clip.landmarks, poses[clip.id], face, clip.audio)

    @classmethod
    def of_arrays(cls, id: str, arrays: ClipArrays) -> Track:
        """A clip that is in no store, of a fixed crop; its poses are fitted as `preprocess.pose` does it."""
        import cv2

        codes = (np.frombuffer(one, np.uint8) for one in arrays.pictures)
        pictures = [cv2.cvtColor(cv2.imdecode(one, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for one in codes]
        pose, face = fit_track(arrays.landmarks)
        pose = smooth_pose(pose, SMOOTHING)
        return cls(id, to_tensor(np.stack(pictures)), arrays.landmarks, pose, face, arrays.audio)

    def __len__(self) -> int:
        return len(self.images)

    def head(self, number: int) -> Head:
        """A frame and its head"""
        image = to_network(self.images[number])
        return Head(image, self.landmarks[number], self.pose[number : number + 1], self.face)

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """(N, H, H, 3) uint8"""
        return self.images[frames].movedim(1, -1).numpy()


@dataclass(frozen=True)
class Task:
    """references: frames of the person; key: which of them is moved by the head in three dimensions

    landmarks (N, 68, 2) and poses are those to be drawn; true (N, H, H, 3) uint8, what they should look like, None
    where nobody knows; pool: the frames of the person that may be learnt from.
    """

    person: Track
    references: list[int]
    key: int
    landmarks: np.ndarray
    pose: Pose
    true: np.ndarray | None
    audio: np.ndarray
    pool: range

    def heads(self) -> list[Head]:
        return [self.person.head(number) for number in self.references]

    @property
    def key_head(self) -> Head:
        return self.person.head(self.key)


def self_task(track: Track, count: int, frames: int | None = None, chosen: Sequence[int] = ()) -> Task:
    """A clip out of itself. count: references; frames: at most so many are made, from the middle of what is left;
    chosen: the references' numbers, in place of the key frame and others of the first quarter.
    """
    pool = reference_pool(len(track), count)
    references = check_frames(chosen, len(track)) if chosen else choose_references(track, pool, count)
    first, last = pool, len(track)
    if frames is not None and last - first > frames:
        first += (last - first - frames) // 2
        last = first + frames
    target = np.setdiff1d(np.arange(first, last), references)
    audio = np.concatenate([track.audio[n * SAMPLES_PER_FRAME : (n + 1) * SAMPLES_PER_FRAME] for n in target])
    true = track.pictures(target)
    return Task(
        track,
        references,
        references[0],
        track.landmarks[target],
        track.pose[target],
        true,
        audio,
        range(pool),
    )


def other_task(
    person: Track, driver: Track, count: int, frames: int | None = None, chosen: Sequence[int] = ()
) -> Task:
    """A person with somebody else's expressions and head motion. frames: at most so many, the driver's first"""
    references = (
        check_frames(chosen, len(person)) if chosen else choose_references(person, len(person), count)
    )
    key = person.head(references[0])
    pose = pose_of(motion_of(driver.pose), key_rest(person, references))[:frames]
    moved = frontalise(driver.landmarks, driver.pose, driver.face)[:frames] - driver.face
    landmarks = place(person.face + moved, pose).astype(np.float32)
    size = key.size
    if not (np.median(landmarks, (0, 1)) > 0).all() or (np.median(landmarks, (0, 1)) > size).any():
        raise UserError(f"{driver.id}: its head moves out of {person.id}'s picture; use another video")
    everything = range(len(person))
    audio = driver.audio[: len(pose) * SAMPLES_PER_FRAME]
    return Task(person, references, references[0], landmarks, pose, None, audio, everything)


def key_rest(person: Track, references: Sequence[int]) -> Pose:
    """About which pose the person is to move: the references' own"""
    return rest_pose(person.pose[np.array(references)])


def choose_references(track: Track, pool: int, count: int) -> list[int]:
    """The key frame, and count - 1 others evenly out of the first `pool` frames"""
    key = key_frame(track.landmarks[:pool], track.pose[:pool])
    evenly = np.linspace(0, pool - 1, count).round().astype(int)
    others = np.delete(evenly, np.abs(evenly - key).argmin())
    return [key, *others.tolist()]


def key_frame(landmarks: np.ndarray, pose: Pose) -> int:
    """landmarks (T, 68, 2), poses -> the frame that is nearest to a view from the front, of those with open eyes"""
    openness = eye_openness(landmarks)
    turned = np.linalg.norm(pose.rotation, axis=-1)
    return int(np.where(openness < SHUT * np.median(openness), np.inf, turned).argmin())


def check_frames(chosen: Sequence[int], length: int) -> list[int]:
    """Raises UserError for numbers of frames that the video does not have."""
    wrong = [number for number in chosen if number >= length]
    if wrong:
        raise UserError(f"--ref_img_id {wrong[0]}: the video has {length} frames; numbers begin at 0")
    return list(chosen)


def with_key(task: Task, key: int | None) -> Task:
    """The same with another key frame (--ref_ani_id)"""
    return task if key is None else replace(task, key=check_frames([key], len(task.person))[0])
