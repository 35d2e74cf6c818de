"""What the original release's weights expect around them: its canonical face, gains and alignment.

Networks imported by convert.py with the original's PCA basis (space "original") know no rest shape of a person: every
example is the same canonical face with its mouth closed, and landmarks are whole faces of that scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from animation.stream import Subject
from utils.errors import UserError
from utils.face.alignment import apply_transform, fit_similarity
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import to_crop_size

# The gains that the original's demo puts on its six coefficients (the omega of the paper).
GAINS = np.array([1.0, 2.2, 2.4, 2.6, 2.8, 3.0], np.float32)
# The one example that the original's `normLmarks` gives for any photo, times 5: 68 points, x y x y ...
CANONICAL_FACE = np.array(
    """
    -0.7721 -0.4306 -0.7573 -0.2132 -0.7297 0.0025 -0.6918 0.2173 -0.6264 0.4200 -0.5166 0.5993
    -0.3689 0.7492 -0.1967 0.8632 0.0022 0.9007 0.2021 0.8629 0.3761 0.7483 0.5236 0.5977
    0.6303 0.4150 0.6932 0.2121 0.7306 -0.0014 0.7581 -0.2153 0.7751 -0.4298 -0.6176 -0.5947
    -0.5196 -0.6846 -0.3824 -0.7072 -0.2413 -0.6804 -0.1109 -0.6244 0.1192 -0.6264 0.2528 -0.6817
    0.3953 -0.7073 0.5343 -0.6814 0.6302 -0.5894 0.0051 -0.4664 0.0050 -0.3301 0.0046 -0.1956
    0.0041 -0.0550 -0.1487 0.0621 -0.0762 0.0892 0.0007 0.1095 0.0796 0.0905 0.1520 0.0640
    -0.4617 -0.4340 -0.3775 -0.4761 -0.2780 -0.4766 -0.1879 -0.4173 -0.2807 -0.3963 -0.3814 -0.3945
    0.1964 -0.4170 0.2879 -0.4737 0.3874 -0.4737 0.4707 -0.4321 0.3922 -0.3908 0.2918 -0.3927
    -0.2795 0.3453 -0.1778 0.3046 -0.0853 0.2789 -0.0121 0.3008 0.0626 0.2811 0.1632 0.3076
    0.2787 0.3478 0.1638 0.4105 0.0653 0.4373 -0.0128 0.4447 -0.0900 0.4348 -0.1796 0.4057
    -0.2338 0.3459 -0.0857 0.3406 -0.0122 0.3508 0.0634 0.3414 0.2300 0.3483 0.0623 0.3509
    -0.0120 0.3601 -0.0855 0.3491
    """.split(),
    dtype=np.float32,
)
# Where its alignment puts the nose, one eye and half of the other (points 27 to 44) in the crop of 128 pixels.
ALIGNED = slice(27, 45)
ALIGNED_TEMPLATE = np.array(
    """
    64 36 64 46 64 56 65 67 53 74 59 76 65 77 70 75 76 74
    27 38 34 34 42 34 49 39 42 41 33 41 78 39 85 33 93 33
    """.split(),
    dtype=np.float32,
).reshape(18, 2)


class OriginalSubject(Subject):
    """A subject for networks of the original release: the same for every photo."""

    def __init__(self, basis: LandmarkBasis) -> None:
        if basis.components.shape[1] != len(GAINS):
            raise UserError(
                f"an original AT-net has {len(GAINS)} coefficients, not {basis.components.shape[1]}"
            )
        example = basis.project(CANONICAL_FACE)
        super().__init__(basis, basis.reconstruct(example), np.zeros(136, np.float32), example, GAINS)

    def pixels(self, landmarks: np.ndarray, size: int) -> np.ndarray:
        """landmarks (..., 136) of the original's scale -> (..., 68, 2) in pixels of its crop"""
        canonical = CANONICAL_FACE.reshape(68, 2)[ALIGNED]
        transform = fit_similarity(canonical, to_crop_size(ALIGNED_TEMPLATE, size))
        return apply_transform(transform, landmarks.reshape(*landmarks.shape[:-1], 68, 2))


def is_original(vg_net: nn.Module) -> bool:
    """Whether convert.py imported this VG-net, and noted so: it knows the original's landmarks and crops only."""
    return vg_net.metadata.get("original") == "VG_net"


def check_pair(at_net: nn.Module, vg_net: nn.Module, at_path: Path, vg_path: Path) -> None:
    """Raises UserError where only one of the two is the original's: its landmarks are in other units than ours."""
    at_original = at_net.config["space"] == "original"
    vg_original = is_original(vg_net)
    if at_original and not vg_original:
        raise UserError(
            f"{at_path}: gives the original release's landmarks, in other units than {vg_path} knows; "
            "give -vg_model the original's VG-net, imported by convert.py"
        )
    if vg_original and not at_original:
        raise UserError(
            f"{vg_path}: knows the original release's landmarks only, in other units than those of {at_path}; "
            "give -at_model the original's AT-net, imported by convert.py --pca"
        )


def original_transform(landmarks: np.ndarray, size: int) -> np.ndarray:
    """landmarks (68, 2) in photo pixels -> (2, 3): photo pixels to the pixels of the original's crop"""
    return fit_similarity(landmarks[ALIGNED], to_crop_size(ALIGNED_TEMPLATE, size))
