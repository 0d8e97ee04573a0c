"""Voting: one model a family, whose probabilities are averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, check_fitted
from ferkit.model.base import Slopes, choice
from ferkit.model.bases import (
    FamilyModels,
    base_slopes,
    fit_base,
    not_one_a_class,
    passed,
    passed_slopes,
    shapley,
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
        Model of each family, with ``predict_proba``; a family that is not named gets ``LinearSVM()``. "passthrough"
        takes the softmax of the family's numbers, for the logits of a network, each class by the name of its column.
    rule : {"log", "mean"}, default="log"
        Average the logarithms of the probabilities (a geometric mean, then scaled to sum to 1), or the probabilities.
    weights : dict of str to float, or None, default=None
        Weight of each family, 1 where it is not named.
    labels : dict of str to str or None, or None, default=None
        New names of labels that a network passed through may know by another: old name to new one, the same for labels
        that were merged, None for one that was dropped. A recipe gives its own ``labels``.

    Attributes
    ----------
    bases_ : dict of str to classifier or "passthrough"
        Fitted bases.
    weights_ : ndarray of shape (n_families,)
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
        self.weights_ = self._shares(X)
        self.bases_ = self._bases(X, LinearSVM())
        self.orders_ = self._orders(X)
        for family, order in self.orders_.items():
            if order is None:
                raise not_one_a_class(X, family, self.classes_, "drop the labels that it lacks, or take Stacking.")
        for family, base in self.bases_.items():
            if family not in self.orders_:
                fit_base(base, X[family], self.classes_[codes], groups)

    def contributions(self, X: Any) -> Array:
        """What each family adds to the logits.

        The Shapley value of each family, where a family that is left out holds all classes equally probable. With
        ``rule="log"`` that is the family's own weighted logarithm.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_families, n_classes)
            In the order of ``families_``. Summed over families it is the logits, up to a constant for all classes.

        References
        ----------
        Shapley: A value for n-person games (1953).
        """
        check_fitted(self, "bases_")
        features = self._check(X, fitting=False)
        logs = {family: self._log_proba(family, features[family]) for family in self.bases_}
        even = np.full_like(next(iter(logs.values())), -np.log(len(self.classes_)))
        return shapley(
            list(logs),
            lambda inside: self._mixed(np.stack([logs[name] if name in inside else even for name in logs])),
        )

    def _logits(self, X: Features) -> Array:
        return self._mixed(np.stack([self._log_proba(family, X[family]) for family in self.bases_]))

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        if self.rule != "log":
            return {}
        found: dict[str, Slopes] = {}
        for weight, (family, base) in zip(self.weights_, self.bases_.items(), strict=True):
            if family in self.orders_:
                mean = np.zeros(len(self.classes_))
                found[family] = passed_slopes(X[family], self.orders_[family], weight * directions, mean)
            else:
                found |= base_slopes(base, Features({family: X[family]}), weight * directions, self.classes_)
        return found

    def _mixed(self, logs: Array) -> Array:
        if self.rule == "log":
            return np.asarray(np.tensordot(self.weights_, logs, axes=1))
        return np.asarray(np.log(np.tensordot(self.weights_, np.exp(logs), axes=1)))

    def _log_proba(self, family: str, block: Any) -> Array:
        if family in self.orders_:
            return log_softmax(passed(block, self.orders_[family]))
        proba = np.asarray(self.bases_[family].predict_proba(block), dtype=np.float64)
        return np.log(np.maximum(proba, LEAST))

    def _shares(self, X: Features) -> Array:
        if self.weights is not None and not isinstance(self.weights, dict):
            raise InputError(f"Got weights={self.weights!r}, expected a dict of family to number, or None.")
        given = self.weights or {}
        unknown = sorted(set(given) - set(X.blocks))
        shares = np.array([given.get(family, 1.0) for family in X.blocks], dtype=np.float64)
        if unknown or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
            raise InputError(f"Got weights={given}, expected numbers of 0 or more for families of {list(X.blocks)}.")
        return shares / shares.sum()
