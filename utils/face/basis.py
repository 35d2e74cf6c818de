"""The PCA basis of landmarks (Section 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import UserError, reason
from utils.face.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP

SPACES = "motion", "original", "face"
SIZES = 136, 204  # numbers of a face's landmarks in two dimensions and in three
LARGEST_FILE = 1 << 28  # bytes: a list of all clips' ids is the largest part


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
        with _opened(path) as file:
            arrays = [_finite(file, name) for name in ("mean", "components", "eigenvalues")]
            _check_shapes(*arrays)
            space = str(file["space"])
            if space not in SPACES:
                raise ValueError(f"its space is {space[:20]!r}, none of {', '.join(SPACES)}")
            return cls(*arrays, space, float(_finite(file, "rest_opening")))

    def save(self, path: Path, **notes: np.ndarray | float) -> None:
        """Writes the basis, and notes on how it was made, as a .npz file."""
        np.savez_compressed(path, **dataclasses.asdict(self), **notes)

    def project(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks (..., D) -> coefficients (..., K)"""
        return ((landmarks - self.mean) @ self.components).astype(np.float32)

    def reconstruct(self, coefficients: np.ndarray) -> np.ndarray:
        """coefficients (..., K) -> landmarks (..., D)"""
        return (coefficients @ self.components.T + self.mean).astype(np.float32)

    def opening_weights(self) -> np.ndarray:
        """(K,): how the inner lips' distance changes with each coefficient, to first order, float32"""
        return (_opening_gradient() @ self.components).astype(np.float32)

    def opening_direction(self) -> np.ndarray:
        """(136,): how landmarks move on average per unit of mouth opening (regression on the opening)"""
        gradient = _opening_gradient()
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


def _opening_gradient() -> np.ndarray:
    """(136,): the inner lips' distance as a weighted sum of landmarks"""
    gradient = np.zeros((68, 2))
    gradient[LOWER_INNER_LIP, 1], gradient[UPPER_INNER_LIP, 1] = 1 / 3, -1 / 3
    return gradient.reshape(136)


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """A basis' file; what goes wrong while it is read is a UserError."""
    try:
        if not Path(path).is_file():  # a pipe would never end
            raise ValueError("no such file")
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array alone")
            if sum(entry.file_size for entry in file.zip.infolist()) > LARGEST_FILE:
                raise ValueError("larger than any basis")
            yield file
    except Exception as error:  # numpy and zipfile raise nearly anything for a damaged file
        raise UserError(
            f"{path}: no landmark basis ({reason(error)}); make one with python -m preprocess.pca"
        ) from error


def _finite(file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """Numbers of a basis' file, as float32. Raises ValueError where they are none."""
    values = file[name]
    if values.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise ValueError(f"its {name} has numbers that are not finite")
    return values


def _check_shapes(mean: np.ndarray, components: np.ndarray, eigenvalues: np.ndarray) -> None:
    """Raises ValueError where the parts of a basis do not fit each other."""
    shapes = mean.shape, components.shape, eigenvalues.shape
    count = components.shape[-1] if components.ndim else 0
    if mean.size not in SIZES or not count or shapes != ((mean.size,), (mean.size, count), (count,)):
        raise ValueError(f"mean {shapes[0]}, components {shapes[1]} and eigenvalues {shapes[2]} do not fit")


def refuse_leaks(path: Path, held_out: Iterable[str]) -> None:
    """Raises UserError where the basis was fit on a clip that is held out; files without their clips' ids pass."""
    with _opened(path) as file:
        fit_on = file["ids"].tolist() if "ids" in file else []
    leaked = sorted(set(fit_on) & set(held_out))
    if leaked:
        raise UserError(
            f"{path}: was fit on clips that are held out, such as {leaked[0]}; fit it on the training clips alone: "
            "run python -m preprocess.pca STORE --splits DIR again, with the lists of this run"
        )


def default_basis_path(store: Path) -> Path:
    """Where `preprocess.pca` puts the basis of a store: grid.h5 -> grid_pca.npz, a folder -> pca.npz inside."""
    store = Path(store)
    return store / "pca.npz" if store.is_dir() else store.with_name(f"{store.stem}_pca.npz")
