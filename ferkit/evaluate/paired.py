"""Two models on the same rows: McNemar's exact test and a bootstrap of the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from ferkit.errors import InputError
from ferkit.evaluate.bootstrap import mean_interval


def compare(right: Any, other_right: Any, groups: Any = None, seed: int = 0) -> dict[str, Any]:
    """Whether one model is right more often than another on the same rows.

    Parameters
    ----------
    right, other_right : array-like of shape (n,), dtype bool
        Whether each model is right on each row.
    groups : array-like of shape (n,) or None, default=None
        Persons or clusters of near-duplicates: the interval then draws whole groups.
    seed : int, default=0
        For the interval.

    Returns
    -------
    dict
        ``n``, ``accuracy`` and ``other_accuracy``, ``difference`` of the two with its 95 % interval
        ``difference_ci``, ``only_this`` and ``only_other`` (rows that one alone gets right) and McNemar's exact
        two-sided ``p_value``.

    References
    ----------
    McNemar: Note on the sampling error of the difference between correlated proportions or percentages (1947).

    Examples
    --------
    >>> result = compare([True] * 8 + [False] * 2, [False] * 8 + [False, True])
    >>> result["only_this"], result["only_other"], round(result["p_value"], 4)
    (8, 1, 0.0391)
    """
    one, two = np.asarray(right, dtype=bool), np.asarray(other_right, dtype=bool)
    if one.shape != two.shape or one.ndim != 1 or len(one) == 0:
        raise InputError(f"Got answers with shapes {one.shape} and {two.shape}, expected the same rows, at least 1.")
    only_this, only_other = int((one & ~two).sum()), int((two & ~one).sum())
    differ = only_this + only_other
    return {
        "n": len(one),
        "accuracy": float(one.mean()),
        "other_accuracy": float(two.mean()),
        "difference": (only_this - only_other) / len(one),
        "difference_ci": list(mean_interval(one.astype(int) - two.astype(int), groups, seed)),
        "only_this": only_this,
        "only_other": only_other,
        "p_value": float(binomtest(only_this, differ).pvalue) if differ else 1.0,
    }
