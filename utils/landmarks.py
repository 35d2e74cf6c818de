"""The 68 facial landmarks: their order, geometry, normaliser, rest shape and PCA basis.

Every stage uses these functions and no other copy of them: preprocessing, training, evaluation and the demo.

Units. "Crop pixels" are pixels of the square face crop, (x, y), pixel centres at integers. "Normalised" landmarks are
flat vectors x0, y0, x1, y1, ... in half crop sizes about the crop's centre, so that a crop of any size gives the same
numbers, roughly within [-1, 1] (the scale of the original's landmarks after its factor of 5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from utils.errors import UserError

JAW = list(range(0, 17))
EYES = list(range(36, 48))
MOUTH = list(range(48, 68))
INNER_MOUTH = list(range(60, 68))
# Nose and eye corners: they keep their place while a person talks and blinks.
STABLE = [27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45]
# Landmark i of a mirrored face is landmark MIRROR[i] of the original one.
MIRROR = (
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
UPPER_INNER_LIP, LOWER_INNER_LIP = [61, 62, 63], [67, 66, 65]
TEMPLATE_SIZE = 128

# Where the landmarks of an average face lie in a 128-pixel crop, x y x y ...: the mean of five frames each of ten
# GRID speakers, made symmetric, with room under the chin for an open mouth.
TEMPLATE = np.array(
    """
    20.9 40.4 21.8 52.2 23.4 64.0 25.4 75.7 28.7 86.8 34.4 96.6
    42.6 104.5 52.3 110.4 63.5 112.3 74.7 110.4 84.4 104.5 92.6 96.6
    98.3 86.8 101.6 75.7 103.6 64.0 105.2 52.2 106.1 40.4 28.4 29.5
    33.8 24.3 41.4 22.8 49.3 24.3 56.4 27.3 70.6 27.3 77.7 24.3
    85.6 22.8 93.2 24.3 98.6 29.5 63.5 36.5 63.5 43.8 63.5 51.0
    63.5 58.6 55.0 65.8 59.2 67.2 63.5 68.3 67.8 67.2 72.0 65.8
    37.0 38.5 41.7 35.8 47.5 35.7 52.6 39.4 47.3 40.7 41.5 40.8
    74.4 39.4 79.5 35.7 85.3 35.8 90.0 38.5 85.5 40.8 79.7 40.7
    48.7 83.8 54.1 80.1 59.6 77.8 63.5 79.0 67.4 77.8 72.9 80.1
    78.3 83.8 73.0 88.5 67.7 90.5 63.5 90.9 59.3 90.5 54.0 88.5
    51.5 83.6 59.6 82.1 63.5 82.4 67.4 82.1 75.5 83.6 67.4 84.8
    63.5 85.4 59.6 84.8
    """.split(),
    dtype=np.float32,
).reshape(68, 2)


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """source (..., N, 2), target (..., N, 2) -> (..., 2, 3): the least-squares similarity, without reflection."""
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_centre, target_centre = source.mean(-2), target.mean(-2)
    x, y = np.moveaxis(source - source_centre[..., None, :], -1, 0)
    u, v = np.moveaxis(target - target_centre[..., None, :], -1, 0)
    norm = np.maximum((x**2 + y**2).sum(-1), 1e-12)
    a, b = (x * u + y * v).sum(-1) / norm, (x * v - y * u).sum(-1) / norm
    return _similarity(a, b, source_centre, target_centre)


def _similarity(a: np.ndarray, b: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map p -> [[a, -b], [b, a]] (p - source) + target, as (..., 2, 3)."""
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = target - (linear @ source[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], -1)


def apply_transform(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """transform (..., 2, 3), points (..., P, 2) -> (..., P, 2), float32"""
    transform = np.asarray(transform, np.float64)
    moved = (
        np.asarray(points, np.float64) @ np.swapaxes(transform[..., :2], -1, -2) + transform[..., None, :, 2]
    )
    return moved.astype(np.float32)


def invert_transform(transform: np.ndarray) -> np.ndarray:
    """transform (..., 2, 3) -> its inverse (..., 2, 3)"""
    linear = np.linalg.inv(transform[..., :2])
    return np.concatenate([linear, -linear @ transform[..., 2:]], -1)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """values (T, ...) -> (T, ...), Gaussian-weighted over time; sigma in frames, 0 for none."""
    if sigma <= 0 or len(values) < 2:
        return np.asarray(values, np.float64)
    radius = max(1, int(3 * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.pad(values, [(radius, radius)] + [(0, 0)] * (np.ndim(values) - 1), mode="edge")
    shifted = [w * padded[i : i + len(values)] for i, w in enumerate(weights / weights.sum())]
    return np.sum(shifted, axis=0)


def denoise(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (T, 68, 2) -> (T, 68, 2), float32: dlib's rounding to whole pixels smoothed away

    The mouth, which moves fast, is smoothed least (half a frame; a frame elsewhere).
    """
    smoothed = smooth(landmarks, 1.0)
    smoothed[:, MOUTH] = smooth(landmarks[:, MOUTH], 0.5)
    return smoothed.astype(np.float32)


def crop_transforms(
    source_landmarks: np.ndarray, size: int = TEMPLATE_SIZE, sigma: float = 2.0
) -> np.ndarray:
    """source_landmarks (T, 68, 2) in source pixels -> (T, 2, 3): source pixels to crop pixels.

    Each frame's stable points go onto the template's by a similarity; rotation, scale and face position are smoothed
    over time (sigma in frames), so that neither blinks nor the detector's jitter make the crop shimmer.
    """
    stable = np.asarray(source_landmarks, np.float64)[:, STABLE]
    template = to_crop_size(TEMPLATE[STABLE].astype(np.float64), size)
    transforms = fit_similarity(stable, np.broadcast_to(template, stable.shape))
    a, b = smooth(transforms[:, 0, 0], sigma), smooth(transforms[:, 1, 0], sigma)
    return _similarity(a, b, smooth(stable.mean(1), sigma), np.broadcast_to(template.mean(0), (len(a), 2)))


def to_crop_size(points: np.ndarray, size: int) -> np.ndarray:
    """points (..., 2) of a 128-pixel crop -> the same places of a crop of `size` pixels."""
    scale = size / TEMPLATE_SIZE
    return (points + 0.5) * scale - 0.5


def normalise(landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """landmarks (..., 68, 2) in crop pixels -> (..., 136) in half crop sizes about the centre, float32"""
    landmarks = np.asarray(landmarks, np.float32)
    return ((landmarks - (size - 1) / 2) / (size / 2)).reshape(*landmarks.shape[:-2], 136)


def denormalise(normalised: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """normalised (..., 136) -> (..., 68, 2) in crop pixels, float32; the inverse of `normalise`"""
    normalised = np.asarray(normalised, np.float32)
    return normalised.reshape(*normalised.shape[:-1], 68, 2) * (size / 2) + (size - 1) / 2


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """landmarks (..., 68, 2) -> (...): mean distance of the inner-lip pairs 61-67, 62-66 and 63-65, in their units"""
    gaps = landmarks[..., LOWER_INNER_LIP, :] - landmarks[..., UPPER_INNER_LIP, :]
    return np.linalg.norm(gaps, axis=-1).mean(-1)


def stabilise(normalised: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """normalised (T, 136), reference (136,) -> (T, 136): residual head motion removed.

    Each frame is moved by the similarity that brings its nose and eye corners onto the reference's.
    """
    points = normalised.reshape(-1, 68, 2)
    target = np.broadcast_to(reference.reshape(68, 2)[STABLE], (len(points), len(STABLE), 2))
    return apply_transform(fit_similarity(points[:, STABLE], target), points).reshape(-1, 136)


def rest_shape(normalised: np.ndarray) -> np.ndarray:
    """normalised (T, 136) of one clip -> (136,): the median of its fifth of frames with the least open mouth"""
    opening = mouth_opening(normalised.reshape(-1, 68, 2))
    return np.median(normalised[opening <= np.quantile(opening, 0.2)], axis=0).astype(np.float32)


def motion(normalised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """normalised (T, 136) of one clip -> (motion (T, 136), rest (136,)): whose face it is, taken off what it does"""
    steady = stabilise(normalised, rest_shape(normalised))
    rest = rest_shape(steady)
    return steady - rest, rest


def principal_components(pieces: Iterable[np.ndarray], count: int) -> tuple[np.ndarray, ...]:
    """pieces (n, D) -> mean (D,), components (D, count), variances (D,) of all components, largest first

    The eigenvectors of the covariance over all rows, which is summed up piece by piece. Raises UserError where there
    are no more rows than components.
    """
    rows, total, products = 0, 0.0, 0.0
    for piece in pieces:
        piece = np.asarray(piece, np.float64)
        rows, total, products = rows + len(piece), total + piece.sum(0), products + piece.T @ piece
    if rows <= count:
        raise UserError(f"{rows} frames are too few for {count} components")
    mean = total / rows
    variances, vectors = np.linalg.eigh(products / rows - np.outer(mean, mean))
    return mean, vectors[:, ::-1][:, :count], np.maximum(variances[::-1], 0)


def opening_signs(vectors: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """vectors (68 dimensions, K) -> (K,): +1 or -1, so that each opens the mouth (a component's sign is free)"""
    height = vectors.T.reshape(-1, 68, dimensions)[..., 1]
    opening = height[:, LOWER_INNER_LIP].sum(1) - height[:, UPPER_INNER_LIP].sum(1)
    return np.where(opening < 0, -1.0, 1.0)


@dataclass
class LandmarkBasis:
    """A PCA basis of landmarks (Section 3.1): x = mean + components c.

    mean (D,), components (D, K) with orthonormal columns, eigenvalues (K,): variances of the coefficients; D is 136, or
    204 for landmarks in three dimensions. space: "motion" where x is motion relative to the speaker's rest shape (this
    repository's own networks), "original" where x is a whole face in the original release's units, "face" a whole face
    of any scale. rest_opening: the inner-lip distance at rest, normalised.
    """

    mean: np.ndarray
    components: np.ndarray
    eigenvalues: np.ndarray
    space: str = "motion"
    rest_opening: float = 0.0

    def __post_init__(self) -> None:
        """Moves a motion's mean into the span of the components, so that coefficients can say: no motion at all.

        What the mean has beside them is in every reconstruction; silence would leave the mouth open by it.
        """
        if self.space == "motion":
            self.mean = self.components @ (self.components.T @ self.mean)

    @classmethod
    def of(cls, network) -> LandmarkBasis:
        """The basis that a speech network carries in its buffers."""
        mean, components, eigenvalues, rest_opening = (
            getattr(network, f"landmark_{name}").detach().cpu().numpy()
            for name in ("mean", "components", "eigenvalues", "rest_opening")
        )
        return cls(mean, components, eigenvalues, network.config["space"], float(rest_opening))

    @classmethod
    def load(cls, path: Path) -> LandmarkBasis:
        """Raises UserError where the file is missing or is not such a basis."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = [file[name].astype(np.float32) for name in ("mean", "components", "eigenvalues")]
                return cls(*arrays, str(file["space"]), float(file["rest_opening"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(
                f"{path}: no landmark basis ({error}); make one with python -m preprocess.pca"
            ) from error

    def save(self, path: Path, **notes: np.ndarray | float) -> None:
        """Writes the basis, and notes on how it was made, as a .npz file."""
        np.savez(path, **dataclasses.asdict(self), **notes)

    def project(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks (..., D) -> coefficients (..., K)"""
        return ((landmarks - self.mean) @ self.components).astype(np.float32)

    def reconstruct(self, coefficients: np.ndarray) -> np.ndarray:
        """coefficients (..., K) -> landmarks (..., D)"""
        return (coefficients @ self.components.T + self.mean).astype(np.float32)

    def opening_direction(self) -> np.ndarray:
        """(136,): how landmarks move on average per unit of mouth opening (regression on the opening)"""
        gradient = np.zeros((68, 2))
        gradient[LOWER_INNER_LIP, 1], gradient[UPPER_INNER_LIP, 1] = 1 / 3, -1 / 3
        gradient = gradient.reshape(136)
        response = self.components @ (self.eigenvalues * (self.components.T @ gradient))
        return response / (gradient @ response)

    def close_mouth(self, normalised: np.ndarray) -> np.ndarray:
        """normalised (136,) of one photo -> (136,): the same face with its mouth at rest.

        A mouth open further than the usual rest is closed along the way that mouths open on average; another stays.
        """
        points = normalised.reshape(68, 2)
        opening = (points[LOWER_INNER_LIP, 1] - points[UPPER_INNER_LIP, 1]).mean()
        excess = max(0.0, float(opening) - self.rest_opening)
        return (normalised - excess * self.opening_direction()).astype(np.float32)


def default_basis_path(store: Path) -> Path:
    """Where `preprocess.pca` puts the basis of a store: grid.h5 -> grid_pca.npz, a folder -> pca.npz inside."""
    store = Path(store)
    return store / "pca.npz" if store.is_dir() else store.with_name(f"{store.stem}_pca.npz")
