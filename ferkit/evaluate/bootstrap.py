"""Intervals: the percentile bootstrap over rows or over groups of rows, and Wilson's for shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RESAMPLES = 2000
FEW_GROUPS = 20
"""Below so many groups a bootstrap over groups sees too little of how they differ."""
DRAWN = 4_000_000
SAME = 1e-9
"""Ends that are nearer to each other are the same."""
Z = 1.959963984540054


def mean_interval(values: Any, groups: Any = None, seed: int = 0, share: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of ``values`` from 2,000 resamples.

    Parameters
    ----------
    values : array-like of shape (n,)
        At least one.
    groups : array-like of shape (n,) or None, default=None
        Rows of one group (one person) are drawn together. Of fewer than 20 groups, the interval is also at least as
        wide as that without groups.
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
    return careful(lambda own: _mean_interval(values, own, seed, share), groups)


def _mean_interval(values: Array, groups: Any, seed: int, share: float = 0.95) -> tuple[float, float]:
    group = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    means = [sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1) for drawn in _draws(len(sums), seed)]
    return quantiles(np.concatenate(means), share)


def careful(interval: Callable[[Any], Any], groups: Any) -> Any:
    """``interval(groups)``; of fewer than 20 groups, stretched to the ends of ``interval(None)`` too.

    Parameters
    ----------
    interval : callable
        Gives a pair of ends for groups, or lists and dicts of pairs.
    groups : array-like of shape (n,) or None
    """
    ends = interval(groups)
    if groups is None or len(np.unique(np.asarray(groups))) >= FEW_GROUPS:
        return ends
    return stretched(ends, interval(None))


def stretched(ends: Any, others: Any) -> Any:
    """Pairs that hold both of two pairs, one by one; NaN are left out."""
    if isinstance(ends, dict):
        return {name: stretched(own, others[name]) for name, own in ends.items()}
    if isinstance(ends, list):
        return [stretched(one, other) for one, other in zip(ends, others, strict=True)]
    return float(np.fmin(ends[0], others[0])), float(np.fmax(ends[1], others[1]))


def accuracy_interval(right: Any, groups: Any = None, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the share of right answers: ``mean_interval``, and Wilson's where the bootstrap has no width.

    Parameters
    ----------
    right : array-like of shape (n,), dtype bool
        At least one.
    groups : array-like of shape (n,) or None, default=None
        Rows of one group (one person) are drawn together.
    seed : int, default=0
        For the draws.

    Examples
    --------
    >>> [round(end, 3) for end in accuracy_interval([True] * 20)]
    [0.839, 1.0]
    """
    values = np.asarray(right, dtype=np.float64)
    return careful(lambda own: widened(_mean_interval(values, own, seed), right, own), groups)


def widened(ends: tuple[float, float], right: Any, groups: Any = None) -> tuple[float, float]:
    """``ends`` of the bootstrap of a share, or Wilson's interval where all resamples gave the same.

    They do where all rows are right, where all are wrong, and where there is one group. Each group then counts as one
    answer, so that many pictures of few persons do not make the interval narrow. ``wilson`` names the source.
    """
    if len(right) == 0 or not abs(ends[1] - ends[0]) < SAME:
        return ends
    k = len(right) if groups is None else len(np.unique(np.asarray(groups)))
    low, high = wilson(np.mean(right) * k, k)
    return float(low), float(high)


def resampled(n: int, groups: Any = None, seed: int = 0) -> Iterator[Array]:
    """How often each of ``n`` rows stands in each of 2,000 resamples, some resamples at a time.

    Yields
    ------
    ndarray of shape (n_resamples, n), dtype float64
        The same resamples as those of ``mean_interval`` with these groups.
    """
    group = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    k = int(group.max()) + 1
    for drawn in _draws(k, seed, n):
        offset = np.arange(len(drawn), dtype=np.int64)[:, None] * k
        counts = np.bincount((drawn + offset).ravel(), minlength=len(drawn) * k).reshape(len(drawn), k)
        yield counts[:, group].astype(np.float64)


def quantiles(values: Any, share: float = 0.95) -> tuple[float, float]:
    """The interval that holds this share of the resamples; NaN are left out."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def wilson(hits: Any, count: Any) -> tuple[Array, Array]:
    """95 % interval of a share; unlike the bootstrap's it keeps its width where all or none are hits.

    Parameters
    ----------
    hits, count : array-like of the same shape
        ``count`` may be 0: the interval is then 0 to 1.

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference (1927).

    Examples
    --------
    >>> [round(float(end), 3) for end in wilson(10, 10)]
    [0.722, 1.0]
    """
    hits, count = np.asarray(hits, dtype=np.float64), np.asarray(count, dtype=np.float64)
    n = np.maximum(count, 1)
    p = hits / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n)) / (1 + Z**2 / n)
    empty = count == 0
    return np.where(empty, 0.0, np.maximum(middle - half, 0)), np.where(empty, 1.0, np.minimum(middle + half, 1))


def _draws(n: int, seed: int, rows: int = 0) -> Iterator[NDArray[np.int32]]:
    """Numbers of the n groups in each resample, some resamples at a time: fewer where there are many rows."""
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWN // max(n, rows))
    for start in range(0, RESAMPLES, at_once):
        yield rng.integers(0, n, (min(at_once, RESAMPLES - start), n), dtype=np.int32)
