"""Columns brought to one scale, so that C and gamma mean the same for every feature family."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[Any]
ROWS = 2048
CONSTANT = 1e-6


def fit_scaling(X: Any, standardize: bool) -> tuple[Array, Array]:
    """Mean and factor of each column, for which rows of ``(X - mean) * factor`` have a mean squared norm of 1.

    Sparse columns keep a mean of 0, because centring would fill them, and their weights relative to each other.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n, n_features)
    standardize : bool
        Divide each dense column by its standard deviation first; columns that do not vary get the factor 0.

    Returns
    -------
    mean : ndarray of shape (n_features,), dtype float64
    factor : ndarray of shape (n_features,), dtype float64
    """
    n, d = X.shape
    if sparse.issparse(X):
        norm = float((X.data.astype(np.float64) ** 2).sum()) / n
        return np.zeros(d), np.full(d, 1 / np.sqrt(norm) if norm > 0 else 1.0)
    mean = sum((part.sum(axis=0, dtype=np.float64) for part in _parts(X)), np.zeros(d)) / n
    squares: Array = sum((((part - mean) ** 2).sum(axis=0) for part in _parts(X)), np.zeros(d))
    deviation = np.sqrt(squares / n)
    varies = deviation > CONSTANT * np.abs(mean)
    factor = np.divide(1.0, deviation if standardize else 1.0, out=np.zeros(d), where=varies)
    norm = float((factor * deviation) @ (factor * deviation))
    return mean, factor / np.sqrt(norm) if norm > 0 else factor


def apply_scaling(X: Any, mean: Array, factor: Array) -> Any:
    """Scaled copy of ``X`` in its own precision: ``(X - mean) * factor``, or ``X * factor`` for a sparse ``X``."""
    factor = factor.astype(X.dtype)
    if sparse.issparse(X):
        return sparse.csr_array(X.multiply(factor[None, :]))
    out = X - mean.astype(X.dtype)
    out *= factor
    return out


def _parts(X: Array) -> list[Array]:
    return [X[start : start + ROWS] for start in range(0, len(X), ROWS)]
