"""Rotations of three dimensions as vectors (axis times angle, radians), matrices and unit quaternions (w, x, y, z)."""

from __future__ import annotations

import numpy as np

from utils.face.landmarks import smooth


def to_matrices(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3) -> matrices (..., 3, 3)"""
    vectors = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = np.stack([np.stack(row, -1) for row in rows], -2)
    half = np.sinc(angle / (2 * np.pi))  # sin(angle / 2) / (angle / 2)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * half**2 * (cross @ cross)


def to_quaternions(matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) -> quaternions (..., 4), w of 0 or more: the first eigenvectors of Bar-Itzhack's matrices"""
    m = np.asarray(matrices, np.float64)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = [
        [m00 + m11 + m22, x, y, z],
        [x, m00 - m11 - m22, xy, xz],
        [y, xy, m11 - m00 - m22, yz],
        [z, xz, yz, m22 - m00 - m11],
    ]
    symmetric = np.stack([np.stack(row, -1) for row in rows], -2)
    quaternions = np.linalg.eigh(symmetric)[1][..., -1]
    return np.where(quaternions[..., :1] < 0, -quaternions, quaternions)


def from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) of any length and sign -> rotation vectors (..., 3), of angles up to pi"""
    q = quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    half = np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 1e-9, 2 * half / np.maximum(sine, 1e-9), 2.0)


def to_vectors(matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) -> rotation vectors (..., 3), of angles up to pi"""
    return from_quaternions(to_quaternions(matrices))


def nearest_rotation(matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) -> the nearest rotations: of a mean of rotations, their mean"""
    left, _, right = np.linalg.svd(matrices)
    sign = np.ones(matrices.shape[:-1])
    sign[..., 2] = np.linalg.det(left @ right)
    return (left * sign[..., None, :]) @ right


def smooth_rotations(vectors: np.ndarray, sigma: float) -> np.ndarray:
    """Rotation vectors (T, 3) -> (T, 3), their quaternions Gaussian-weighted over time; sigma in frames, 0 for none"""
    if sigma <= 0 or len(vectors) < 2:
        return np.asarray(vectors, np.float64)
    quaternions = to_quaternions(to_matrices(vectors))
    turns = (quaternions[1:] * quaternions[:-1]).sum(-1) < 0  # q and -q are one rotation: take the nearer
    signs = np.concatenate([[1], np.cumprod(np.where(turns, -1, 1))])
    return from_quaternions(smooth(quaternions * signs[:, None], sigma))
