"""CPBD: how much of a picture's edges a viewer sees as sharp, without a reference.

N. D. Narvekar and L. J. Karam, "A no-reference image blur metric based on the cumulative probability of blur detection
(CPBD)", IEEE Transactions on Image Processing 20(9), 2011. Edge widths are those of P. Marziliano et al., 2002.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import sobel
from skimage.feature import canny

BLOCK = 64
EDGE_SHARE = 0.002  # a block with fewer edge pixels than this share does not count
BETA = 3.6
SEEN = 63  # per cent: the probability at which blur is just noticeable


def cpbd(grey: np.ndarray, block: int = BLOCK, seen: int = SEEN) -> float:
    """grey (H, W), 0 to 255 -> the share of edges whose blur is not noticeable, from 0 (blurred) to 1 (sharp)

    block: side of the squares whose contrast sets the just noticeable blur; what is left over at the right and at the
    bottom is not judged, and a picture smaller than one block is one block. seen: the largest probability, in per cent,
    of blur that goes unnoticed. 0 for a picture without edges.
    """
    grey = np.asarray(grey, np.float64)
    edges, widths = canny(grey), edge_widths(grey)
    height, width = min(block, grey.shape[0]), min(block, grey.shape[1])
    probabilities = []
    for top in range(0, grey.shape[0] - height + 1, height):
        for left in range(0, grey.shape[1] - width + 1, width):
            part = slice(top, top + height), slice(left, left + width)
            if edges[part].mean() > EDGE_SHARE:
                found = widths[part][widths[part] > 0]
                probabilities.append(1 - np.exp(-((found / noticeable_width(grey[part])) ** BETA)))
    probabilities = np.concatenate(probabilities) if probabilities else np.zeros(0)
    return float((np.round(100 * probabilities) <= seen).mean()) if len(probabilities) else 0.0


def noticeable_width(block: np.ndarray) -> float:
    """The edge width in pixels at which blur is just noticeable in a block of that contrast (the paper's Table I)"""
    return 5.0 if np.ptp(block) <= 50 else 3.0


def edge_widths(grey: np.ndarray) -> np.ndarray:
    """grey (H, W) -> (H, W): in pixels along the row, how wide the edge is at upright edge pixels; 0 elsewhere

    The width of an edge is the distance between the local extremes of brightness on either side of it.
    """
    rising = _runs(grey) + _runs(grey[:, ::-1], descending=True)[:, ::-1]
    falling = _runs(grey, descending=True) + _runs(grey[:, ::-1])[:, ::-1]
    vertical, horizontal = np.gradient(grey)
    direction = np.round(np.degrees(np.arctan2(vertical, horizontal)) / 45).astype(int) * 45
    upright = _upright_edges(grey)
    return np.where(
        upright & (direction == 0), rising, np.where(upright & (np.abs(direction) == 180), falling, 0)
    )


def _upright_edges(grey: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the horizontal Sobel response is strong and the largest of its row's neighbours"""
    strength = sobel(grey, axis=1) ** 2
    before, after = np.pad(strength, [(0, 0), (1, 0)])[:, :-1], np.pad(strength, [(0, 0), (0, 1)])[:, 1:]
    return (strength > 4 * strength.mean()) & (strength > before) & (strength >= after)


def _runs(grey: np.ndarray, descending: bool = False) -> np.ndarray:
    """(H, W): over how many pixels brightness has been rising (or falling) without a break, row by row from the left"""
    steps = np.diff(-grey if descending else grey, axis=1) > 0
    columns = np.arange(grey.shape[1])
    starts = np.where(np.pad(steps, [(0, 0), (1, 0)]), 0, columns)
    return columns - np.maximum.accumulate(starts, axis=1)
