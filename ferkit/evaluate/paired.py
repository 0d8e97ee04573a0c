"""Two models on the same rows: an exact test and a bootstrap of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from ferkit.errors import DataError, InputError
from ferkit.evaluate.bootstrap import accuracy_interval, mean_interval
from ferkit.evaluate.predictions import Predictions

MCNEMAR, SIGN_FLIP = "McNemar", "sign-flip"


def compare(right: Any, other_right: Any, groups: Any = None, seed: int = 0) -> dict[str, Any]:
    """Whether one model is right more often than another on the same rows.

    Parameters
    ----------
    right, other_right : array-like of shape (n,), dtype bool
        Whether each model is right on each row.
    groups : array-like of shape (n,) or None, default=None
        Persons or clusters of near-duplicates: the interval then draws whole groups, and the test flips them whole.
    seed : int, default=0
        For the interval.

    Returns
    -------
    dict
        ``n``, ``accuracy`` and ``other_accuracy``, ``difference`` of the two with its 95 % interval
        ``difference_ci``, ``only_this`` and ``only_other`` (rows that one alone gets right), ``p_value``, exact and
        two-sided, and its ``test``: "McNemar", or "sign-flip" where groups hold several rows.

    Notes
    -----
    McNemar's test takes every row for an observation of its own. The sign-flip test asks how often so large a
    difference comes about when the two models change places in each group at random; of groups of one row it is
    McNemar's.

    References
    ----------
    McNemar: Note on the sampling error of the difference between correlated proportions or percentages (1947).
    Fisher: The Design of Experiments (1935), for the sign-flip test.

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
    difference = one.astype(int) - two.astype(int)
    p_value, test = _tested(difference, groups)
    return {
        "n": len(one),
        "accuracy": float(one.mean()),
        "other_accuracy": float(two.mean()),
        "difference": (only_this - only_other) / len(one),
        "difference_ci": list(mean_interval(difference, groups, seed)),
        "only_this": only_this,
        "only_other": only_other,
        "p_value": p_value,
        "test": test,
    }


def _tested(difference: NDArray[np.intp], groups: Any) -> tuple[float, str]:
    """p-value of the rows' differences, -1, 0 or 1 each, and the name of the test."""
    group = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group is None or int(group.max()) + 1 == len(difference):
        differ = int(np.abs(difference).sum())
        return float(binomtest(int((difference > 0).sum()), differ).pvalue) if differ else 1.0, MCNEMAR
    return sign_flip(np.rint(np.bincount(group, weights=difference)).astype(int)), SIGN_FLIP


def sign_flip(net: Any) -> float:
    """Exact two-sided p-value of a sum of whole numbers whose signs are drawn at random.

    Parameters
    ----------
    net : array-like of shape (n_groups,), dtype int
        Of each group, rows that one model alone gets right less those that the other does.

    Examples
    --------
    >>> sign_flip([5, 3, 0, 1]), sign_flip([50, 0, 0])
    (0.25, 1.0)
    """
    sizes = np.abs(np.asarray(net, dtype=int))
    ones, total = int((sizes == 1).sum()), int(sizes.sum())
    chance = np.zeros(2 * total + 1)  # of each sum from -total to total
    chance[total - ones : total + ones + 1 : 2] = binom.pmf(np.arange(ones + 1), ones, 0.5)
    for size in sizes[sizes > 1].tolist():
        more, less = np.zeros_like(chance), np.zeros_like(chance)
        more[size:], less[:-size] = chance[:-size], chance[size:]
        chance = (more + less) / 2
    extreme = np.abs(np.arange(-total, total + 1)) >= abs(int(np.sum(net)))
    return min(float(chance[extreme].sum()), 1.0)


def compare_all(answers: Mapping[str, Predictions], seed: int = 0) -> dict[str, Any]:
    """Every two of several models on the rows that all of them answered.

    Parameters
    ----------
    answers : mapping of str to Predictions
        At least two, by the name of the model. Rows are matched by name.
    seed : int, default=0
        For the intervals.

    Returns
    -------
    dict
        ``n`` (rows in common), ``left_out`` (rows of any that another lacks), ``ci_over`` ("rows" or "groups"),
        ``models`` (``accuracy`` and ``accuracy_ci`` by name) and ``pairs``: for every two, ``first``, ``second``, what
        ``compare`` gives, and ``p_holm``, the p-value after Holm's correction for so many pairs.

    Raises
    ------
    DataError
        Fewer than two, no row in common, or different true labels of one row.

    References
    ----------
    Holm: A simple sequentially rejective multiple test procedure (1979).

    Examples
    --------
    >>> names, y, labels = list("abcd"), ["fear"] * 4, ["anger", "fear"]
    >>> one = Predictions(names, y, [[0.2, 0.8]] * 4, labels)
    >>> two = Predictions(names[:3], y[:3], [[0.8, 0.2]] * 3, labels)
    >>> result = compare_all({"one": one, "two": two})
    >>> result["n"], result["pairs"][0]["only_this"], result["pairs"][0]["p_holm"]
    (3, 3, 0.25)
    """
    rows = _rows_in_common(answers)
    first = next(iter(answers))
    right = {name: own.right[rows[name]] for name, own in answers.items()}
    groups = next((own.groups[rows[name]] for name, own in answers.items() if own.groups is not None), None)
    pairs = [
        {"first": one, "second": two} | compare(right[one], right[two], groups, seed)
        for one, two in combinations(answers, 2)
    ]
    for pair, p in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
    return {
        "n": len(rows[first]),
        "left_out": len(set().union(*(own.names for own in answers.values()))) - len(rows[first]),
        "ci_over": "rows" if groups is None else "groups",
        "models": {
            name: {"accuracy": float(own.mean()), "accuracy_ci": list(accuracy_interval(own, groups, seed))}
            for name, own in right.items()
        },
        "pairs": pairs,
    }


def holm(p_values: Any) -> list[float]:
    """p-values after Holm's correction: the k-th smallest of n times n - k + 1, never less than a smaller one's."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(value) for value in corrected]


def _rows_in_common(answers: Mapping[str, Predictions]) -> dict[str, Any]:
    """Positions, in each, of the rows that all have, in the order of the first."""
    if len(answers) < 2:
        raise DataError(f"Got {len(answers)} models, expected at least 2 to compare.")
    places = {name: {row: i for i, row in enumerate(own.names)} for name, own in answers.items()}
    first = next(iter(answers.values()))
    common = [row for row in first.names if all(row in own for own in places.values())]
    if not common:
        raise DataError("Got no row that all of them have, expected answers for the same pictures.")
    rows = {name: np.array([own[row] for row in common]) for name, own in places.items()}
    truth = {name: own.y_true[rows[name]] for name, own in answers.items()}
    known = next(iter(truth.values()))
    for name, labels in truth.items():
        for i in np.flatnonzero(labels != known)[:1]:
            raise DataError(
                f"Got true label {labels[i]!r} for {common[i]!r} in {name}, expected {known[i]!r} as before."
            )
    return rows
