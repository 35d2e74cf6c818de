"""One clip from file to arrays: frames, landmarks, crops of the face or the head, sound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise, repeat
from pathlib import Path

import numpy as np

from data.store import ALIGNED, STATIC
from data.store_writer import ClipArrays
from utils.audio import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.mfcc import HOP, WINDOW, mfcc
from utils.errors import UserError
from utils.face.alignment import (
    LARGEST_ZOOM,
    apply_transform,
    crop_face,
    crop_transforms,
    denoise_moving,
    static_transform,
)
from utils.face.detector import FaceDetector, fill_gaps
from utils.files.arrays import read_numbers
from utils.media.read import read_video, stream_audio, video_start

LARGEST_LOSS = 1 / 3  # of a clip's frames, that may be cut off for want of a face
JUMP = 25  # grey levels, mean over the picture: a new shot. A head that turns before a wall makes 19, a talking one 2


@dataclass(frozen=True)
class RawClip:
    """Where one clip of a corpus lies, and what the corpus says about it."""

    id: str
    video: Path
    source: str  # the video's path within the corpus
    speaker: str = ""
    transcript: str = ""
    split: str = ""
    sound: Path | None = None  # None: the video's own
    mute: bool = False  # silence in place of a sound
    landmarks: Path | None = None  # precomputed, (T, 68, 2) source pixels; None: dlib finds them
    metadata: dict[str, str] = field(default_factory=dict)
    done: frozenset[str] = frozenset()  # ids of its pieces that the store holds already


@dataclass(frozen=True)
class Crop:
    """How faces are cut out: side in pixels, smoothing of the alignment in frames, JPEG quality (101: PNG).

    kind: "aligned", each frame by itself, so that the face stands still; or "static", one square a clip, in which the
    head moves. seconds: longer videos become pieces of this length; None: they stay whole, and in memory.
    """

    size: int = 128
    smoothing: float = 2.0
    quality: int = 95
    kind: str = ALIGNED
    seconds: float | None = None

    def parameters(self) -> dict:
        """What a store says of it"""
        crops = {"crop": self.kind, "size": self.size, "quality": self.quality}
        smoothing = {"smoothing": self.smoothing} if self.kind == ALIGNED else {}
        return crops | smoothing | ({"seconds": self.seconds} if self.seconds else {})


def read_clip(clip: RawClip, crop: Crop, detector: FaceDetector | None) -> ClipArrays:
    """Decodes, finds the face, aligns and cuts it. detector: needed where the clip has no precomputed landmarks.

    Where ends are cut off (see `face_span`), the metadata hold first_frame and source_frames: the number of the clip's
    first frame in the video, and how many the video has. The transcript stays that of the whole video.

    Raises UserError with the reason where the clip is damaged, has no sound, or its face is lost or too small.
    """
    frames = list(read_video(clip.video))
    count, audio, points = len(frames), Sound(clip).read(len(frames)), _landmarks(clip, frames, detector)
    span = face_span(frames, points)
    frames, points = frames[span], fill_gaps(points[span])
    cut = dict(first_frame=str(span.start), source_frames=str(count)) if len(frames) < count else {}
    audio = audio[span.start * SAMPLES_PER_FRAME : span.stop * SAMPLES_PER_FRAME]
    return cut_out(replace(clip, metadata=clip.metadata | cut), frames, points, audio, crop)


def cut_out(
    clip: RawClip, frames: Iterable[np.ndarray], points: np.ndarray, audio: np.ndarray, crop: Crop
) -> ClipArrays:
    """frames T pictures, of which one at a time is looked at; points (T, 68, 2); audio (640 T,) -> the clip's arrays

    Raises UserError where the face is too small.
    """
    transforms = crop_transforms(points, crop.size, crop.smoothing)
    zoom = float(np.hypot(transforms[:, 0, 0], transforms[:, 1, 0]).max())
    if zoom > LARGEST_ZOOM * crop.size / 128:
        raise UserError(f"the face is too small: it would be magnified {zoom:.1f} times")
    frames = iter(frames)
    first = next(frames)
    size, landmarks = (first.shape[1], first.shape[0]), points
    if crop.kind == STATIC:
        landmarks = denoise_moving(points)
        transforms = np.broadcast_to(static_transform(landmarks, crop.size, size), transforms.shape)
    pictures = [
        encode(crop_face(*pair, crop.size), crop.quality)
        for pair in zip(chain([first], frames), transforms, strict=True)
    ]
    return ClipArrays(
        pictures=pictures,
        landmarks=apply_transform(transforms, landmarks),
        source_landmarks=points,
        transforms=transforms,
        audio=audio,
        mfcc=clip_mfcc(audio),
        speaker=clip.speaker,
        transcript=clip.transcript,
        source=clip.source,
        source_size=size,
        split=clip.split,
        metadata=clip.metadata,
    )


def clip_mfcc(audio: np.ndarray) -> np.ndarray:
    """audio (640 T,) of a whole clip -> (4 T, 12), silence after its end"""
    return mfcc(np.pad(audio, (0, WINDOW - HOP)))[: len(audio) // HOP]


def face_span(frames: list[np.ndarray], points: np.ndarray) -> slice:
    """The frames from the first that shows the face to the last, where points (T, 68, 2) are NaN for those without one

    One GRID clip in a hundred begins with a dozen grey frames of which only what moves is drawn: the picture that they
    build on is missing. There is no face to be found in them, looking forward or back, and what dlib takes for one
    now and then is none to learn from. So where the ends show no face, the clip is the shot that shows it longest.

    Raises UserError where more than a third of the frames would be lost.
    """
    seen = ~np.isnan(points).any(axis=(1, 2))
    if not seen.any() or (seen[0] and seen[-1]):
        return slice(0, len(frames))  # nothing to cut off, or nothing that would be left
    coarse = [frame[::4, ::4].astype(np.int16) for frame in frames]
    jumps = [i for i in range(1, len(coarse)) if np.abs(coarse[i] - coarse[i - 1]).mean() > JUMP]
    first, last = max(pairwise([0, *jumps, len(frames)]), key=lambda shot: seen[slice(*shot)].sum())
    shown = first + np.flatnonzero(seen[first:last])
    span = slice(int(shown[0]), int(shown[-1]) + 1)
    if span.stop - span.start < (1 - LARGEST_LOSS) * len(frames):
        raise UserError(
            f"no face but in frames {span.start} to {span.stop - 1} of its {len(frames)}, too few of them"
        )
    return span


class Sound:
    """A clip's sound, read from the front in parts as long as its pictures; memory does not grow with its length.

    Raises UserError where there is none that can be read.
    """

    def __init__(self, clip: RawClip) -> None:
        self._rest = np.zeros(0, np.float32)
        if clip.mute:
            self._blocks = repeat(np.zeros(SAMPLE_RATE, np.float32))
            return
        sound, start = (clip.sound, None) if clip.sound else (clip.video, video_start(clip.video))
        self._blocks = stream_audio(sound, SAMPLE_RATE, start=start)

    def read(self, frames: int) -> np.ndarray:
        """The next (640 frames,), silence added where it ends early. Raises UserError where half of it would be."""
        wanted, parts = frames * SAMPLES_PER_FRAME, [self._rest]
        while sum(map(len, parts)) < wanted and (block := next(self._blocks, None)) is not None:
            parts.append(block)
        audio, self._rest = np.split(np.concatenate(parts), [wanted])
        missing = wanted - len(audio)
        if missing > wanted / 2:
            raise UserError(
                f"its sound lasts {len(audio) / SAMPLE_RATE:.2f} s, its pictures {frames / FPS:.2f} s"
            )
        return np.pad(audio, (0, missing))


def _landmarks(clip: RawClip, frames: list[np.ndarray], detector: FaceDetector | None) -> np.ndarray:
    """(T, 68, 2) source pixels; NaN rows stand for frames without a face"""
    if clip.landmarks:
        return _precomputed(clip.landmarks, len(frames))
    return detector.track(frames, longest_gap=int(LARGEST_LOSS * len(frames)))


def _precomputed(path: Path, frames: int) -> np.ndarray:
    """(T, 68, 2) out of a .npy file; NaN rows stand for frames without a face"""
    points = load_landmarks(path)
    if len(points) != frames:
        raise UserError(f"{path}: holds {points.dtype} {points.shape}, not ({frames}, 68, 2) numbers")
    return points


def load_landmarks(path: Path) -> np.ndarray:
    """(any number, 68, 2) float32 out of a .npy file. Raises UserError."""
    points = read_numbers(path, "landmarks", "give (frames, 68, 2) numbers, NaN for no face", missing=True)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise UserError(f"{path}: holds {points.dtype} {points.shape}, not (frames, 68, 2) numbers")
    return points.astype(np.float32)


def encode(picture: np.ndarray, quality: int) -> bytes:
    """picture (H, W, 3) uint8 RGB -> JPEG bytes without colour subsampling, or PNG for a quality above 100"""
    import cv2

    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, *full_colour]) if quality <= 100 else (".png", [])
    return cv2.imencode(options[0], cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options[1])[1].tobytes()
