"""The ``search:`` block: settings tried with scikit-learn's searches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline

from ferkit.model.folds import fold_of
from ferkit.recipe.schema import Search


def best_settings(
    search: Search,
    pipeline: Pipeline,
    X: Any,
    y: NDArray[Any],
    groups: NDArray[Any],
    fusion: NDArray[np.bool_] | None,
    seed: int,
) -> tuple[dict[str, Any], float]:
    """Settings with the best score, and the score.

    A model without fusion rows is scored by cross-validation in which groups stay whole. A model with them is scored
    by its cross-fitted fusion: folds of the training rows would show it networks that have seen every row.

    Parameters
    ----------
    pipeline : Pipeline
        Unfitted; its last step is ``model``.
    X : Faces or Features of n rows
        Training rows, and the fusion rows where there are any.
    fusion : ndarray of shape (n,), dtype bool, or None
        Fusion rows.
    """
    every = np.arange(len(y))
    if fusion is None:
        fold = fold_of(np.unique(y, return_inverse=True)[1], groups, search.folds, seed)
        splits = [(every[fold != i], every[fold == i]) for i in range(fold.max() + 1)]
        scoring: Any = search.score
    else:
        splits = [(every, every[fusion])]
        scoring = _CrossFitted(search.score, groups[fusion])
    common = {"scoring": scoring, "cv": splits, "refit": False, "error_score": "raise"}
    params = {path: list(values) for path, values in search.params.items()}
    if search.kind == "grid":
        found: Any = GridSearchCV(pipeline, params, **common)
    else:
        n = int(np.prod([len(values) for values in params.values()]))
        found = RandomizedSearchCV(pipeline, params, n_iter=min(search.iterations, n), random_state=seed, **common)
    known = {"model__groups": groups, "model__fusion": fusion}
    found.fit(X, y, **{name: rows for name, rows in known.items() if rows is not None and _takes(pipeline, name)})
    return dict(found.best_params_), float(found.best_score_)


def _takes(pipeline: Pipeline, name: str) -> bool:
    from inspect import signature

    return name.partition("__")[2] in signature(pipeline[-1].fit).parameters


class _CrossFitted:
    """Score of a fitted pipeline on its own fusion rows, with the fusion fitted on the other rows each time."""

    def __init__(self, score: str, groups: NDArray[Any]) -> None:
        self.score = score
        self.groups = groups

    def __call__(self, pipeline: Pipeline, X: Any, y: NDArray[Any]) -> float:
        features = pipeline[:-1].transform(X) if len(pipeline) > 1 else X
        model = pipeline[-1]
        answers = _Answers(model.classes_, model.cross_fitted(features, y, groups=self.groups))
        return float(get_scorer(self.score)(answers, features, y))


class _Answers(ClassifierMixin, BaseEstimator):
    """Probabilities in the shape of a fitted classifier, for scikit-learn's scorers."""

    def __init__(self, classes: NDArray[Any], proba: NDArray[Any]) -> None:
        self.classes = classes
        self.proba = proba

    @property
    def classes_(self) -> NDArray[Any]:
        return self.classes

    def predict_proba(self, X: Any) -> NDArray[Any]:
        return self.proba

    def predict(self, X: Any) -> NDArray[Any]:
        labels: NDArray[Any] = self.classes[self.proba.argmax(axis=1)]
        return labels
