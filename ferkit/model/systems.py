"""Large symmetric systems: conjugate gradients where they soon converge, else Cholesky in place, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

BLOCK = 2048
LARGE = 4096
"""Rows from which on conjugate gradients are tried first."""
LANDMARKS, MOST_STEPS = 500, 200
"""Rows whose columns make the preconditioner, and steps after which Cholesky takes over."""


def factorise(matrix: NDArray[Any], block: int = BLOCK) -> NDArray[Any]:
    """Cholesky's lower factor, in the lower half of the matrix that it takes the place of; the rest is to be ignored.

    Only products and small factorisations are left to BLAS and LAPACK: OpenBLAS's own factorisation (seen in 0.3.30
    and later, with two threads and 28,000 rows) may write past its buffers and end the process.

    Raises
    ------
    numpy.linalg.LinAlgError
        The matrix is not positive definite.
    """
    for own in _blocks(matrix, block):
        below = slice(own.stop, None)
        matrix[own.start :, own] -= matrix[own.start :, : own.start] @ matrix[own, : own.start].T
        factor = matrix[own, own] = linalg.cholesky(matrix[own, own], lower=True, check_finite=False)
        matrix[below, own] = linalg.solve_triangular(factor, matrix[below, own].T, lower=True, check_finite=False).T
    return matrix


def _blocks(matrix: NDArray[Any], block: int) -> list[slice]:
    return [slice(i, i + block) for i in range(0, len(matrix), block)]


def solve_positive(matrix: NDArray[Any], targets: NDArray[Any], block: int = BLOCK) -> NDArray[Any]:
    """Solution of ``matrix @ x = targets``.

    Large systems are solved by conjugate gradients, preconditioned with some of the matrix's columns (Nystroem): for a
    kernel of 28,000 faces in 20 to 40 steps, several times faster than Cholesky's factorisation. That is left for small
    systems and for those that do not converge; it takes the place of the matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Symmetric and positive definite, C-contiguous; may be overwritten.
    targets : ndarray of shape (n, k)
    block : int, default=2048
        Rows that are factorised at once.

    Returns
    -------
    ndarray of shape (n, k)

    Raises
    ------
    numpy.linalg.LinAlgError
        The matrix is not positive definite.

    References
    ----------
    Rudi, Carratino, Rosasco: FALKON: an optimal large scale kernel method (2017).
    Frangella, Tropp, Udell: Randomized Nystroem preconditioning (2023).

    Examples
    --------
    >>> solve_positive(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([[2.0], [1.0]]), block=1).tolist()
    [[0.5], [0.0]]
    """
    if len(matrix) >= LARGE and (found := conjugate_gradients(matrix, targets)) is not None:
        return found
    factorise(matrix, block)
    blocks = _blocks(matrix, block)
    solution = np.array(targets, dtype=matrix.dtype)
    for own in blocks:
        solution[own] -= matrix[own, : own.start] @ solution[: own.start]
        solution[own] = linalg.solve_triangular(matrix[own, own], solution[own], lower=True, check_finite=False)
    for own in reversed(blocks):
        solution[own] -= matrix[own.stop :, own].T @ solution[own.stop :]
        solution[own] = linalg.solve_triangular(
            matrix[own, own], solution[own], lower=True, trans="T", check_finite=False
        )
    return solution


def conjugate_gradients(
    matrix: NDArray[Any], targets: NDArray[Any], landmarks: int = LANDMARKS, most_steps: int = MOST_STEPS
) -> NDArray[Any] | None:
    """Solution of ``matrix @ x = targets``, or None where so many steps are not enough.

    None, too, where some of the matrix is seen not to be positive definite.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Symmetric and positive definite.
    targets : ndarray of shape (n, k)
        Each column is solved for itself; all share the products with the matrix.
    landmarks, most_steps : int
        Rows whose columns make the preconditioner; steps.

    Returns
    -------
    ndarray of shape (n, k) or None
        Residuals are 1e-5 of the targets in single precision, 1e-10 in double precision.
    """
    dtype = matrix.dtype
    try:
        precondition = _preconditioner(matrix, landmarks)
    except np.linalg.LinAlgError:
        return None
    # right sides as rows: OpenBLAS multiplies few rows by a large matrix faster than that matrix by few columns
    residual = np.array(targets.T, dtype=dtype, order="C")
    found, direction = np.zeros_like(residual), precondition(residual)
    slope = _products(residual, direction)
    goal = (1e-10 if dtype == np.float64 else 1e-5) ** 2 * _products(residual, residual)
    for _ in range(most_steps):
        if (_products(residual, residual) <= goal).all():
            return np.ascontiguousarray(found.T)
        image = direction @ matrix
        curvature = _products(direction, image)
        if not (curvature[slope > 0] > 0).all():
            return None
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=slope > 0).astype(dtype)[:, None]
        found += step * direction
        residual -= step * image
        steep = precondition(residual)
        before, slope = slope, _products(residual, steep)
        share = np.divide(slope, before, out=np.zeros_like(slope), where=before > 0).astype(dtype)[:, None]
        direction = steep + share * direction
    return None


def _preconditioner(matrix: NDArray[Any], landmarks: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Nearly the inverse: of the part of the matrix that some of its columns span, and one number for the rest."""
    n, dtype = len(matrix), matrix.dtype
    rows = np.sort(np.random.default_rng(0).permutation(n)[:landmarks])
    among = linalg.cholesky(matrix[np.ix_(rows, rows)].astype(np.float64), lower=True, check_finite=False)
    spanned = linalg.solve_triangular(among, matrix[rows].astype(np.float64), lower=True, check_finite=False)
    spanned = spanned.astype(dtype)  # (landmarks, n); its Gram matrix is nearly ``matrix``
    rest = float(np.mean(np.diagonal(matrix) - np.einsum("ij,ij->j", spanned, spanned)))
    rest = max(rest, float(np.finfo(dtype).eps) * float(np.mean(np.diagonal(matrix))))
    inner = (spanned @ spanned.T).astype(np.float64)
    inner.flat[:: len(inner) + 1] += rest
    factor = linalg.cho_factor(inner, check_finite=False)

    def apply(right: NDArray[Any]) -> NDArray[Any]:
        inside = linalg.cho_solve(factor, (right @ spanned.T).T.astype(np.float64), check_finite=False).T.astype(dtype)
        return np.asarray((right - inside @ spanned) / dtype.type(rest))

    return apply


def _products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.einsum("ij,ij->i", a, b, dtype=np.float64)
