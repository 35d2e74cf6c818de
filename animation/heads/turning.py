"""A speaking picture whose head is turned, at the picture's own resolution."""

from __future__ import annotations

import numpy as np

from models.head3d.sheet import make_sheet
from utils.face.alignment import apply_transform, invert_transform
from utils.face.pose import Pose, fit_pose, frontalise, place, pose_of

RASTER = 112  # points along the longer side of what may move; between them the sheet is as good as flat


class HeadTurner:
    """Turns the head of pictures that differ from one photo in its face alone, as VG-net's do.

    landmarks (68, 2) in pixels of the photo; size: its height and width.
    """

    def __init__(self, landmarks: np.ndarray, size: tuple[int, int]) -> None:
        self.rest = fit_pose(np.asarray(landmarks)[None])
        self.sheet = make_sheet(landmarks, self.rest, size)
        left, top, right, bottom = self.sheet.box
        self.step = max(right - left, bottom - top) / (RASTER - 1)
        self.places = tuple(int(np.ceil(side / self.step)) + 1 for side in (bottom - top, right - left))
        self.corner = (left, top)
        (self.left, self.top), (self.right, self.bottom) = (
            np.ceil([left, top]).astype(int),
            np.floor([right, bottom]).astype(int) + 1,
        )

    def __call__(self, picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """picture (H, W, 3) uint8, head motion (6,) about the photo's pose -> the picture with its head moved

        Units of the motion: `utils.face.pose.motion_of`. Outside of what moves the picture stays, to the last bit.
        """
        import cv2

        if not np.any(motion):
            return picture
        sampling = self.sheet.sampling(pose_of(motion[None], self.rest), self.places, self.corner, self.step)
        x, y = self.corner
        raster = np.array([[1, 0, self.left - x], [0, 1, self.top - y]]) / self.step  # of the region's pixels
        size = (int(self.right - self.left), int(self.bottom - self.top))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found = cv2.warpAffine(
            sampling[0].numpy(), raster, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        turned = picture.copy()
        region = turned[self.top : self.bottom, self.left : self.right]
        region[:] = cv2.remap(picture, found, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return turned


def turned_landmarks(landmarks: np.ndarray, rest: Pose, motion: np.ndarray) -> np.ndarray:
    """landmarks (T, 68, 2) of a face that keeps the pose `rest` (one frame), head motion (T, 6) -> (T, 68, 2)"""
    still = rest[np.zeros(len(landmarks), int)]
    return place(frontalise(landmarks, still), pose_of(motion, rest)).astype(np.float32)


def landmarks_in_picture(landmarks: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """landmarks (68, 2) in crop pixels, transform (2, 3) from picture to crop -> in pixels of the picture"""
    return apply_transform(invert_transform(transform), landmarks)
