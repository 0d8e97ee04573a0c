"""The ``search:`` block: settings tried on the training rows, or on rows that fit a fusion."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import Pipeline

from ferkit.errors import DataError
from ferkit.model.folds import fold_of, known_elsewhere
from ferkit.recipe.schema import Search


def best_settings(
    search: Search, pipeline: Pipeline, X: Any, y: NDArray[Any], groups: NDArray[Any], seed: int
) -> tuple[dict[str, Any], float]:
    """Settings with the best score in cross-validation, in which groups stay whole, and the score.

    Parameters
    ----------
    pipeline : Pipeline
        Unfitted; its last step is ``model``. A model that fuses does so out of fold.
    X : Faces or Features of n rows
        Training rows.
    """
    every = np.arange(len(y))
    fold = fold_of(np.unique(y, return_inverse=True)[1], groups, search.folds, seed)
    # rows of a class that all lie in one fold: no setting can answer them, and their log loss is none
    known = known_elsewhere(np.unique(y, return_inverse=True)[1], fold)
    parts = [(every[fold != i], every[(fold == i) & known]) for i in range(fold.max() + 1)]
    splits = [(train, test) for train, test in parts if len(test)]
    if not splits:
        raise DataError("Got no label of two groups (persons, near-duplicates) to search on, expected more pictures.")
    common = {"scoring": _scorer(search.score), "cv": splits, "refit": False, "error_score": "raise"}
    params = _params(search)
    if search.kind == "grid":
        found: Any = GridSearchCV(pipeline, params, **common)
    else:
        found = RandomizedSearchCV(pipeline, params, n_iter=_trials(search), random_state=seed, **common)
    takes_groups = "groups" in signature(pipeline[-1].fit).parameters
    found.fit(X, y, **({"model__groups": groups} if takes_groups else {}))
    return dict(found.best_params_), float(found.best_score_)


def best_on_fusion_rows(
    search: Search,
    pipeline: Pipeline,
    X: Any,
    y: NDArray[Any],
    groups: NDArray[Any],
    fusion: NDArray[np.bool_],
    seed: int,
) -> tuple[dict[str, Any], float]:
    """Settings whose cross-fitted fusion scores best, and the score.

    For networks that have seen the training rows: folds of these would show them sure of every row.

    Parameters
    ----------
    pipeline : Pipeline
        Unfitted; its last step is ``model``. What stands before it is fitted on the training rows only.
    X : Faces or Features of n rows
        Training rows and fusion rows.
    fusion : ndarray of shape (n,), dtype bool
        Fusion rows.
    """
    base, rows = np.flatnonzero(~fusion), np.flatnonzero(fusion)
    params = _params(search)
    tried: Any = ParameterGrid(params)
    if search.kind != "grid":
        tried = ParameterSampler(params, _trials(search), random_state=seed)
    best, best_score = {}, -np.inf
    for settings in tried:
        trial = clone(pipeline).set_params(**settings)
        features = X if len(trial) == 1 else trial[:-1].fit(X[base], y[base]).transform(X)
        model, held_out = trial[-1].fit(features, y, fusion=fusion, groups=groups), features[rows]
        answers = _Answers(model.classes_, model.cross_fitted(None, y[rows], groups=groups[rows]))
        score = float(_scorer(search.score)(answers, held_out, y[rows]))
        if score > best_score:
            best, best_score = dict(settings), score
    return best, best_score


def _scorer(name: str) -> Any:
    """scikit-learn's scorer of that name; its log loss is told the classes, of which a fold may lack some."""
    return _neg_log_loss if name == "neg_log_loss" else get_scorer(name)


def _neg_log_loss(model: Any, X: Any, y: NDArray[Any]) -> float:
    return -float(log_loss(y, model.predict_proba(X), labels=model.classes_))


def _params(search: Search) -> dict[str, list[Any]]:
    return {path: list(values) for path, values in search.params.items()}


def _trials(search: Search) -> int:
    """How many settings a random search tries."""
    return min(search.iterations, int(np.prod([len(values) for values in search.params.values()])))


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
