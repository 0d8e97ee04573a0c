"""Large symmetric systems, solved in place block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

BLOCK = 2048


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
    """Solution of ``matrix @ x = targets`` by Cholesky's factorisation, which takes the place of the matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Symmetric and positive definite, C-contiguous; overwritten.
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

    Examples
    --------
    >>> solve_positive(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([[2.0], [1.0]]), block=1).tolist()
    [[0.5], [0.0]]
    """
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
