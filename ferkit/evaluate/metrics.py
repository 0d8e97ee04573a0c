"""Metrics of probabilities against labels: accuracy with its interval, figures by class, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.evaluate.bootstrap import accuracy_interval
from ferkit.evaluate.curves import calibration
from ferkit.labels import ordered

Array = NDArray[Any]
BINS = 15


def evaluate(
    y_true: Any, proba: Any, classes: Sequence[Any], found: Any = None, groups: Any = None, seed: int = 0
) -> dict[str, Any]:
    """Figures of a model as plain numbers, ready for JSON.

    Accuracy counts every row; the figure on rows with a found face stands beside it. Means over classes (balanced
    accuracy, macro precision, recall and F1) are over the classes that occur in ``y_true``.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels, each one of ``classes``.
    proba : array-like of shape (n, len(classes))
        Probabilities; rows sum to 1.
    classes : sequence of str
        Label of each column.
    found : array-like of shape (n,), dtype bool, or None, default=None
        Whether a face was found; None for everywhere.
    groups : array-like of shape (n,) or None, default=None
        Persons or clusters of near-duplicates: the interval then draws whole groups.
    seed : int, default=0
        For the interval.

    Returns
    -------
    dict
        ``n``, ``labels`` (order of ``per_class`` and ``confusion``: ferkit's), ``accuracy``, ``accuracy_ci`` (95 %,
        percentile bootstrap; Wilson's where that has no width, as where all are right), ``accuracy_found`` (None where
        none was found), ``balanced_accuracy``, ``macro_precision``, ``macro_recall``, ``macro_f1``, ``per_class``
        (precision, recall, f1, support by label; 0 where there is nothing to divide by), ``confusion`` (rows
        are the true labels), ``log_loss``, ``ece`` (expected calibration error), ``not_found`` (share of rows).

    Raises
    ------
    InputError
        Lengths differ, a label is unknown, or a probability is not one.

    Examples
    --------
    >>> figures = evaluate(["anger", "fear"], [[0.9, 0.1], [0.6, 0.4]], ["anger", "fear"])
    >>> figures["accuracy"], figures["confusion"], figures["per_class"]["anger"]["precision"]
    (0.5, [[1, 0], [1, 0]], 0.5)
    """
    names = [str(label) for label in classes]
    labels = ordered(names)
    y_true = np.array([str(label) for label in y_true], dtype=object)
    proba = _checked(y_true, np.asarray(proba, dtype=np.float64), names)
    found = np.ones(len(y_true), bool) if found is None else np.asarray(found, dtype=bool)
    for name, rows in (("found", found), ("groups", groups)):
        if rows is not None and len(rows) != len(y_true):
            raise InputError(f"Got {name} with {len(rows)} rows, expected {len(y_true)}, one for each label.")
    proba = proba[:, [names.index(label) for label in labels]]
    position = {label: i for i, label in enumerate(labels)}
    true = np.array([position[label] for label in y_true])
    right = proba.argmax(axis=1) == true
    counts = confusion(true, proba.argmax(axis=1), len(labels))
    by_class = _by_class(counts)
    occurs = by_class["support"] > 0
    return {
        "n": len(true),
        "labels": labels,
        "accuracy": float(right.mean()),
        "accuracy_ci": list(accuracy_interval(right, groups, seed)),
        "accuracy_found": float(right[found].mean()) if found.any() else None,
        "balanced_accuracy": float(by_class["recall"][occurs].mean()),
        "macro_precision": float(by_class["precision"][occurs].mean()),
        "macro_recall": float(by_class["recall"][occurs].mean()),
        "macro_f1": float(by_class["f1"][occurs].mean()),
        "per_class": {
            label: {name: values[i].item() for name, values in by_class.items()} for i, label in enumerate(labels)
        },
        "confusion": counts.tolist(),
        "log_loss": log_loss(true, proba),
        "ece": calibration_error(true, proba),
        "not_found": float(1 - found.mean()),
    }


def confusion(true: Array, predicted: Array, n_classes: int) -> Array:
    """Counts of shape (n_classes, n_classes); rows are the true class, columns the predicted one."""
    return np.bincount(true * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def log_loss(true: Array, proba: Array) -> float:
    """Mean negative logarithm of the probability of the right class.

    Parameters
    ----------
    true : ndarray of shape (n,), dtype int
        Column of the right class.
    proba : ndarray of shape (n, n_classes)
    """
    least = np.finfo(np.float64).eps
    return float(-np.log(np.clip(proba[np.arange(len(true)), true], least, 1)).mean())


def calibration_error(true: Array, proba: Array, bins: int = BINS) -> float:
    """Expected calibration error of the most probable class, over bins that hold equally many rows.

    Rows of equal confidence share their accuracy, so that their order does not matter.

    Parameters
    ----------
    true : ndarray of shape (n,), dtype int
        Column of the right class.
    proba : ndarray of shape (n, n_classes)
    bins : int, default=15

    Returns
    -------
    float
        Mean over rows of the distance between a bin's accuracy and its mean confidence, 0 to 1.

    References
    ----------
    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning (2015).
    Nguyen, O'Connor: Posterior calibration and exploratory analysis for NLP models (2015), for bins of equal mass.
    """
    found = calibration(proba.argmax(axis=1) == true, proba.max(axis=1), bins)
    return float(np.average(np.abs(found.accuracy - found.confidence), weights=found.count))


def _by_class(counts: Array) -> dict[str, Array]:
    hits, support, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
        "support": support,
    }


def _checked(y_true: Array, proba: Array, names: list[str]) -> Array:
    if len(y_true) == 0:
        raise InputError("Got 0 rows, expected at least 1 to evaluate.")
    if proba.shape != (len(y_true), len(names)):
        raise InputError(f"Got proba with shape {proba.shape}, expected {(len(y_true), len(names))}.")
    if not np.isfinite(proba).all() or proba.min() < 0 or not np.allclose(proba.sum(axis=1), 1, atol=1e-3):
        raise InputError("Got proba with rows that are not probabilities, expected numbers of 0 or more that sum to 1.")
    unknown = ordered(set(y_true) - set(names))
    if unknown:
        raise InputError(f"Got labels {unknown}, expected labels among {ordered(names)}.")
    return proba


def without_nan(value: Any) -> Any:
    """Numbers that are none as None, in lists and dicts too: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
