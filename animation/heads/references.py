"""Of several pictures of a person, the one whose head can be moved best: from the front, with its mouth closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.face.detector import Box, FaceDetector
from utils.face.landmarks import mouth_opening
from utils.face.pose import fit_pose
from utils.media.playback import Recording

LOOKED_AT, APART = 250, 5  # pictures of a video, and how many frames from one to the next
OTHERS_APART = 5  # of those that show the face, from one that is kept to the next
LARGEST_TURN = 40  # degrees to a side or up: beyond, a picture does not show the face that would have to turn


def unfitness(landmarks: np.ndarray) -> float:
    """landmarks (68, 2) -> how far a face is turned, in radians, and its mouth open, as a part of the face's width"""
    pose = fit_pose(landmarks[None])
    return float(np.linalg.norm(pose.rotation) + 3 * mouth_opening(landmarks) / pose.scale[0])


def check_turn(landmarks: np.ndarray, name: str) -> None:
    """Raises UserError where a face is turned too far aside for its head to be moved."""
    pitch, yaw, _ = np.degrees(fit_pose(landmarks[None]).rotation[0])
    turn = max(abs(pitch), abs(yaw))
    if turn > LARGEST_TURN:
        raise UserError(
            f"{name}: its face is turned by {turn:.0f} degrees; give one that looks at the camera, "
            "or --head_motion none"
        )


def best_pictures(
    video: Path,
    detector: FaceDetector,
    choose: Callable[[list[Box]], Box],
    watch: Callable[[Iterable, int], Iterable],
    most: int = 1,
) -> list[np.ndarray]:
    """The picture (H, W, 3) of a video's first minute whose head can be moved best, and more of its faces, up to `most`

    Raises UserError where no picture shows one.
    """
    best, least, others, seen, wrong = None, np.inf, [], 0, ""
    recording = Recording(video)
    for picture in watch(_sparse(recording.forwards(LOOKED_AT * APART)), LOOKED_AT):
        boxes = detector.detect(picture)
        try:
            chosen = choose(boxes) if boxes else None
        except UserError as error:  # the face that is wanted may be in another picture
            wrong, chosen = str(error), None
        if chosen is None:
            continue
        worth = unfitness(detector.landmarks(picture, chosen))
        if worth < least:
            best, least = picture, worth
        if len(others) < most - 1 and seen % OTHERS_APART == 0:
            others.append(picture)
        seen += 1
    if best is None:
        raise UserError(wrong or f"{video}: no face found; give a video that shows one from the front")
    return [squared(one, recording.aspect) for one in (best, *others)]


def squared(picture: np.ndarray, aspect: Fraction | None) -> np.ndarray:
    """A picture whose pixels have this width over height -> one of square pixels"""
    import cv2

    if not aspect:
        return picture
    height, width = picture.shape[:2]
    return cv2.resize(picture, (round(width * float(aspect)), height), interpolation=cv2.INTER_AREA)


def _sparse(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    return (picture for number, picture in enumerate(pictures) if number % APART == 0)
