"""Whence a head's motion comes: from the speech, from a file, or from somebody's video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np

from models.headmotion.generative import HeadMotion
from models.headmotion.stream import LIMITS, ease, motion_stream, within
from utils.audio import FPS
from utils.audio.loudness import LoudnessStream
from utils.errors import UserError, note
from utils.face.detector import FaceDetector
from utils.face.pose import Pose, fit_track, motion_of, smooth_pose
from utils.files.arrays import read_numbers
from utils.media.kinds import is_video
from utils.media.playback import Recording
from utils.media.read import stream_audio

STILL, LEARNED = "none", "learned"
SMOOTHING = 1.0 / FPS  # seconds, of a pose track out of a video
CHOICES = "give none, learned, a .npy file of head motion (T, 6), or a video of somebody"


def check_choice(choice: str | None) -> str | None:
    """--head_motion as it was given. Raises UserError for what is no such choice; looks into no file."""
    if choice not in (None, STILL, LEARNED) and not Path(choice).is_file():
        raise UserError(f"--head_motion {choice}: no such file; {CHOICES}")
    return choice


def learned_motion(network: HeadMotion, speech: Path, seed: int, scale: float) -> Iterator[np.ndarray]:
    """Head motion (6,), frame by frame, as the network draws it for what is said: another seed, another motion"""
    heard = LoudnessStream()
    pieces = chain((heard.push(block) for block in stream_audio(speech)), (heard.finish() for _ in range(1)))
    for piece in motion_stream(network, pieces, seed, scale):
        yield from piece


def given_motion(
    choice: Path,
    detector: FaceDetector,
    scale: float,
    frames: int,
    watch: Callable[[Iterable, int], Iterable],
) -> Iterator[np.ndarray]:
    """Head motion (6,) of a file or a video, frame by frame, back and forth without end; it begins at rest

    frames: how many will be wanted, so that no more of a video is looked at. Raises UserError where it holds none.
    """
    if choice.suffix.lower() == ".npy":
        track = read_motion(choice)
    elif is_video(choice):
        track = video_motion(choice, detector, frames, watch)
    else:
        raise UserError(f"{choice}: no head motion and no video; {CHOICES}")
    return played(track * np.float32(scale), str(choice))


def played(track: np.ndarray, name: str) -> Iterator[np.ndarray]:
    """track (T, 6) -> its frames, back and forth without end, within bounds, eased from the photo's pose into its own

    Says so where it turns further than a photo can follow.
    """
    bound = within(track, LIMITS)
    farthest = float(np.degrees(np.abs(track[:, :3]).max()))
    if np.abs(track - bound).max() > 0.02:
        held = f"{np.degrees(LIMITS[0]):.0f} degrees"
        note(
            f"{name}: turns by up to {farthest:.0f} degrees, or moves as far; a photo's head is held within {held}"
        )
    last = len(track) - 1
    for number in count():
        place = number % max(2 * last, 1)
        yield bound[min(place, 2 * last - place) if last else 0] * ease(number, 1)[0]


def read_motion(path: Path) -> np.ndarray:
    """Head motion (T, 6) about rest out of a .npy file of it, of rotation vectors (T, 3), or of the original's

    *_rt.npy (T, 6), as `preprocess.pose --export` writes them, of which the rotations are taken: how large its face is,
    and so how far its translations go, it does not say. Raises UserError.
    """
    values = read_numbers(path, "head motion", CHOICES)
    if values.ndim != 2 or values.shape[1] not in (3, 6) or not len(values):
        raise UserError(f"{path}: holds {values.shape} numbers, no head motion; {CHOICES}")
    values = values.clip(-1e6, 1e6)  # what is to be held within bounds has to be counted first
    if path.stem.endswith("_rt"):
        none = np.zeros((len(values), 2))
        return motion_of(Pose(-values[:, :3], none, np.ones(len(values))))
    return np.pad(values, [(0, 0), (0, 6 - values.shape[1])]).astype(np.float32)


def video_motion(
    path: Path, detector: FaceDetector, frames: int, watch: Callable[[Iterable, int], Iterable]
) -> np.ndarray:
    """How the head in a video moves, (T, 6) about its rest, at 25 frames a second. Raises UserError."""
    recording = Recording(path)
    wanted = int(-(-frames * recording.rate // FPS))
    pictures = watch(recording.forwards(wanted), wanted)
    points = np.stack(list(detector.track_stream(pictures)))
    points = points * [float(recording.aspect or 1), 1]  # on square pixels
    seen = ~np.isnan(points).any(axis=(1, 2))
    if seen.sum() < recording.rate / 2:
        raise UserError(
            f"{path}: shows a face for less than half a second, so no head motion can be taken off it"
        )
    if not seen.all():
        note(
            f"{path}: {int((~seen).sum())} of {len(seen)} frames show no face; its motion goes on without them"
        )
    pose = smooth_pose(fit_track(points[seen])[0], SMOOTHING * float(recording.rate))
    track, numbers, rate = motion_of(pose), np.flatnonzero(seen), float(recording.rate) / FPS
    places = np.arange(int((len(points) - 1) / rate) + 1) * rate
    return np.column_stack([np.interp(places, numbers, values) for values in track.T]).astype(np.float32)
