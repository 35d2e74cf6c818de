"""Scores a clip by all figures, sums up over clips, and publishes both.

A "row" of a table is one way to make the clips: a network, a static face, or the truth itself.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch

from evaluation.definitions import definitions
from evaluation.landmark_metrics import (
    best_correlation,
    best_lag,
    correlation,
    eyes_fall,
    jitter,
    lag_correlations,
    landmark_distance,
    long_pauses,
    loudness,
    mean,
    mouth_distance,
    opening_gain,
    pause_excess,
    pause_opening,
    pooled_correlation,
    shut_eyes,
    silent_frames,
)
from evaluation.output import corpus, run_facts, text, write_csv, write_json
from evaluation.paper_metrics import enlarged_psnr, enlarged_ssim, narrow_cpbd
from evaluation.picture_metrics import cut, edge_sharpness, mouth_box, psnr, sharpness, ssim
from utils.face.alignment import rest_shape
from utils.face.detector import FaceDescriptor, FaceDetector
from utils.face.landmarks import EYES, denormalise, eye_openness, mouth_opening, normalise, to_crop_size

IDENTITY_STEP = 15  # frames from one that identity is judged by to the next
DETECTION_SIDE = 512  # a crop is enlarged to this before dlib, which rounds landmarks to whole pixels

STATIC, TRUTH = "static face", "ground truth"  # the rows that every table has
AT_NET, PROJECTED = "AT-net", "truth on the PCA basis"  # of atnet_test.py
FROM_TRUTH, FROM_SPEECH = "VG-net, true landmarks", "VG-net, AT-net's landmarks"  # of vgnet_test.py
FROM_NOISY = "VG-net, NR-net's landmarks"
PLAIN, STILL = "VG-net's frames enlarged, true landmarks", "still image, true landmarks"

TOTALS = {"undetected", "words_judged"}  # figures that are sums over clips, not means
Scores = dict[str, float]


@dataclass
class Truth:
    """What one clip is measured against. Landmarks are in pixels of a 128-pixel crop.

    landmarks (T, 68, 2); rest (68, 2): the face at rest; audio (N,) at 16 kHz.
    """

    landmarks: np.ndarray
    rest: np.ndarray
    audio: np.ndarray

    def __post_init__(self) -> None:
        self.opening = mouth_opening(self.landmarks)
        self.loudness = loudness(self.audio, len(self.landmarks))
        self.pauses = silent_frames(self.audio, len(self.landmarks))
        self.long_pauses = long_pauses(self.pauses)

    @classmethod
    def of_detections(cls, landmarks: np.ndarray, audio: np.ndarray) -> Truth:
        """As found in the true frames, nan where no face was found; the rest shape is taken from the same frames."""
        seen = landmarks[~np.isnan(landmarks).any((1, 2))]
        rest = denormalise(rest_shape(normalise(seen))) if len(seen) else np.full((68, 2), np.nan)
        return cls(landmarks, rest, audio)


class Measured(NamedTuple):
    """One clip in one row: its figures, and what can only be judged over all clips together."""

    scores: Scores
    openings: tuple[np.ndarray, np.ndarray, float]  # the row's (T,), the true one (T,), at rest
    curves: dict[str, np.ndarray]


Rows = dict[str, Measured]  # one clip, by name of row


def measure(truth: Truth, landmarks: np.ndarray, scores: Scores | None = None) -> Measured:
    """landmarks (T, 68, 2) that a row has for a clip; `scores` are further figures of that clip."""
    opening = mouth_opening(landmarks)
    curves = {
        "offset": lag_correlations(opening, truth.opening),
        "audio_offset": lag_correlations(opening, truth.loudness),
    }
    offsets = {name: best_lag([curve]) for name, curve in curves.items()}
    offsets["opening_correlation_best"] = best_correlation(curves["offset"])
    openings = opening, truth.opening, float(mouth_opening(truth.rest))
    return Measured(landmark_scores(landmarks, truth) | offsets | (scores or {}), openings, curves)


def summary(clips: Sequence[Measured]) -> Scores:
    """Means over clips; the correlation over all frames; offsets of the mean correlation curves; totals of
    faces not found and of words."""
    means = {name: mean([clip.scores[name] for clip in clips]) for name in clips[0].scores}
    for name in TOTALS & means.keys():
        means[name] = sum(clip.scores[name] for clip in clips)
    if "words_read" in means:  # of all words, not of clips
        right = sum(
            clip.scores["words_read"] * clip.scores["words_judged"]
            for clip in clips
            if clip.scores["words_judged"]
        )
        means["words_read"] = ratio(right, means["words_judged"])
    still = np.isnan(means["opening_correlation"])
    openings = zip(*(clip.openings for clip in clips), strict=True)
    pooled = float("nan") if still else pooled_correlation(*openings)
    offsets = {name: best_lag([clip.curves[name] for clip in clips]) for name in clips[0].curves}
    return means | {"opening_correlation_pooled": pooled} | offsets


def landmark_scores(landmarks: np.ndarray, truth: Truth) -> Scores:
    """landmarks (T, 68, 2) of one clip, nan where no face was found -> its figures"""
    opening = mouth_opening(landmarks)
    return {
        "lmd_mouth": mean(mouth_distance(landmarks, truth.landmarks)),
        "lmd_all": mean(landmark_distance(landmarks, truth.landmarks)),
        "opening_correlation": correlation(opening, truth.opening),
        "opening_gain": opening_gain(opening, truth.opening),
        "pause_opening": pause_opening(landmarks, truth.rest, truth.pauses),
        "pause_excess": pause_excess(landmarks, truth.rest, truth.pauses),
        "long_pause_opening": pause_opening(landmarks, truth.rest, truth.long_pauses),
        "long_pause_excess": pause_excess(landmarks, truth.rest, truth.long_pauses),
        "jitter": jitter(landmarks),
    }


def picture_scores(fake: np.ndarray, real: np.ndarray, true_landmarks: np.ndarray, example: int) -> Scores:
    """fake, real (T, H, W, 3) uint8, landmarks (T, 68, 2) of the true frames in their pixels -> figures

    fake may be one frame (1, H, W, 3), which stands still. Frame number `example`, which the network was given, is left
    out.
    """
    fake, real = without_example(fake, real, example)
    figures: Scores = {}
    for prefix, box in (
        ("", (0, 0, *real.shape[2:0:-1])),
        ("mouth_", mouth_box(true_landmarks, real.shape[1])),
    ):
        a, b = cut(fake, box), cut(real, box)
        figures[f"{prefix}psnr"] = mean(psnr(a, b))
        figures[f"{prefix}cpbd"] = mean(edge_sharpness(a))
        figures[f"{prefix}sharpness_ratio"] = ratio(mean(sharpness(a)), mean(sharpness(b)))
    return figures | {"ssim": mean(ssim(fake, real))}


def eye_scores(
    fake: np.ndarray, real: np.ndarray, landmarks: np.ndarray, true_landmarks: np.ndarray, example: int
) -> Scores:
    """How eyes close, in clips whose true ones do. fake, real (T, H, W, 3) or a still (1, H, W, 3); landmarks
    (T, 68, 2), of dlib in either, in pixels of a 128-pixel crop.
    """
    shut = shut_eyes(true_landmarks)
    shut[example] = False
    if not shut.any():
        return dict.fromkeys(("eyes_psnr", "eyes_correlation", "eyes_depth"), float("nan"))
    size = real.shape[1]
    box = mouth_box(to_crop_size(true_landmarks, size), size, EYES)
    error = psnr(cut(fake if len(fake) == 1 else fake[shut], box), cut(real[shut], box))
    seen = not np.isnan(landmarks).all()
    fall = eyes_fall(landmarks) / eyes_fall(true_landmarks) if seen else float("nan")
    openness = eye_openness(landmarks), eye_openness(true_landmarks)
    return {"eyes_psnr": mean(error), "eyes_correlation": correlation(*openness), "eyes_depth": fall}


def identity_score(
    descriptor: FaceDescriptor, fake: np.ndarray, landmarks: np.ndarray, example: np.ndarray
) -> float:
    """fake (T, H, W, 3), landmarks (T, 68, 2) of dlib in pixels of a 128-pixel crop, the example's descriptor (128,)"""
    numbers = [
        number for number in range(0, len(fake), IDENTITY_STEP) if np.isfinite(landmarks[number]).all()
    ]
    made = (describe_face(descriptor, fake[number], landmarks[number]) for number in numbers)
    return mean([float(one @ example / np.linalg.norm(one) / np.linalg.norm(example)) for one in made])


def describe_face(descriptor: FaceDescriptor, crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """crop (H, W, 3), landmarks (68, 2) in pixels of a 128-pixel crop, nan for no face -> (128,), nan then too"""
    if np.isnan(landmarks).any():
        return np.full(128, np.nan)
    larger = cv2.resize(crop, (DETECTION_SIDE, DETECTION_SIDE), interpolation=cv2.INTER_CUBIC)
    return descriptor(larger, to_crop_size(landmarks, DETECTION_SIDE))


def original_scores(fake: np.ndarray, real: np.ndarray, example: int) -> Scores:
    """As `picture_scores`, by the definitions of the original's script"""
    fake, real = without_example(fake, real, example)
    return {
        "paper_ssim": mean(enlarged_ssim(fake, real)),
        "paper_psnr": mean(enlarged_psnr(fake, real)),
        "paper_cpbd": mean(narrow_cpbd(fake)),
    }


def without_example(fake: np.ndarray, real: np.ndarray, example: int) -> tuple[np.ndarray, np.ndarray]:
    """Both without frame number `example`; a single frame that stands still is kept"""
    return fake if len(fake) == 1 else np.delete(fake, example, axis=0), np.delete(real, example, axis=0)


def ratio(value: float, reference: float) -> float:
    """nan for a reference of 0"""
    return value / reference if reference else float("nan")


def add_comparisons(summaries: dict[str, Scores], static: str, truth: str) -> None:
    """Adds to each row's figures how they stand against the static face and against the truth."""
    for scores in summaries.values():
        scores["lmd_mouth_ratio"] = ratio(scores["lmd_mouth"], summaries[static]["lmd_mouth"])
        scores["jitter_ratio"] = ratio(scores["jitter"], summaries[truth]["jitter"])
        if "mouth_cpbd" in scores:
            scores["mouth_cpbd_ratio"] = ratio(scores["mouth_cpbd"], summaries[truth]["mouth_cpbd"])
        for name in ("psnr", "mouth_psnr", "eyes_psnr"):
            if name in scores and scores is not summaries[truth]:
                scores[f"{name}_gain"] = scores[name] - summaries[static][name]


def publish(args: Namespace, device: torch.device, clips: dict[str, Rows], facts: dict) -> None:
    """Writes metrics.json and clips.csv into args.sample_dir and prints the tables.

    clips: the rows of every clip, by its id; facts: what else metrics.json should say.
    """
    names = next(iter(clips.values()))
    summaries = {name: summary([rows[name] for rows in clips.values()]) for name in names}
    add_comparisons(summaries, STATIC, TRUTH)
    frames = sum(len(rows[TRUTH].openings[0]) for rows in clips.values())
    facts = run_facts(args, device, len(clips), frames) | facts
    results = {**facts, "rows": summaries, "definitions": definitions(summaries)}
    lines = [
        {"clip": id, "row": name, **row.scores} for id, rows in clips.items() for name, row in rows.items()
    ]
    write_json(args.sample_dir / "metrics.json", results)
    write_csv(args.sample_dir / "clips.csv", lines)
    print(f"\n{corpus(args)}, {args.split}: {len(clips)} clips, {frames} frames\n\n{text(summaries)}\n")
    print(f"{args.sample_dir}: metrics.json, clips.csv and {min(args.videos, len(clips))} videos")


def detect_landmarks(detector: FaceDetector, crops: np.ndarray) -> np.ndarray:
    """crops (T, H, W, 3) uint8 -> what dlib finds in them, (T, 68, 2) in pixels of a 128-pixel crop; nan for no face

    Each crop is enlarged to 512 pixels first, so that dlib's whole pixels are a quarter of a crop pixel.
    """
    side = (DETECTION_SIDE, DETECTION_SIDE)
    larger = [cv2.resize(crop, side, interpolation=cv2.INTER_CUBIC) for crop in crops]
    return ((detector.track(larger) + 0.5) * (128 / DETECTION_SIDE) - 0.5).astype(np.float32)
