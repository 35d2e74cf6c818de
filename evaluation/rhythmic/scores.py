"""Figures of drawn heads, one clip in one row."""

from __future__ import annotations

import numpy as np

from evaluation.landmark_metrics import jitter, landmark_distance, mean, mouth_distance
from evaluation.picture_metrics import MARGIN, decibels, edge_sharpness, psnr, ssim
from evaluation.rhythmic.tasks import Task
from evaluation.rows import describe_face, detect_landmarks, identity_score
from models.head3d.head import turn_between
from utils.face.detector import FaceDescriptor, FaceDetector
from utils.face.pose import Pose, fit_pose, smooth_pose

Scores = dict[str, float]


class Judge:
    """dlib, that finds faces in what was made, and tells people apart"""

    def __init__(self) -> None:
        self.detector, self.descriptor = FaceDetector(), FaceDescriptor()

    def rows(self, task: Task, made: dict[str, np.ndarray]) -> dict[str, Scores]:
        """made: frames (N, H, H, 3) uint8 by row; with a task whose truth is known, its frames are among them"""
        key = task.person.pictures(np.array([task.key]))
        person = describe_face(self.descriptor, key[0], detect_landmarks(self.detector, key)[0])
        true = None if task.true is None else detect_landmarks(self.detector, task.true)
        return {name: self.scores(task, frames, true, person) for name, frames in made.items()}

    def scores(self, task: Task, frames: np.ndarray, true: np.ndarray | None, person: np.ndarray) -> Scores:
        still = bool((frames[:1] == frames).all())
        found = detect_landmarks(self.detector, frames[:1] if still else frames)
        found = np.broadcast_to(found, (len(frames), 68, 2))
        scores = {} if true is None else picture_scores(frames, task.true, task.landmarks)
        scores["cpbd"] = mean(edge_sharpness(frames[:1] if still else frames))
        scores["identity"] = identity_score(self.descriptor, frames, found, person)
        if true is not None:
            scores["lmd_mouth"] = mean(mouth_distance(found, true))
            scores["lmd_all"] = mean(landmark_distance(found, true))
        scores["pose_error"] = pose_error(found, task.pose, task.person.face)
        scores["jitter"] = jitter(found)
        scores["undetected"] = float(np.isnan(found).any((1, 2)).sum())
        return scores


def picture_scores(fake: np.ndarray, real: np.ndarray, landmarks: np.ndarray) -> Scores:
    """fake, real (N, H, H, 3) uint8, the true landmarks (N, 68, 2) in their pixels"""
    return {
        "psnr": mean(psnr(fake, real)),
        "face_psnr": mean(face_psnr(fake, real, landmarks)),
        "ssim": mean(ssim(fake, real)),
    }


def face_psnr(fake: np.ndarray, real: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """-> (N,): PSNR in the box about each frame's true landmarks, larger on every side by 0.15 of its width"""
    found = []
    boxes = zip(fake, real, face_boxes(landmarks, real.shape[1]), strict=True)
    for one, other, (left, top, right, bottom) in boxes:
        error = one[top:bottom, left:right].astype(np.float32) - other[top:bottom, left:right]
        found.append(decibels(np.square(error).mean(dtype=np.float64)))
    return np.array(found)


def face_boxes(landmarks: np.ndarray, size: int) -> np.ndarray:
    """landmarks (N, 68, 2) -> (N, 4): left, top, right, bottom within the picture; the last two are outside"""
    low, high = landmarks.min(1), landmarks.max(1)
    margin = MARGIN * (high[:, :1] - low[:, :1])
    first = np.floor(np.clip(low - margin, 0, size - 8)).astype(int)
    last = np.ceil(np.clip(high + margin, 0, size - 1)).astype(int) + 1
    return np.concatenate([first, np.maximum(last, first + 8)], axis=1)


def pose_error(found: np.ndarray, asked: Pose, face: np.ndarray) -> float:
    """found (N, 68, 2) of dlib, nan for no face; asked (N): mean angle, in degrees, between the heads

    As poses of stores are, those of what dlib found are fitted with the person's face and smoothed by a frame.
    """
    seen = ~np.isnan(found).any((1, 2))
    if not seen.any():
        return float("nan")
    pose = smooth_pose(fit_pose(found[seen], face), 1.0)
    return float(np.degrees(turn_between(pose, asked[seen])).mean())
