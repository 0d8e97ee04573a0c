"""Shared base of the classifiers: checks input, keeps the classes, turns logits into answers."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_array, validate_data

from ferkit.errors import InputError, check_fitted, check_flags
from ferkit.model.calibration import softmax
from ferkit.records import Features

DTYPES = (np.float64, np.float32)


class Slopes(NamedTuple):
    """How the logits of faces change with the numbers of one family, on the way from the mean face to each face.

    Attributes
    ----------
    values : ndarray of shape (n, n_columns)
        Mean slope of each number.
    mean : ndarray of shape (n_columns,)
        Numbers of the mean face, 0 for a sparse family: what counts as no evidence.
    exact : bool
        True where the logits are linear in the numbers; else values are integrated gradients.
    """

    values: NDArray[Any]
    mean: NDArray[Any]
    exact: bool = True

    def evidence(self, block: Any) -> Any:
        """What each number adds: ``(block - mean) * values``; ndarray, or csr_array for a sparse block."""
        if sparse.issparse(block):
            return sparse.csr_array(block.multiply(self.values))
        return (np.asarray(block, dtype=np.float64) - self.mean) * self.values


class FaceClassifier(ClassifierMixin, BaseEstimator):
    """Base of every classifier: ``Features`` or a plain matrix in, probabilities out.

    A subclass fills ``_learn(X, codes, groups, fusion)``, which gets checked ``Features`` and the position of each
    row's class in ``classes_``, and ``_logits(X)``, which returns (n, n_classes) numbers whose softmax is
    ``predict_proba``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen at fit, sorted.
    families_ : dict of str to int
        Columns of each family seen at fit; a plain matrix is the one family ``features``.
    n_features_in_ : int
        Columns seen at fit, over all families.
    """

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Learn from labelled rows.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)
            Numbers of each face.
        y : array-like of shape (n,)
            Labels.
        groups : array-like of shape (n,) or None, default=None
            Rows of one group (one person, one cluster of near-duplicates) stay on one side of every inner split.
        """
        return self._fit(X, y, groups)

    def _fit(self, X: Any, y: Any, groups: Any, fusion: Any = None) -> Self:
        if y is None:
            raise InputError("Got y=None, expected labels: it requires y to be passed, but the target y is None.")
        check_flags(self)
        features = self._check(X, fitting=True)
        y = _check_y(y, y_numeric=False, estimator=self)
        check_classification_targets(y)
        for name, rows in (("y", y), ("groups", groups)):
            if rows is not None and len(rows) != len(features):
                raise InputError(f"Got {name} with {len(rows)} rows, expected {len(features)}, one for each row of X.")
        y = np.asarray(y.tolist()) if y.dtype == object else y  # Labels as plain strings, for model files.
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"Got 1 class ({self.classes_[0]!r}), expected at least 2 classes.")
        self._learn(features, codes, None if groups is None else np.asarray(groups), fusion)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Logits, whose softmax is ``predict_proba``.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes
            For two classes the logit of ``classes_[1]``, as scikit-learn has it.
        """
        logits = self._answer(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probability of each class.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Rows sum to 1; columns follow ``classes_``.
        """
        return softmax(self._answer(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable label of each row.

        Returns
        -------
        ndarray of shape (n,)
        """
        best = self._answer(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def slopes(self, X: Any, directions: Any) -> dict[str, Slopes]:
        """What the logits hang on, number by number: the ground of every explanation.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)
        directions : array-like of shape (n, n_classes)
            What is asked of each face: weights of the logits, in sum 0. 1 for a class and -1 for another asks "why this
            and not that"; ``1 - 1 / n_classes`` for a class and ``-1 / n_classes`` for the others asks "why this".

        Returns
        -------
        dict of str to Slopes
            By family. ``Slopes.evidence(X[family])``, summed over all columns of all families, is the logits along the
            direction less those of the mean face. A family of a model that cannot be taken apart is missing.

        References
        ----------
        Sundararajan, Taly, Yan: Axiomatic attribution for deep networks (2017), for what is not linear.
        """
        check_fitted(self, "classes_")
        features = self._check(X, fitting=False)
        wanted = (len(features), len(self.classes_))
        asked = np.asarray(directions, dtype=np.float64)
        if asked.shape != wanted or not np.allclose(asked.sum(axis=1), 0, atol=1e-9):
            raise InputError(f"Got directions of shape {asked.shape}, expected {wanted} with rows in sum 0.")
        return self._slopes(features, asked)

    def _answer(self, X: Any) -> NDArray[Any]:
        check_fitted(self, "classes_")
        return self._logits(self._check(X, fitting=False))

    def _learn(self, X: Features, codes: NDArray[Any], groups: Any, fusion: Any) -> None:
        raise NotImplementedError

    def _logits(self, X: Features) -> NDArray[Any]:
        raise NotImplementedError

    def _slopes(self, X: Features, directions: NDArray[Any]) -> dict[str, Slopes]:
        """Slopes by family; a model without any leaves this as it is."""
        return {}

    def _check(self, X: Any, *, fitting: bool) -> Features:
        if not isinstance(X, Features):
            if not fitting and self._as_seen(X):
                return self._split(X)
            matrix = _sorted(validate_data(self, X, reset=fitting, accept_sparse="csr", dtype=DTYPES))
            if fitting:
                self.families_ = {"features": int(matrix.shape[1])}
            return self._split(matrix)
        blocks = {name: _block(block, name) for name, block in X.blocks.items()}
        found = {name: int(block.shape[1]) for name, block in blocks.items()}
        if fitting:
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            self.families_, self.n_features_in_ = found, sum(found.values())
        elif found != self.families_:
            raise InputError(f"Got families {found}, expected {self.families_}, as seen at fit.")
        return Features({name: blocks[name] for name in self.families_}, X.names)

    def _as_seen(self, matrix: Any) -> bool:
        """Whether a matrix is like that of the fit, so that scikit-learn would have nothing to say."""
        unnamed = not hasattr(self, "feature_names_in_")
        return unnamed and _is_plain(matrix) and bool(matrix.shape[1] == self.n_features_in_)

    def _split(self, matrix: Any) -> Features:
        """Families as column ranges of a joined matrix."""
        ends = np.cumsum([0, *self.families_.values()]).tolist()
        parts = zip(self.families_, ends, ends[1:], strict=False)
        return Features({name: matrix[:, a:b] for name, a, b in parts})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _block(block: Any, name: str) -> Any:
    if _is_plain(block):
        return block
    return _sorted(check_array(block, accept_sparse="csr", dtype=DTYPES, input_name=f"family {name!r}"))


def _is_plain(matrix: Any) -> bool:
    """Whether there is nothing to refuse or to change: the full check takes longer than a small model."""
    plain = type(matrix) is np.ndarray and matrix.ndim == 2 and matrix.dtype in DTYPES and matrix.size > 0
    return plain and bool(np.isfinite(matrix).all())


def _sorted(matrix: Any) -> Any:
    """CSR arrays, so that ``*`` and slices mean the same for every sparse input."""
    return sparse.csr_array(matrix) if sparse.issparse(matrix) else matrix


def join(X: Features) -> Any:
    """All families side by side, without a copy where there is only one."""
    blocks = list(X.blocks.values())
    return blocks[0] if len(blocks) == 1 else X.matrix


def by_family(X: Features, values: NDArray[Any], mean: NDArray[Any], exact: bool = True) -> dict[str, Slopes]:
    """Slopes of the joined matrix, family by family."""
    return {name: Slopes(values[:, own], mean[own], exact) for name, own in X.families.items()}


def choice(name: str, value: Any, options: tuple[Any, ...]) -> None:
    """Refuse a value that is not among the options."""
    if not any(value is option or (type(value) is type(option) and value == option) for option in options):
        raise InputError(f"Got {name}={value!r}, expected one of {list(options)}.")


def row_weights(class_weight: Any, y: NDArray[Any]) -> NDArray[np.float64]:
    """Weight of each row, from a dict of labels, "balanced" or None."""
    names = ", ".join(map(str, np.unique(y).tolist()))
    wrong = InputError(
        f"Got class_weight={class_weight!r}, expected 'balanced', None, or a number for each of {names}, not all 0."
    )
    try:
        weights = np.asarray(compute_sample_weight(class_weight, y), np.float64)
    except (ValueError, TypeError) as error:
        raise wrong from error
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise wrong
    return weights


def positive(name: str, value: Any, *, whole: bool = False, least: float = 0) -> None:
    """Refuse a value that is not a number above 0 (or a whole number of at least ``least``)."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    good = isinstance(value, kinds) and not isinstance(value, bool) and np.isfinite(value)
    if not good or (value < least if whole else value <= 0):
        expected = f"a whole number of at least {int(least)}" if whole else "a number above 0"
        raise InputError(f"Got {name}={value!r}, expected {expected}.")
