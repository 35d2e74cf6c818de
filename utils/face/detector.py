"""Finds faces and their 68 landmarks with dlib, follows one through a video, and cuts aligned crops.

dlib's landmark model was trained on iBUG 300-W, which is not licensed for commercial use. It is read out of the
installed package `face_recognition_models`, by its path (importing that package needs the long gone pkg_resources).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from operator import itemgetter
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.face.alignment import apply_transform, crop_transforms, invert_transform
from utils.face.landmarks import smooth

SELDOM = 10  # frames from one close look for a lost face to the next
OTHER, MOST = (
    15,
    0.6,
)  # levels by which a pixel is another one, and the share of such pixels that makes a new shot
LONGEST_GAP = 5  # frames without a face that interpolation may bridge
DETECTION_SIDE = 1000  # longer images are shrunk to this before the search for faces
UNSURE = 0.45  # of the surest face's score, below which another is taken for a pattern that looks like one
TRACKED_FACE = (
    95,
    180,
)  # box sides in pixels at which the detector (whose window is 80 pixels) is quick and sure
UPRIGHT_SIDE, LARGEST_TILT = 512, 12.0  # pixels; degrees
BOX_SMOOTHING = 2.0  # frames
BOX_RADIUS = 6  # frames either side that the smoothing sees, three of its deviations
# The landmark model answers a little differently to each box. The mean over five, each off by this share of the box
# side, halves the jitter of the landmarks. Cheaper ways, tried on 35 clips: three boxes jitter an eighth more; a face
# found in every fifth frame and interpolated saves a fifth of the time, and moves landmarks as much as a box that is a
# pixel off does, by 0.2 pixels of a 128-pixel crop.
BOX_SHIFTS = ((0.0, 0.0), (0.04, 0.0), (-0.04, 0.0), (0.0, 0.04), (0.0, -0.04))
MISSING = np.full((68, 2), np.nan, np.float32)
Box = tuple[float, float, float, float]


class FaceDetector:
    """dlib's HOG face detector and 68-point landmark model. Images are (H, W, 3), uint8 RGB."""

    def __init__(self) -> None:
        import dlib

        self._rectangle = dlib.rectangle
        self._detect = dlib.get_frontal_face_detector()
        self._predict = dlib.shape_predictor(str(_model_path("shape_predictor_68_face_landmarks.dat")))

    def detect(self, image: np.ndarray, closely: int = 2) -> list[Box]:
        """Boxes (left, top, right, bottom) of all faces, the largest first; small faces only where there is no other

        closely: how often the image is enlarged to look for small ones, each time for four times the time.
        """
        for upsample in range(closely + 1):
            boxes = self._search(image, min(1.0, DETECTION_SIDE / max(image.shape[:2])), upsample)
            if boxes:
                return boxes
        return []

    def chosen(self, image: np.ndarray, boxes: list[Box], choose: Callable[[list[Box]], Box]) -> Box:
        """What `choose` takes of the image's boxes; where it raises UserError, of those of small faces too"""
        try:
            return choose(boxes)
        except UserError:
            closer = self._search(image, min(1.0, DETECTION_SIDE / max(image.shape[:2])), 1)
            return choose(closer if len(closer) > len(boxes) else boxes)

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray:
        """The face in the box -> (68, 2) float32 pixels"""
        side = max(box[2] - box[0], box[3] - box[1])
        points = [self._points(image, box, x * side, y * side) for x, y in BOX_SHIFTS]
        return np.mean(points, axis=0, dtype=np.float64).astype(np.float32)

    def track(self, frames: Iterable[np.ndarray], longest_gap: int | None = None) -> np.ndarray:
        """The largest face, followed through T frames -> (T, 68, 2) float32, NaN where it is not seen.

        longest_gap: give up (NaN to the end) once the face is not seen for more frames than this.
        """
        points = list(self.track_stream(frames, longest_gap))
        return np.stack(points) if points else np.zeros((0, 68, 2), np.float32)

    def track_stream(
        self,
        frames: Iterable[np.ndarray],
        longest_gap: int | None = None,
        choose: Callable[[list[Box]], Box] = itemgetter(0),
    ) -> Iterator[np.ndarray]:
        """`track` frame by frame, (68, 2) each, some frames later: no more than seven are held at a time

        choose: of the boxes of the first frame that shows any, the largest first, the one to follow.
        """
        waiting: deque[np.ndarray] = deque()  # frames whose boxes are not smoothed yet
        boxes = np.zeros((0, 4))  # theirs, and those of up to BOX_RADIUS frames before
        for frame, box in chain(self._follow(frames, longest_gap, choose), [(None, None)] * BOX_RADIUS):
            if frame is not None:
                waiting.append(frame)
                boxes = np.concatenate([boxes, box[None]])
            if len(waiting) > BOX_RADIUS or (frame is None and waiting):
                now = len(boxes) - len(waiting)
                smoothed = smooth_boxes(boxes[: now + BOX_RADIUS + 1])[now]
                image, boxes = waiting.popleft(), boxes[max(0, now + 1 - BOX_RADIUS) :]
                yield MISSING if np.isnan(smoothed[0]) else self.landmarks(image, smoothed)

    def _points(self, image: np.ndarray, box: Box, right: float, down: float) -> list[tuple[int, int]]:
        left, top, r, bottom = box
        edges = (left + right, top + down, r + right, bottom + down)
        shape = self._predict(image, self._rectangle(*(round(float(edge)) for edge in edges)))
        return [(point.x, point.y) for point in shape.parts()]

    def _search(self, image: np.ndarray, scale: float, upsample: int = 0) -> list[Box]:
        """Faces of the image, searched at another scale, the largest first; boxes in the image's own pixels"""
        import cv2

        if min(image.shape[:2]) * scale < 1:
            return []  # a strip so thin that nothing would be left of it
        if scale != 1:
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
        found, scores, _ = self._detect.run(np.ascontiguousarray(image), upsample, 0.0)
        sure = [face for face, score in zip(found, scores, strict=True) if score >= UNSURE * max(scores)]
        faces = sorted(sure, key=lambda face: -face.area())
        return [tuple(e / scale for e in (f.left(), f.top(), f.right(), f.bottom())) for f in faces]

    def _follow(
        self,
        frames: Iterable[np.ndarray],
        longest_gap: int | None,
        choose: Callable[[list[Box]], Box] = itemgetter(0),
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each frame with the box (4,) of the followed face in it, NaN where it is not seen"""
        last, unseen, unknown, before = None, 0, np.full(4, np.nan), None
        for frame in frames:
            now = frame[::8, ::8].astype(np.int16)
            cut = before is not None and now.shape == before.shape and is_cut(before, now)
            before = now
            if longest_gap is not None and unseen > longest_gap:
                yield frame, unknown
                continue
            found = self._find_again(frame, last) if last is not None else None
            if found is None:
                # What has been lost is looked for closely only now and then: that takes a second.
                faces = self.detect(frame, 2 if unseen <= LONGEST_GAP or unseen % SELDOM == 0 else 0)
                if last is None:
                    found = self.chosen(frame, faces, choose) if faces else None
                else:
                    near = [face for face in faces if overlap(face, last) > 0.2]
                    found = next(iter(near if unseen <= LONGEST_GAP and not cut else near or faces), None)
            unseen = 0 if found is not None else unseen + 1
            last = last if found is None else found
            yield frame, unknown if found is None else np.array(found)

    def _find_again(self, frame: np.ndarray, last: Box) -> Box | None:
        """The face near its last place, at a scale that suits the detector; None where it is not seen"""
        side = last[2] - last[0]
        scale = 1.0 if TRACKED_FACE[0] <= side <= TRACKED_FACE[1] else float(np.mean(TRACKED_FACE)) / side
        margin = 0.35 * side
        left, top = (max(0, int(last[i] - margin)) for i in (0, 1))
        window = frame[top : max(top, int(last[3] + margin)), left : max(left, int(last[2] + margin))]
        if min(window.shape[:2]) * scale < 80:
            return None
        for face in self._search(window, scale):
            moved = (face[0] + left, face[1] + top, face[2] + left, face[3] + top)
            if overlap(moved, last) > 0.2:
                return moved
        return None


class FaceDescriptor:
    """dlib's network that tells people apart: 128 numbers of a face, alike for pictures of one person."""

    def __init__(self) -> None:
        import dlib

        self._dlib = dlib
        path = _model_path("dlib_face_recognition_resnet_model_v1.dat")
        self._network = dlib.face_recognition_model_v1(str(path))

    def __call__(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """image (H, W, 3) uint8 RGB, its landmarks (68, 2) in pixels -> (128,)"""
        points = self._dlib.points([self._dlib.point(*map(int, point)) for point in np.rint(landmarks)])
        (left, top), (right, bottom) = (map(int, edge) for edge in (landmarks.min(0), landmarks.max(0)))
        face = self._dlib.full_object_detection(self._dlib.rectangle(left, top, right, bottom), points)
        return np.array(self._network.compute_face_descriptor(np.ascontiguousarray(image), face))


def _model_path(name: str) -> Path:
    package = find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        raise UserError("dlib's models are missing; pip install face_recognition_models")
    return Path(package.submodule_search_locations[0]) / "models" / name


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Two frames on end (h, w, 3) int16 -> whether another shot begins between them, with hardly a pixel as it was"""
    return bool((np.abs(now - before).max(-1) > OTHER).mean() > MOST)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes"""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def smooth_boxes(boxes: np.ndarray) -> np.ndarray:
    """boxes (T, 4), NaN where unseen -> the same, smoothed over time within each unbroken run

    The detector's boxes jump by whole cells of its grid, and landmarks would jump with them.
    """
    seen = ~np.isnan(boxes[:, 0])
    breaks = [
        i for i in range(1, len(boxes)) if seen[i] != seen[i - 1] or overlap(boxes[i], boxes[i - 1]) < 0.3
    ]
    runs = np.split(boxes, breaks)
    return np.concatenate([smooth(run, BOX_SMOOTHING) for run in runs]) if len(boxes) else boxes


def fill_gaps(landmarks: np.ndarray, longest: int = LONGEST_GAP) -> np.ndarray:
    """landmarks (T, 68, 2), NaN where missing -> the same with gaps of up to `longest` frames interpolated linearly

    Gaps at the ends take the nearest frame. Raises UserError, naming the frames, where a gap is longer.
    """
    landmarks = np.asarray(landmarks, np.float32)
    seen = np.flatnonzero(~np.isnan(landmarks).any(axis=(1, 2)))
    edges = np.concatenate([[-1], seen, [len(landmarks)]])
    gaps = np.diff(edges) - 1
    if len(seen) == 0 or gaps.max() > longest:
        first = edges[int(np.argmax(gaps > longest))] + 1 if len(seen) else 0
        raise UserError(f"no face in frame {first} and the {longest} after it")
    times, flat = np.arange(len(landmarks)), landmarks.reshape(len(landmarks), -1)
    filled = np.stack([np.interp(times, seen, column[seen]) for column in flat.T], axis=1)
    return filled.reshape(landmarks.shape).astype(np.float32)


SMALLEST_FACE = 40  # pixels between the ends of the jaw, below which a crop would be mere blur


def upright_landmarks(photo: np.ndarray, landmarks: np.ndarray, detector: FaceDetector) -> np.ndarray:
    """landmarks (68, 2) of a face in the photo -> those found again where the head is turned upright

    dlib sees tilted faces, but its landmarks of them go astray from about 30 degrees on. Without a face upright the
    first ones stay.
    """
    import cv2

    transform = crop_transforms(landmarks[None], UPRIGHT_SIDE // 2)[0]
    if abs(np.degrees(np.arctan2(transform[1, 0], transform[0, 0]))) < LARGEST_TILT:
        return landmarks
    transform[:, 2] += UPRIGHT_SIDE / 4  # room about the face
    side = (UPRIGHT_SIDE, UPRIGHT_SIDE)
    upright = cv2.warpAffine(photo, transform, side, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    middle = apply_transform(transform, landmarks).mean(0)
    boxes = [
        box for box in detector.detect(upright) if box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3]
    ]
    if not boxes:
        return landmarks
    return apply_transform(invert_transform(transform), detector.landmarks(upright, boxes[0]))


def find_face(
    photo: np.ndarray, detector: FaceDetector, choose: Callable[[list[Box]], Box] = itemgetter(0)
) -> tuple[np.ndarray, int]:
    """photo (H, W, 3) -> landmarks (68, 2) of its largest face in photo pixels, and how many faces it shows.

    choose: takes another one of the boxes, which come the largest first. Raises UserError where there is no face,
    or the one chosen is not large enough.
    """
    boxes = detector.detect(photo)
    if not boxes:  # perhaps a tight crop: the detector wants to see some room around a face
        margin = max(photo.shape[:2]) // 4
        padded = np.pad(photo, [(margin, margin), (margin, margin), (0, 0)], mode="edge")
        boxes = [tuple(edge - margin for edge in box) for box in detector.detect(padded)]
    if not boxes:
        raise UserError("no face found; use a photo that shows a face from the front")
    box = detector.chosen(photo, boxes, choose)
    landmarks = upright_landmarks(photo, detector.landmarks(photo, box), detector)
    width = np.linalg.norm(landmarks[16] - landmarks[0])
    if width < SMALLEST_FACE:
        raise UserError(
            f"the face is only {width:.0f} pixels wide; use a photo where it has {SMALLEST_FACE} or more"
        )
    return landmarks, len(boxes)
