"""The face of a photo: found before, and laid back into the photo after it has learned to speak."""

from __future__ import annotations

import numpy as np

from utils.face.alignment import apply_transform, crop_face, invert_transform

# H.264 players stop at 36,864 blocks of 16 x 16 pixels (level 5.2) and at 4,096 pixels a side.
LARGEST_VIDEO, LONGEST_SIDE = 36_864 * 256, 4096
FACE_OUTLINE = [*range(17), 26, 25, 24, 19, 18, 17]  # jaw and brows
SPEAKING = [*range(3, 14), *range(31, 36), *range(48, 60)]  # what speech moves: lower jaw, nostrils, lips


def fit_for_video(photo: np.ndarray, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """photo (H, W, 3) and its transform to the crop, both scaled down where H.264 could not hold the photo"""
    import cv2

    height, width = photo.shape[:2]
    scale = min(1.0, (LARGEST_VIDEO / (height * width)) ** 0.5, LONGEST_SIDE / max(height, width))
    if scale == 1:
        return photo, transform
    smaller = tuple(max(16, int(side * scale) // 16 * 16) for side in (width, height))
    ratio = np.array([width, height]) / smaller
    enlarge = np.column_stack([np.diag(ratio), (ratio - 1) / 2])
    combined = np.column_stack(
        [transform[:, :2] @ enlarge[:, :2], apply_transform(transform, enlarge[None, :, 2])[0]]
    )
    return cv2.resize(photo, smaller, interpolation=cv2.INTER_AREA), combined


class PasteBack:
    """Lays frames of the crop back into the photo at the photo's own resolution.

    Around the lips and the lower jaw the frame replaces the photo. Elsewhere on the face only its difference from the
    still crop is added, so that the photo's finer detail and its colours remain; towards the edge of the crop that
    fades to nothing, so that no square can be seen.
    """

    def __init__(self, photo: np.ndarray, transform: np.ndarray, landmarks: np.ndarray, size: int) -> None:
        """transform (2, 3): photo pixels to crop pixels; landmarks (68, 2) in crop pixels; size of the crop"""
        face, mouth = paste_masks(landmarks, size)
        self.canvas = photo.copy()
        self.region, self.to_region = _region(photo, transform, size)
        still = self._enlarge(crop_face(photo, transform, size))
        self.face = self._enlarge(face)[..., None]
        mouth = self._enlarge(mouth)[..., None]
        own = photo[self.region].astype(np.float32)
        self.base = own - self.face * (mouth * own + (1 - mouth) * still) + 0.5

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """frame (size, size, 3) -> the whole photo (H, W, 3) uint8, valid until the next call"""
        region = self.base + self.face * self._enlarge(frame)
        self.canvas[self.region] = np.clip(region, 0, 255, out=region)
        return self.canvas

    def _enlarge(self, crop: np.ndarray) -> np.ndarray:
        """A picture in crop pixels -> its part of the photo, float32"""
        import cv2

        height, width = self.canvas[self.region].shape[:2]
        flags = cv2.INTER_CUBIC if crop.dtype == np.uint8 else cv2.INTER_LINEAR
        crop = crop.astype(np.float32)
        return cv2.warpAffine(
            crop, self.to_region, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )


def paste_masks(landmarks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """landmarks (68, 2) in crop pixels -> weights (size, size) in [0, 1] of the face and of what speech moves in it"""
    step = size / 128
    to_border = np.minimum(np.arange(size), np.arange(size)[::-1]) / (10 * step)
    border = _ease(np.minimum(to_border[:, None], to_border[None, :]))
    face = _soft_hull(landmarks[FACE_OUTLINE], size, 4 * step, 14 * step) * border
    return face, _soft_hull(landmarks[SPEAKING], size, 2 * step, 10 * step)


def _soft_hull(points: np.ndarray, size: int, margin: float, feather: float) -> np.ndarray:
    """1 within `margin` pixels of the convex hull of points (N, 2), easing to 0 over `feather` more"""
    import cv2

    outside = np.ones((size, size), np.uint8)
    cv2.fillConvexPoly(outside, cv2.convexHull(points.round().astype(np.int32)), 0)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _ease(1 - (distance - margin) / feather)


def _ease(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return (x * x * (3 - 2 * x)).astype(np.float32)


def _region(photo: np.ndarray, transform: np.ndarray, size: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """The slices of the photo that the crop covers, and the transform (2, 3) from crop pixels to that region"""
    back = invert_transform(transform)
    corners = apply_transform(back, np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5)
    limits = np.array(photo.shape[1::-1])
    left, top = np.clip(np.floor(corners.min(0)), 0, limits - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), 1, limits).astype(int)
    back[:, 2] -= (left, top)
    return (slice(top, bottom), slice(left, right)), back
