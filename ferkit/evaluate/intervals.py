"""95 % intervals of all figures, from the same resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.evaluate.bootstrap import careful, quantiles, resampled, widened

Array = NDArray[Any]
SUMMARY = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "log_loss")
BY_CLASS = ("precision", "recall", "f1", "roc_auc", "average_precision")


def intervals(true: Array, proba: Array, groups: Any = None, seed: int = 0) -> dict[str, Any]:
    """Percentile bootstrap of the figures of ``evaluate`` and of the areas under the curves.

    Parameters
    ----------
    true : ndarray of shape (n,), dtype int
        Column of the right class.
    proba : ndarray of shape (n, n_classes)
        Probabilities.
    groups : array-like of shape (n,) or None, default=None
        Persons or clusters of near-duplicates are drawn whole. Of fewer than 20, every interval is also at least as
        wide as that without groups.
    seed : int, default=0
        For the draws.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy``, ``macro_precision``, ``macro_recall``, ``macro_f1``, ``log_loss``,
        ``macro_roc_auc``, ``macro_average_precision``: pairs of floats. ``precision``, ``recall``, ``f1``,
        ``roc_auc``, ``average_precision``: one pair a class. Accuracy, precision and recall are shares: where all
        resamples gave the same, theirs is Wilson's interval. The others then have no width.

    Examples
    --------
    >>> true = np.repeat([0, 1], 50)
    >>> low, high = intervals(true, np.eye(2)[true] * 0.8 + 0.1)["macro_roc_auc"]
    >>> low, high
    (1.0, 1.0)
    """
    found: dict[str, Any] = careful(lambda own: _intervals(true, proba, own, seed), groups)
    return found


def _intervals(true: Array, proba: Array, groups: Any, seed: int) -> dict[str, Any]:
    k = proba.shape[1]
    loss = -np.log(np.clip(proba[np.arange(len(true)), true], np.finfo(np.float64).eps, 1))
    cells = np.zeros((len(true), k * k))
    cells[np.arange(len(true)), true * k + proba.argmax(axis=1)] = 1
    drawn: dict[str, list[Array]] = {}
    for weights in resampled(len(true), groups, seed):
        counts = (weights @ cells).reshape(-1, k, k)
        parts = _from_counts(counts) | {"log_loss": weights @ loss / weights.sum(axis=1)} | _areas(weights, true, proba)
        for name, values in parts.items():
            drawn.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in drawn.items()}
    occurs = np.bincount(true, minlength=k) > 0
    for name in ("roc_auc", "average_precision"):
        joined[f"macro_{name}"] = joined[name][:, occurs].mean(axis=1)
    found = {
        name: quantiles(values) if values.ndim == 1 else [quantiles(column) for column in values.T]
        for name, values in joined.items()
    }
    return found | _shares(found, true, proba.argmax(axis=1), groups)


def _shares(found: dict[str, Any], true: Array, predicted: Array, groups: Any) -> dict[str, Any]:
    """The intervals of shares, with a width even where all rows of the share are right or wrong."""
    right, groups = true == predicted, np.arange(len(true)) if groups is None else np.asarray(groups)
    shares: dict[str, Any] = {"accuracy": widened(found["accuracy"], right, groups)}
    for name, codes in (("recall", true), ("precision", predicted)):
        own = [codes == code for code in range(len(found[name]))]
        shares[name] = [widened(ends, right[rows], groups[rows]) for ends, rows in zip(found[name], own, strict=True)]
    return shares


def _from_counts(counts: Array) -> dict[str, Array]:
    """Figures that follow from confusion counts of shape (n_resamples, n_classes, n_classes)."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    support, predicted = counts.sum(axis=2), counts.sum(axis=1)
    occurs = support > 0
    found: dict[str, Array] = {
        "precision": hits / np.maximum(predicted, 1),
        "recall": np.where(occurs, hits / np.maximum(support, 1), np.nan),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
    }
    means = {name: np.nansum(values * occurs, axis=1) / occurs.sum(axis=1) for name, values in found.items()}
    found["precision"] = np.where(predicted > 0, found["precision"], np.nan)
    return found | {
        "accuracy": hits.sum(axis=1) / counts.sum(axis=(1, 2)),
        "balanced_accuracy": means["recall"],
        "macro_recall": means["recall"],
        "macro_precision": means["precision"],
        "macro_f1": means["f1"],
    }


def _areas(weights: Array, true: Array, proba: Array) -> dict[str, Array]:
    """Areas under both curves of each class in each resample; NaN where a resample lacks the class or all others."""
    pairs = [_areas_of(weights, true == code, proba[:, code]) for code in range(proba.shape[1])]
    return {"roc_auc": np.stack([a for a, _ in pairs], 1), "average_precision": np.stack([b for _, b in pairs], 1)}


def _areas_of(weights: Array, positive: Array, score: Array) -> tuple[Array, Array]:
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    sorted_weights = weights[:, order]
    gained = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    others = np.add.reduceat(sorted_weights, starts, axis=1) - gained
    hits, misses = gained.cumsum(axis=1), others.cumsum(axis=1)
    n_hits, n_misses = hits[:, -1], misses[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ordered = (gained * (n_misses[:, None] - misses + others / 2)).sum(axis=1)
        precision = hits / np.maximum(hits + misses, 1)
        return ordered / (n_hits * n_misses), (gained * precision).sum(axis=1) / n_hits
