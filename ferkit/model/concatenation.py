"""Concatenation: early fusion, all families in one matrix for one model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ferkit.errors import InputError
from ferkit.model.base import FaceClassifier, Slopes, by_family
from ferkit.model.bases import base_slopes, fit_base, margins
from ferkit.model.linear import LinearSVM
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.records import Features

Array = NDArray[Any]


class Concatenation(FaceClassifier):
    """Families scaled so that each has a mean squared norm of 1, joined, and given to one model.

    A wide family does not drown a narrow one. A sparse family makes the joined matrix sparse, which is slow beside
    large dense ones: reduce it first, or stack.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Model of the joined matrix; None for ``LinearSVM(standardize=False)``, which keeps the families' balance. One
        that standardizes columns undoes it: wide families then count for more.
    standardize : bool, default=True
        Divide each dense column by its standard deviation first. Sparse columns are left as they are.

    Attributes
    ----------
    estimator_ : classifier
        Fitted model.
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and factor of each column.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> data, y = load_iris(return_X_y=True)
    >>> X = Features({"sepal": data[:, :2], "petal": data[:, 2:]})
    >>> Concatenation().fit(X, y).predict(X[[0, 60, 120]]).tolist()
    [0, 1, 2]
    """

    def __init__(self, estimator: Any = None, *, standardize: bool = True) -> None:
        self.estimator = estimator
        self.standardize = standardize

    def _inner(self) -> Any:
        """A fresh copy of the model of the joined matrix."""
        return LinearSVM(standardize=False) if self.estimator is None else clone(self.estimator, safe=False)

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        estimator = self._inner()
        if not hasattr(estimator, "fit"):
            raise InputError(f"Got estimator={self.estimator!r}, expected a classifier or None.")
        scalings = [fit_scaling(block, self.standardize) for block in X.blocks.values()]
        self.mean_, self.scale_ = (np.concatenate(part) for part in zip(*scalings, strict=True))
        self.estimator_ = fit_base(estimator, self._joined(X), self.classes_[codes], groups)

    def _logits(self, X: Features) -> Array:
        return margins(self.estimator_, self._joined(X), self.classes_)

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        joined = Features({"joined": self._joined(X)})
        found = base_slopes(self.estimator_, joined, directions, self.classes_)
        if not found:
            return {}
        return by_family(X, found["joined"].values * self.scale_, self.mean_, found["joined"].exact)

    def _joined(self, X: Features) -> Any:
        blocks = {name: apply_scaling(X[name], self.mean_[own], self.scale_[own]) for name, own in X.families.items()}
        return Features(blocks).matrix
