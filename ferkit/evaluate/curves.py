"""Curves of a model's probabilities: ROC, precision and recall, calibration, abstention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.evaluate.bootstrap import wilson

Array = NDArray[Any]
BINS = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve and the area under it.

    Attributes
    ----------
    x, y : ndarray of shape (n_points,)
        Points, 0 to 1.
    thresholds : ndarray of shape (n_points,)
        Score from which on rows count as positive; infinite at the first point, where none does.
    area : float
        0 to 1; NaN where the class, or every other class, has no row.
    """

    x: Array
    y: Array
    thresholds: Array
    area: float


def roc(positive: Any, score: Any) -> Curve:
    """Share of the positive rows found (y) against share of the others found wrongly (x), over all thresholds.

    Parameters
    ----------
    positive : array-like of shape (n,), dtype bool
        Rows of the class.
    score : array-like of shape (n,)
        Its probability; higher is surer.

    Returns
    -------
    Curve
        The area is the share of pairs of a positive and another row that the scores put in order; ties count half.

    References
    ----------
    Hanley, McNeil: The meaning and use of the area under a ROC curve (1982).

    Examples
    --------
    >>> roc([True, True, False, False], [0.9, 0.4, 0.6, 0.1]).area
    0.75
    """
    hits, others, thresholds = _counts(positive, score)
    if hits[-1] == 0 or others[-1] == 0:
        return Curve(np.empty(0), np.empty(0), np.empty(0), float("nan"))
    x, y = others / others[-1], hits / hits[-1]
    return Curve(x, y, thresholds, float(np.trapezoid(y, x)))


def precision_recall(positive: Any, score: Any) -> Curve:
    """Precision (y) against recall (x), over all thresholds from the highest on.

    Parameters
    ----------
    positive : array-like of shape (n,), dtype bool
        Rows of the class.
    score : array-like of shape (n,)
        Its probability; higher is surer.

    Returns
    -------
    Curve
        The area is average precision: the mean of the precision over the positive rows, without interpolation. The
        first point, at recall 0, repeats the precision of the second.

    References
    ----------
    Davis, Goadrich: The relationship between precision-recall and ROC curves (2006).

    Examples
    --------
    >>> round(precision_recall([True, True, False, False], [0.9, 0.4, 0.6, 0.1]).area, 4)
    0.8333
    """
    hits, others, thresholds = _counts(positive, score)
    if hits[-1] == 0:
        return Curve(np.empty(0), np.empty(0), np.empty(0), float("nan"))
    precision, recall = hits[1:] / (hits[1:] + others[1:]), hits / hits[-1]
    area = float((np.diff(recall) * precision).sum())
    return Curve(recall, np.concatenate([precision[:1], precision]), thresholds, area)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often the model was right, by how sure it said it was.

    Attributes
    ----------
    confidence, accuracy : ndarray of shape (n_bins,)
        Means over the rows of each bin.
    low, high : ndarray of shape (n_bins,)
        95 % interval of the accuracy (Wilson).
    count : ndarray of shape (n_bins,)
        Rows of each bin.
    """

    confidence: Array
    accuracy: Array
    low: Array
    high: Array
    count: Array


def calibration(right: Any, confidence: Any, bins: int = BINS) -> Calibration:
    """Accuracy by confidence, in bins that hold equally many rows.

    Where a bin's edge parts rows of equal confidence, each counts with their mean accuracy, whatever their order.

    Parameters
    ----------
    right : array-like of shape (n,), dtype bool
        Whether the most probable label is the right one.
    confidence : array-like of shape (n,)
        Its probability.
    bins : int, default=10
        Fewer where there are fewer rows.

    References
    ----------
    Niculescu-Mizil, Caruana: Predicting good probabilities with supervised learning (2005).

    Examples
    --------
    >>> result = calibration([True, False, True, True], [0.5, 0.6, 0.9, 0.9], bins=2)
    >>> result.confidence.tolist(), result.accuracy.tolist()
    ([0.55, 0.9], [0.5, 1.0])
    """
    right, confidence = np.asarray(right, dtype=bool), np.asarray(confidence, dtype=np.float64)
    if len(right) != len(confidence) or len(right) == 0 or bins < 1:
        raise InputError(f"Got {len(right)} answers, {len(confidence)} confidences, bins={bins}, expected 1 or more.")
    tied = np.unique(confidence, return_inverse=True)[1]
    share = (np.bincount(tied, right) / np.bincount(tied))[tied]
    parts = [part for part in np.array_split(np.argsort(tied, kind="stable"), bins) if len(part)]
    count = np.array([len(part) for part in parts])
    hits = np.array([share[part].sum() for part in parts])
    low, high = wilson(hits, count)
    return Calibration(np.array([confidence[part].mean() for part in parts]), hits / count, low, high, count)


@dataclass(frozen=True, eq=False)
class Coverage:
    """Accuracy on the rows that a model is sure of, for every share that it may answer.

    Attributes
    ----------
    coverage : ndarray of shape (n_points,)
        Share of the rows answered, rising to 1.
    accuracy : ndarray of shape (n_points,)
        Accuracy on these.
    thresholds : ndarray of shape (n_points,)
        Least confidence among them: what ``not sure`` below it would leave.
    area : float
        Mean error over all coverages (area under the risk-coverage curve); lower is better.
    """

    coverage: Array
    accuracy: Array
    thresholds: Array
    area: float

    def at(self, coverage: float) -> tuple[float, float]:
        """Accuracy and threshold at the least coverage of at least this share."""
        place = min(int(np.searchsorted(self.coverage, coverage - 1e-12)), len(self.coverage) - 1)
        return float(self.accuracy[place]), float(self.thresholds[place])


def coverage(right: Any, confidence: Any) -> Coverage:
    """Accuracy against coverage when the least sure rows are left unanswered.

    Parameters
    ----------
    right : array-like of shape (n,), dtype bool
        Whether the most probable label is the right one.
    confidence : array-like of shape (n,)
        Its probability. Rows of equal confidence are answered together.

    References
    ----------
    Geifman, El-Yaniv: Selective classification for deep neural networks (2017).

    Examples
    --------
    >>> curve = coverage([True, True, False, True], [0.9, 0.8, 0.7, 0.4])
    >>> curve.at(0.5), curve.at(1.0)
    ((1.0, 0.8), (0.75, 0.4))
    """
    hits, misses, thresholds = (part[1:] for part in _counts(right, confidence))
    if len(hits) == 0:
        raise InputError("Got 0 rows, expected at least 1.")
    answered = hits + misses
    error = misses / answered
    area = float((np.diff(answered, prepend=0) * error).sum() / answered[-1])
    return Coverage(answered / answered[-1], hits / answered, thresholds, area)


def _counts(positive: Any, score: Any) -> tuple[Array, Array, Array]:
    """Positive and other rows with at least each score, from the highest; the first entry counts none."""
    positive, score = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    if positive.shape != score.shape or positive.ndim != 1:
        raise InputError(f"Got rows of shapes {positive.shape} and {score.shape}, expected one score for each.")
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits = np.concatenate([[0], np.cumsum(positive[order])[ends]])
    others = np.concatenate([[0], np.cumsum(~positive[order])[ends]])
    return hits, others, np.concatenate([[np.inf], score[order][ends]])
