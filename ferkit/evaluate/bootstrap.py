"""Percentile bootstrap of a mean, over rows or over groups of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
DRAWN = 4_000_000


def mean_interval(values: Any, groups: Any = None, seed: int = 0, share: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of ``values`` from 2,000 resamples.

    Parameters
    ----------
    values : array-like of shape (n,)
        At least one.
    groups : array-like of shape (n,) or None, default=None
        Rows of one group (one person) are drawn together.
    seed : int, default=0
        For the draws.
    share : float, default=0.95
        Share of the resamples inside the interval.

    Returns
    -------
    tuple of (float, float)

    References
    ----------
    Efron, Tibshirani: An Introduction to the Bootstrap (1993).

    Examples
    --------
    >>> low, high = mean_interval([0, 1] * 200)
    >>> 0.43 < low < 0.47, 0.53 < high < 0.57
    (True, True)
    """
    values = np.asarray(values, dtype=np.float64)
    group = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    rng = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    at_once = max(1, DRAWN // len(sums))
    for start in range(0, RESAMPLES, at_once):
        drawn = rng.integers(0, len(sums), (min(at_once, RESAMPLES - start), len(sums)), dtype=np.int32)
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
