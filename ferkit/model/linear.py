"""LinearSVM: a linear machine on all classes at once, with calibrated probabilities."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ferkit.model.base import FaceClassifier, Slopes, by_family, choice, join, positive, row_weights
from ferkit.model.calibration import fit_vector
from ferkit.model.folds import fold_of, out_of_fold
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.model.solver import Logistic, Solution, SquaredHinge, minimise
from ferkit.records import Features

Array = NDArray[Any]


class LinearSVM(FaceClassifier):
    """One-vs-rest linear SVM, or multinomial logistic regression, with calibrated probabilities.

    All classes are solved at once in the primal by truncated Newton, whose work is a few matrix products in the
    precision of the input.
    Columns are brought to one scale such that faces have a mean squared norm of 1, so one ``C`` fits every family.
    Probabilities come from vector scaling of out-of-fold margins, folded into ``coef_`` and ``intercept_``.

    Parameters
    ----------
    C : float, default=0.1
        Weight of the errors against the size of the coefficients.
    loss : {"squared_hinge", "logistic"}, default="squared_hinge"
        One-vs-rest SVM, or multinomial logistic regression.
    standardize : bool, default=True
        Divide each dense column by its standard deviation. Sparse columns are left as they are.
    calibrate : bool, default=True
        Fit the calibration. Without it the probabilities are the softmax of raw margins, right in order only; it
        saves ``calibration_folds`` fits, and a stacker calibrates its own output anyway.
    calibration_folds : int, default=3
        Folds whose held-out margins fit the calibration.
    class_weight : dict, "balanced" or None, default=None
        Weight of the rows of each class. Probabilities are then those of the weighted data;
        ``calibration.correct_priors`` undoes that.
    tol : float, default=0.01
        Stop when the slope has fallen to this share of its first size.
    max_iter : int, default=100
        Most Newton steps.
    seed : int, default=0
        For the folds.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features)
        Logits are ``X @ coef_.T + intercept_``, with one row a class for two classes as well.
    intercept_ : ndarray of shape (n_classes,)
    mean_ : ndarray of shape (n_features,)
        Mean of each column at fit, 0 for sparse ones: what counts as no evidence.
    scale_ : ndarray of shape (n_features,)
        Factor of each column at fit.
    n_iter_ : int
        Newton steps of the last fit.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks (2017), for vector scaling.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LinearSVM(C=10).fit(X, y).predict_proba(X[:1]).round(1).tolist()
    [[1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        C: float = 0.1,
        *,
        loss: str = "squared_hinge",
        standardize: bool = True,
        calibrate: bool = True,
        calibration_folds: int = 3,
        class_weight: Any = None,
        tol: float = 0.01,
        max_iter: int = 100,
        seed: int = 0,
    ) -> None:
        self.C = C
        self.loss = loss
        self.standardize = standardize
        self.calibrate = calibrate
        self.calibration_folds = calibration_folds
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.seed = seed

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        self._check_params()
        matrix = join(X)
        self.mean_, self.scale_ = fit_scaling(matrix, self.standardize)
        scaled = apply_scaling(matrix, self.mean_, self.scale_)
        weights = row_weights(self.class_weight, self.classes_[codes])
        stretch, shift, start = self._calibration(scaled, codes, groups, weights)
        solution = self._solve(scaled, codes, weights, start)
        if not solution.converged:
            warnings.warn(
                f"Got max_iter={self.max_iter}, expected more: the slope is not yet at tol={self.tol}.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.n_iter_ = max(solution.steps, 1)
        coef = solution.weights.astype(np.float64) * self.scale_[:, None] * stretch
        self.intercept_ = (solution.intercept * stretch + shift - self.mean_ @ coef).astype(scaled.dtype)
        self.coef_ = np.ascontiguousarray(coef.T.astype(scaled.dtype))

    def _logits(self, X: Features) -> Array:
        return np.asarray(join(X) @ self.coef_.T + self.intercept_)

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        return by_family(X, directions @ self.coef_, self.mean_)

    def _calibration(
        self, scaled: Any, codes: Array, groups: Any, weights: Array
    ) -> tuple[Array, Array, Solution | None]:
        """Stretch and shift of each class's margin, and a start for the last fit: the mean of the folds' answers."""
        k = len(self.classes_)
        if not self.calibrate:
            return np.ones(k), np.zeros(k), None
        solved = []

        def margins(train: Array, test: Array) -> Array:
            solution = self._solve(scaled[train], codes[train], weights[train])
            solved.append(solution)
            return np.asarray(scaled[test] @ solution.weights + solution.intercept)

        fold = fold_of(codes, groups, self.calibration_folds, self.seed)
        held_out, known = out_of_fold(codes, fold, margins, k)
        middle = np.mean([solution.weights for solution in solved], axis=0)
        start = Solution(middle, np.mean([solution.intercept for solution in solved], axis=0), 0, False)
        return *fit_vector(held_out[known], codes[known], weights[known]), start

    def _solve(self, X: Any, codes: Array, weights: Array, start: Solution | None = None) -> Solution:
        k = len(self.classes_)
        right = (codes[:, None] == np.arange(k)).astype(X.dtype)
        row_weights = (self.C * weights).astype(X.dtype)
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter}
        if self.loss == "logistic":
            return minimise(X, Logistic(right, row_weights), k, start=start, **options)
        if k > 2:
            return minimise(X, SquaredHinge(2 * right - 1, row_weights), k, start=start, **options)
        # The two problems of two classes mirror each other: one is solved, and each class takes half of its margin.
        half = None if start is None else Solution(2 * start.weights[:, 1:], 2 * start.intercept[1:], 0, False)
        one = minimise(X, SquaredHinge(2 * right[:, 1:] - 1, row_weights), 1, start=half, **options)
        sides = np.array([-0.5, 0.5], X.dtype)
        return one._replace(weights=one.weights * sides, intercept=one.intercept * sides)

    def _check_params(self) -> None:
        choice("loss", self.loss, ("squared_hinge", "logistic"))
        positive("C", self.C)
        positive("tol", self.tol)
        positive("max_iter", self.max_iter, whole=True, least=1)
        positive("calibration_folds", self.calibration_folds, whole=True, least=2)
