"""Voting: one model a family or for several, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, check_fitted
from ferkit.model.base import Slopes, choice
from ferkit.model.bases import (
    FamilyModels,
    fit_base,
    not_one_a_class,
    passed,
)
from ferkit.model.calibration import log_softmax
from ferkit.model.linear import LinearSVM
from ferkit.records import Features

Array = NDArray[Any]
LEAST = 1e-12


class Voting(FamilyModels):
    """Soft voting over families; nothing is learnt but the bases.

    Parameters
    ----------
    bases : dict of str to classifier or "passthrough", or None, default=None
        Model of each family, with ``predict_proba``; a family that is not named gets ``LinearSVM()``. A name such as
        "hog+lbp" gives several families to one model, as in ``Stacking``. "passthrough" takes the softmax of a family's
        numbers, for the logits of a network, each class by the name of its column.
    rule : {"log", "mean"}, default="log"
        Average the logarithms of the probabilities (a geometric mean, then scaled to sum to 1), or the probabilities.
    weights : dict of str to float, or None, default=None
        Weight of each base by its name, 1 where it is not named.
    labels : dict of str to str or None, or None, default=None
        New names of labels that a network passed through may know by another: old name to new one, the same for labels
        that were merged, None for one that was dropped. A recipe gives its own ``labels``.

    Attributes
    ----------
    bases_ : dict of str to classifier or "passthrough"
        Fitted bases.
    means_ : dict of str to ndarray of shape (n_columns,)
        Mean numbers of each family that shares a base; 0 for a sparse family.
    weights_ : ndarray of shape (n_bases,)
        Weights, which sum to 1.

    References
    ----------
    Kittler, Hatef, Duin, Matas: On combining classifiers (1998).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> data, y = load_iris(return_X_y=True)
    >>> X = Features({"sepal": data[:, :2], "petal": data[:, 2:]})
    >>> Voting(weights={"petal": 3}).fit(X, y).predict(X[[0, 60, 120]]).tolist()
    [0, 1, 2]
    """

    def __init__(
        self,
        bases: dict[str, Any] | None = None,
        *,
        rule: str = "log",
        weights: dict[str, float] | None = None,
        labels: dict[str, str | None] | None = None,
    ) -> None:
        self.bases = bases
        self.rule = rule
        self.weights = weights
        self.labels = labels

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        choice("rule", self.rule, ("log", "mean"))
        self.bases_ = self._bases(X, LinearSVM())
        self.weights_ = self._shares()
        self.orders_ = self._orders(X)
        for family, order in self.orders_.items():
            if order is None:
                raise not_one_a_class(X, family, self.classes_, "drop the labels that it lacks, or take Stacking.")
        for name, base in self.bases_.items():
            if name not in self.orders_:
                fit_base(base, self._read(X, name), self.classes_[codes], groups)
        self._learn_means(X)

    def contributions(self, X: Any) -> Array:
        """What each family adds to the logits.

        The Shapley value of each family, where a family that is left out holds all classes equally probable. With
        ``rule="log"`` that is the family's own weighted logarithm. A family that shares a base with others stands at
        its mean numbers where it is left out.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_families, n_classes)
            In the order of ``families_``. Summed over families it is the logits, up to constants that are the same for
            every face: one for all classes or, where families share a base, one for each class.

        References
        ----------
        Shapley: A value for n-person games (1953).
        """
        check_fitted(self, "bases_")
        features = self._check(X, fitting=False)
        even = np.full((len(features), len(self.classes_)), -np.log(len(self.classes_)))
        return self._shapley(features, self._log_proba, dict.fromkeys(self.bases_, even), self._mixed)

    def _logits(self, X: Features) -> Array:
        return self._mixed({name: self._log_proba(name, self._read(X, name)) for name in self.bases_})

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        if self.rule != "log":
            return {}
        found: dict[str, Slopes] = {}
        for weight, name in zip(self.weights_, self.bases_, strict=True):
            found |= self._slopes_of(X, name, weight * directions, np.zeros(len(self.classes_)))
        return {family: found[family] for family in self.families_ if family in found}

    def _mixed(self, said: Mapping[str, Array]) -> Array:
        logs = np.stack(list(said.values()))
        if self.rule == "log":
            return np.asarray(np.tensordot(self.weights_, logs, axes=1))
        return np.asarray(np.log(np.tensordot(self.weights_, np.exp(logs), axes=1)))

    def _log_proba(self, name: str, block: Any) -> Array:
        if name in self.orders_:
            return log_softmax(passed(block, self.orders_[name]))
        proba = np.asarray(self.bases_[name].predict_proba(block), dtype=np.float64)
        return np.log(np.maximum(proba, LEAST))

    def _shares(self) -> Array:
        if self.weights is not None and not isinstance(self.weights, dict):
            raise InputError(f"Got weights={self.weights!r}, expected a dict of base to number, or None.")
        given = self.weights or {}
        unknown = sorted(set(given) - set(self.bases_))
        shares = np.array([given.get(name, 1.0) for name in self.bases_], dtype=np.float64)
        if unknown or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
            raise InputError(f"Got weights={given}, expected numbers of 0 or more for bases of {list(self.bases_)}.")
        return shares / shares.sum()
