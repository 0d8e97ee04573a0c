"""Everything that can be said of answers row by row: figures, intervals, curves, the worst mistakes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.evaluate.curves import Calibration, Coverage, Curve, calibration, coverage, precision_recall, roc
from ferkit.evaluate.intervals import BY_CLASS, intervals
from ferkit.evaluate.metrics import without_nan
from ferkit.evaluate.predictions import Predictions
from ferkit.labels import ordered

Array = NDArray[Any]
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What ``analyse`` finds.

    Attributes
    ----------
    answers : Predictions
        Columns in ferkit's order.
    figures : dict
        Figures of ``evaluate``, with ``macro_roc_auc``, ``macro_average_precision`` and ``risk_coverage_area``,
        ``roc_auc`` and ``average_precision`` by class, and ``ci``, the 95 % intervals of all that have one.
    roc, precision_recall : dict of str to Curve
        By label.
    calibration : Calibration
    coverage : Coverage
    """

    answers: Predictions
    figures: dict[str, Any]
    roc: dict[str, Curve]
    precision_recall: dict[str, Curve]
    calibration: Calibration
    coverage: Coverage

    def record(self) -> dict[str, Any]:
        """Numbers for JSON: the figures, ``calibration`` by bin and ``coverage`` at some shares."""
        bins = {name: getattr(self.calibration, name).tolist() for name in self.calibration.__dataclass_fields__}
        points = [(share, *self.coverage.at(share)) for share in COVERAGES]
        return self.figures | {
            "calibration": bins,
            "coverage": [{"coverage": a, "accuracy": b, "threshold": c} for a, b, c in points],
        }


def analyse(answers: Predictions, seed: int = 0) -> Analysis:
    """Figures, intervals and curves.

    Parameters
    ----------
    answers : Predictions
    seed : int, default=0
        For the bootstrap.

    Examples
    --------
    >>> proba = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]
    >>> found = analyse(Predictions(list("abcd"), ["anger", "fear", "fear", "fear"], proba, ["anger", "fear"]))
    >>> found.figures["accuracy"], found.figures["macro_roc_auc"], found.roc["fear"].area
    (0.75, 1.0, 1.0)
    """
    answers = _ordered(answers)
    figures = answers.figures(seed)
    true = np.array([answers.labels.index(label) for label in answers.y_true])
    columns = {label: (true == i, answers.proba[:, i]) for i, label in enumerate(answers.labels)}
    curves = {label: (roc(*column), precision_recall(*column)) for label, column in columns.items()}
    confidence = answers.proba.max(axis=1)
    found = coverage(answers.right, confidence)
    ends = intervals(true, answers.proba, answers.groups, seed)
    for i, label in enumerate(answers.labels):
        own = figures["per_class"][label]
        own |= {"roc_auc": without_nan(curves[label][0].area), "average_precision": without_nan(curves[label][1].area)}
        own["ci"] = {name: without_nan(ends[name][i]) for name in BY_CLASS}
    areas = [[own.area for own in pair] for label, pair in curves.items() if figures["per_class"][label]["support"]]
    macro_roc, macro_precision = np.mean(areas, axis=0).tolist()
    more = {
        "macro_roc_auc": without_nan(macro_roc),
        "macro_average_precision": without_nan(macro_precision),
        "risk_coverage_area": found.area,
        "ci": {name: list(value) for name, value in ends.items() if name not in BY_CLASS},
    }
    return Analysis(
        answers,
        figures | more,
        {label: pair[0] for label, pair in curves.items()},
        {label: pair[1] for label, pair in curves.items()},
        calibration(answers.right, confidence),
        found,
    )


def hardest(answers: Predictions, per_class: int = 6) -> dict[str, Array]:
    """Rows of each class whose own label got the lowest probability, the lowest first."""
    found = {}
    for i, label in enumerate(answers.labels):
        rows = np.flatnonzero(answers.y_true == label)
        found[label] = rows[np.argsort(answers.proba[rows, i], kind="stable")][:per_class]
    return {label: rows for label, rows in found.items() if len(rows)}


def surely_wrong(answers: Predictions, most: int = 24) -> Array:
    """Rows with a wrong answer, the surest first."""
    rows = np.flatnonzero(~answers.right)
    return np.asarray(rows[np.argsort(-answers.proba[rows].max(axis=1), kind="stable")][:most])


def _ordered(answers: Predictions) -> Predictions:
    labels = ordered(answers.labels)
    columns = [list(answers.labels).index(label) for label in labels]
    return replace(answers, labels=labels, proba=answers.proba[:, columns])
