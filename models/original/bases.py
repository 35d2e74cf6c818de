"""The original releases' landmark bases, which travel beside their weights as NumPy files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch

from models.original.names import Tensors
from utils.errors import UserError, reason

BASIS = ("landmark_mean", "landmark_components", "landmark_eigenvalues", "landmark_rest_opening")


def add_basis_flags(flags: ArgumentParser) -> None:
    """--pca and --template"""
    flags.add_argument(
        "--pca",
        nargs=2,
        type=Path,
        metavar=("U.npy", "MEAN.npy"),
        help="the landmark basis: an AT-net's in x5 units, an NR-net's as its release has it",
    )
    flags.add_argument(
        "--template",
        type=Path,
        metavar="MEAN.npy",
        help="face (68, 3) that an NR-net starts from: mouth closed",
    )


def read_basis(paths: list[Path] | None, components: int) -> Tensors:
    """An AT-net's basis buffers: the first columns of U, and the mean, both in the original's x5 units; else zeros.

    The original ships no eigenvalues: ones. Raises UserError.
    """
    mean, u = np.zeros(136), np.zeros((136, components))
    if paths:
        u, mean = (read_array(path, shape) for path, shape in zip(paths, ((136, 136), (136,)), strict=True))
        u = u[:, :components]
        if not np.allclose(u.T @ u, np.eye(components), atol=1e-3):
            raise UserError(
                f"{paths[0]}: its columns are not orthonormal, so it is no PCA basis; give U_lrw1.npy"
            )
        if np.linalg.norm(mean) < 2.5:
            raise UserError(
                f"{paths[1]}: a mean in units five times too small; give mean_lrw1.npy or mean_grid.npy"
            )
    arrays = (mean, u, np.ones(components), np.zeros(()))
    return {name: torch.tensor(array, dtype=torch.float32) for name, array in zip(BASIS, arrays, strict=True)}


def read_shape_basis(paths: list[Path] | None, template: Path | None, config: dict) -> Tensors:
    """An NR-net's basis buffers of whole faces: eigenvectors (K, D), a mean shape (1, D), and the face to start from.

    D is 204, or 136 where those files say so (config["dimensions"] is set by them); without files zeros. The original
    ships no eigenvalues: ones. Raises UserError.
    """
    k = config["components"]
    u, mean, start = np.zeros((k, 204)), np.zeros((1, 204)), None
    if paths:
        mean = read_array(paths[1], (1, 204), (1, 136))
        u = read_array(paths[0], (k, mean.shape[1]))
        if not np.allclose(u @ u.T, np.eye(k), atol=1e-3):
            raise UserError(f"{paths[0]}: its rows are not orthonormal; give eigen_vectors.npy")
        start = read_array(template, (68, mean.shape[1] // 68)) if template else None
    config["dimensions"] = u.shape[1] // 68
    mean = mean.reshape(-1)
    initial = np.zeros(k) if start is None else start_coefficients(start, mean, u)
    arrays = (mean, u.T, np.ones(k), np.zeros(()), initial)
    names = (*BASIS, "initial")
    return {name: torch.tensor(array, dtype=torch.float32) for name, array in zip(names, arrays, strict=True)}


def start_coefficients(template: np.ndarray, mean: np.ndarray, u: np.ndarray) -> np.ndarray:
    """template (68, d), mean (68 d,), u (K, 68 d) -> (K,): the template, brought onto the mean, by its coefficients

    By the similarity without reflection that fits all points best (Procrustes), as the original does.
    """
    target = mean.reshape(template.shape)
    a, b = template - template.mean(0), target - target.mean(0)
    left, sizes, right = np.linalg.svd(a.T @ b)
    sizes[-1] *= np.sign(np.linalg.det(left @ right))
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    placed = a @ (left @ right) * (sizes.sum() / (a**2).sum()) + target.mean(0)
    return (placed.reshape(-1) - mean) @ u.T


def read_array(path: Path, *shapes: tuple[int, ...]) -> np.ndarray:
    """The array of a .npy file, which has one of the shapes. Raises UserError."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: no NumPy array ({reason(error)}); give a .npy file") from error
    if not isinstance(array, np.ndarray) or array.shape not in shapes or not np.isfinite(array).all():
        wanted = " or ".join(str(shape) for shape in shapes)
        raise UserError(f"{path}: not a finite array of shape {wanted}; give the release's own file")
    return array
