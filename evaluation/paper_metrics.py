"""The metrics as the original's evaluation script computes them, mistakes included, to compare with old tables only.

Facts about them: the landmark distance is a sum over 20 points, not a mean; PSNR is computed in 8-bit arithmetic that
wraps at 256, so that bad pictures never fall under about 28 dB. The original stretched each picture's contrast when
saving it; that is not repeated here.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from evaluation.cpbd import cpbd
from evaluation.picture_metrics import each_pair, grey
from utils.face.landmarks import MOUTH

SIDE = 256
# LMD, SSIM, PSNR on GRID, by Table 1 of the paper (CVPR 2019); quoted, and verified by nobody here
REPORTED = {
    "ATVGnet": (1.29, 0.83, 32.15),
    "ATVG-ND, without the dynamic loss": (1.34, 0.79, 31.51),
    "the paper's baseline": (1.82, 0.77, 28.78),
}


def summed_mouth_distance(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, 68, 2) crop pixels -> (T,): sum over the 20 mouth points of their distance

    Points are rounded to whole pixels, as dlib gives them, and each set is taken relative to its own centre.
    """
    fake, real = np.rint(fake[:, MOUTH]), np.rint(real[:, MOUTH])
    fake, real = fake - fake.mean(1, keepdims=True), real - real.mean(1, keepdims=True)
    return np.linalg.norm(fake - real, axis=-1).sum(-1)


def enlarged_ssim(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, H, W, 3) RGB uint8 -> (T,): SSIM of the BGR pictures resized to 256 x 256 by INTER_AREA"""
    return each_pair(partial(structural_similarity, channel_axis=-1), _enlarge(fake), _enlarge(real))


def enlarged_psnr(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """fake, real (T, H, W, 3) RGB uint8 -> (T,): the wrapping PSNR of the grey 256 x 256 pictures"""
    greys = ([cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in _enlarge(side)] for side in (fake, real))
    return each_pair(wrapping_psnr, *greys)


def wrapping_psnr(fake: np.ndarray, real: np.ndarray) -> float:
    """fake, real (H, W) uint8 -> dB; difference and square both wrap at 256, 100 for identical pictures"""
    error = ((fake - real) ** 2).mean()  # uint8 arithmetic on purpose
    return float(20 * np.log10(255 / np.sqrt(error))) if error else 100.0


def narrow_cpbd(frames: np.ndarray) -> np.ndarray:
    """frames (T, H, W, 3) RGB uint8 -> (T,): CPBD without the histogram's last bin, 63, of what goes unnoticed

    Edges as wide as the just noticeable blur fall into that bin, and with whole pixels they are many.
    """
    return np.array([cpbd(one, seen=62) for one in grey(frames)])


def _enlarge(frames: np.ndarray) -> list[np.ndarray]:
    """RGB -> BGR, 256 x 256"""
    bgr = (cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames)
    return [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in bgr]
