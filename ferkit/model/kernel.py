"""RBFSVM: a machine with a radial basis function kernel, exact or on a fixed number of landmark rows."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd

from ferkit.errors import InputError
from ferkit.model.base import FaceClassifier, Slopes, by_family, choice, join, positive, row_weights
from ferkit.model.calibration import fit_vector
from ferkit.model.folds import fold_of, out_of_fold
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.model.solver import SquaredHinge, minimise
from ferkit.model.systems import factorise, solve_positive
from ferkit.records import Features

Array = NDArray[Any]
ROWS = 1024
MOST_ROWS = 40_000
"""Rows that squared errors take: their kernel is then 6.4 GB, and nearly as much again while folds are fitted."""
_JITTER = 1e-4
"""Added to the landmarks' kernel, so that landmarks which are nearly the same do no harm."""
_AT_ONCE = 512
"""Rows in 8 bits that become numbers at a time: so few that these stay in a core's cache."""
_STEP = 0.16
"""Step to which rows are rounded, where 8 bits reach so far, times the root of their columns (of 256 at least).

The numbers of a row shrink by that root. Squared distances, 2 on the mean, move by 0.008 at 256 columns.
"""
_NODES = 24
"""Points of the integral from the mean face to a face; its error is then below that of single precision."""


class Machine(NamedTuple):
    """Margins are ``kernel(X, vectors) @ weights + intercept``; ``lengths`` are the squared norms of the vectors."""

    vectors: Any
    weights: Array
    intercept: Array
    lengths: Array | None = None


class RBFSVM(FaceClassifier):
    """SVM with the kernel ``exp(-gamma * distance²)`` and calibrated probabilities.

    Columns are brought to one scale such that faces have a mean squared norm of 1, so one ``gamma`` and one ``C`` fit
    every family; ``n_components`` then keeps the strongest principal components, which makes it several times faster.

    By default scikit-learn's ``SVC`` is fitted on all rows, and the margin of a class is the mean of its one-vs-one
    margins. The support vectors, most of the training rows, are part of the model. With ``landmarks`` the kernel is
    compared with that many training rows only (Nystroem's approximation) and a linear SVM is fitted on top: time and
    size then grow linearly. With ``loss="squared"`` errors count by their square (least-squares SVM): one system
    of all rows' kernel, 4 n² bytes (7 n² while three folds are calibrated), gives every class at once,
    where ``SVC`` takes hours; every training row is part of the model.

    Parameters
    ----------
    C : float, default=3.0
        Weight of the errors.
    gamma : float, default=2.0
        Width of the kernel; 1 means that the squared distance is measured in mean squared norms of a face.
    n_components : int or None, default=200
        Principal components kept (at most as many as there are columns and rows); None for all columns.
    landmarks : int or None, default=None
        Training rows for the approximation, None for the exact machine.
    loss : {"hinge", "squared"}, default="hinge"
        How errors count in the exact machine; the approximation always takes the squared hinge.
    standardize : bool, default=True
        Divide each dense column by its standard deviation. Sparse columns are left as they are and not centred.
    calibrate : bool, default=True
        Fit vector scaling on out-of-fold margins. Without it probabilities are the softmax of raw margins, right in
        order only; it saves ``calibration_folds`` fits.
    calibration_folds : int, default=3
        Folds whose held-out margins fit the calibration.
    class_weight : dict, "balanced" or None, default=None
        Weight of the rows of each class.
    compact : bool, default=False
        Round the rows that are compared with to 8 bits and the principal axes to 16: a model file keeps rows of single
        precision in a quarter of the room or less, axes in half. Sparse rows stay as they are.
    cache_size : float, default=500
        Megabytes for ``SVC``'s kernel rows.
    seed : int, default=0
        For the folds, the components and the landmarks.

    Attributes
    ----------
    vectors_ : ndarray or csr_array of shape (n_vectors, n_components)
        Support vectors, landmarks or all training rows after scaling and reduction; with ``compact`` dense ones are
        int8, to be multiplied by ``step_``.
    lengths_ : ndarray of shape (n_vectors,)
        Squared norms of the vectors; to work them out for each face would take as long as the rest of the kernel.
    dual_coef_ : ndarray of shape (n_vectors, n_classes)
        Logits are ``kernel(X, vectors_) @ dual_coef_ + intercept_``.
    intercept_ : ndarray of shape (n_classes,)
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and factor of each column.
    components_ : ndarray of shape (n_components, n_features) or None
        Principal axes of the scaled columns.
    step_ : float
        Step to which ``compact`` rounds dense rows.

    References
    ----------
    Suykens, Vandewalle: Least squares support vector machine classifiers (1999).
    Williams, Seeger: Using the Nystroem method to speed up kernel machines (2001).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> RBFSVM(n_components=None).fit(X, y).predict(X[[0, 60, 120]]).tolist()
    [0, 1, 2]
    """

    def __init__(
        self,
        C: float = 3.0,
        gamma: float = 2.0,
        *,
        n_components: int | None = 200,
        landmarks: int | None = None,
        loss: str = "hinge",
        standardize: bool = True,
        calibrate: bool = True,
        calibration_folds: int = 3,
        class_weight: Any = None,
        compact: bool = False,
        cache_size: float = 500,
        seed: int = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.n_components = n_components
        self.landmarks = landmarks
        self.loss = loss
        self.standardize = standardize
        self.calibrate = calibrate
        self.calibration_folds = calibration_folds
        self.class_weight = class_weight
        self.compact = compact
        self.cache_size = cache_size
        self.seed = seed

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        self._check_params()
        matrix = join(X)
        self.mean_, self.scale_ = fit_scaling(matrix, self.standardize)
        scaled = apply_scaling(matrix, self.mean_, self.scale_)
        self.components_ = self._axes(scaled)
        reduced = self._reduce(scaled)
        del matrix, scaled  # they would stand beside the kernel
        if self.compact and not sparse.issparse(reduced):
            self.step_ = max(_STEP / np.sqrt(max(reduced.shape[1], 256)), float(np.abs(reduced).max()) / 127)
            reduced = self._whole(reduced) * reduced.dtype.type(self.step_)
        weights = row_weights(self.class_weight, self.classes_[codes])
        kernel = self._all_pairs(reduced) if self.loss == "squared" else None
        k = len(self.classes_)
        stretch, shift = np.ones(k), np.zeros(k)
        if self.calibrate:

            def margins(train: Array, test: Array) -> Array:
                among, across = (None if kernel is None else kernel[np.ix_(rows, train)] for rows in (train, test))
                machine = self._machine(reduced[train], codes[train], weights[train], among)
                return self._margins(machine, reduced[test], across)

            fold = fold_of(codes, groups, self.calibration_folds, self.seed)
            held_out, known = out_of_fold(codes, fold, margins, k)
            stretch, shift = fit_vector(held_out[known], codes[known], weights[known])
        machine = self._machine(reduced, codes, weights, kernel)
        self.vectors_, self.lengths_ = machine.vectors, _norms(machine.vectors)
        if self.compact and not sparse.issparse(machine.vectors):
            self.vectors_ = self._whole(machine.vectors).astype(np.int8)
        self.dual_coef_ = (machine.weights * stretch).astype(reduced.dtype)
        self.intercept_ = (machine.intercept * stretch + shift).astype(reduced.dtype)

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        axes, vectors = state.get("components_"), state.get("vectors_")
        if axes is not None and getattr(vectors, "dtype", None) == np.int8:
            state["components_"] = axes.astype(np.float16)  # exactly: they were rounded at fit
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in ("components_", "vectors_"):  # once vectors were kept in 16 bits, too
            if getattr(state.get(name), "dtype", None) == np.float16:
                setattr(self, name, state[name].astype(self.dual_coef_.dtype))

    def _logits(self, X: Features) -> Array:
        machine = Machine(self.vectors_, self.dual_coef_, self.intercept_, self.lengths_)
        matrix = join(X)
        starts = range(0, matrix.shape[0], ROWS)
        parts = [self._reduce(apply_scaling(matrix[i : i + ROWS], self.mean_, self.scale_)) for i in starts]
        return np.concatenate([self._margins(machine, part) for part in parts])

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        rows = self._reduce(apply_scaling(join(X), self.mean_, self.scale_))
        values = self._mean_slopes(rows, directions @ np.asarray(self.dual_coef_, dtype=np.float64).T)
        values = values if self.components_ is None else values @ self.components_
        mean = np.zeros_like(self.mean_) if sparse.issparse(rows) else self.mean_
        return by_family(X, values * self.scale_, mean, exact=False)

    def _mean_slopes(self, rows: Any, weights: Array) -> Array:
        """Slopes along ``rows`` from the origin to each row, for a weight of each vector; shape as ``rows``.

        At the share ``t`` of the way a kernel's slope is ``-2 gamma (t row - vector) kernel``, and all kernels on the
        way follow from one product of rows and vectors.
        """
        cross = self._products(rows, self.vectors_).astype(np.float64)
        length, lengths = _norms(rows).astype(np.float64)[:, None], self.lengths_.astype(np.float64)
        still, moving = np.zeros_like(cross), np.zeros_like(cross)
        for node, share in zip(*np.polynomial.legendre.leggauss(_NODES), strict=True):
            t = (node + 1) / 2
            kernel = np.exp(-self.gamma * np.maximum(t * t * length - 2 * t * cross + lengths, 0)) * (share / 2)
            still += kernel
            moving += t * kernel
        own = (weights * moving).sum(axis=1, keepdims=True)
        dense = rows.toarray() if sparse.issparse(rows) else rows
        step = self.step_ if self.vectors_.dtype == np.int8 else 1.0
        return np.asarray(2 * self.gamma * ((weights * still) @ self.vectors_ * step - own * dense))

    def _axes(self, scaled: Any) -> Array | None:
        if self.n_components is None:
            return None
        kept = min(self.n_components, *scaled.shape)
        if sparse.issparse(scaled):
            axes = randomized_svd(scaled, kept, random_state=self.seed)[2]
        else:
            from sklearn.decomposition import PCA

            with np.errstate(invalid="ignore"):  # shares of no variance, where all columns are constant
                axes = PCA(kept, svd_solver="auto", random_state=self.seed).fit(scaled).components_
        return np.asarray(axes.astype(np.float16) if self.compact else axes, dtype=scaled.dtype)

    def _whole(self, rows: Array) -> Array:
        """Rows in whole steps."""
        return np.rint(rows / rows.dtype.type(self.step_))

    def _reduce(self, scaled: Any) -> Any:
        return scaled if self.components_ is None else np.asarray(scaled @ self.components_.T)

    def _machine(self, X: Any, codes: Array, weights: Array, kernel: Array | None) -> Machine:
        """Machine of some rows; their kernel, where it is there already, is overwritten."""
        if kernel is not None:
            return self._squared(X, codes, weights, kernel)
        return self._exact(X, codes, weights) if self.landmarks is None else self._nystroem(X, codes, weights)

    def _exact(self, X: Any, codes: Array, weights: Array) -> Machine:
        """``SVC``'s one-vs-one machines, each class's margins averaged into one column of weights.

        A class without rows that count has the margin -1.
        """
        from sklearn.svm import SVC

        counted = np.flatnonzero(weights > 0)  # libsvm drops the other rows, and classes that have no more
        X, codes, weights = X[counted], codes[counted], weights[counted]
        present = np.unique(codes)
        if len(present) < 2:
            got = f"class_weight={self.class_weight!r}"
            raise InputError(f"Got {got}, expected weights above 0 for 2 or more classes (of 2 or more groups each).")
        svc = SVC(C=self.C, gamma=self.gamma, cache_size=self.cache_size).fit(X, codes, sample_weight=weights)
        dual, others = svc.dual_coef_, len(present) - 1
        dual = dual.toarray() if sparse.issparse(dual) else dual
        ends = np.cumsum([0, *svc.n_support_])
        columns, intercept = np.zeros((dual.shape[1], len(self.classes_))), np.full(len(self.classes_), -1.0)
        intercept[present] = 0
        if others == 1:
            sides = np.array([-0.5, 0.5])
            columns[:, present], intercept[present] = dual.T * sides, svc.intercept_ * sides
            return Machine(_kept(svc.support_vectors_), columns, intercept)
        for pair, (a, b) in enumerate(combinations(range(len(present)), 2)):
            rows_a, rows_b = slice(ends[a], ends[a + 1]), slice(ends[b], ends[b + 1])
            for column, side in ((present[a], 1), (present[b], -1)):
                columns[rows_a, column] += side * dual[b - 1, rows_a] / others
                columns[rows_b, column] += side * dual[a, rows_b] / others
                intercept[column] += side * svc.intercept_[pair] / others
        return Machine(_kept(svc.support_vectors_), columns, intercept)

    def _all_pairs(self, X: Any) -> Array:
        """Kernel of all rows with each other, each pair computed once."""
        n = X.shape[0]
        if n > MOST_ROWS:
            raise InputError(
                f"Got {n} rows with loss='squared', expected at most {MOST_ROWS}. Set loss='hinge', landmarks=6000."
            )
        kernel = np.empty((n, n), dtype=X.dtype)
        for i in range(0, n, ROWS):
            rows = slice(i, i + ROWS)
            kernel[rows, : i + ROWS] = self._kernel(X[rows], X[: i + ROWS])
            kernel[:i, rows] = kernel[rows, :i].T
        return kernel

    def _squared(self, X: Any, codes: Array, weights: Array, kernel: Array) -> Machine:
        kernel.flat[:: len(kernel) + 1] += 1 / (self.C * np.maximum(weights, 1e-9))
        targets = self._targets(codes, X.dtype)
        middle = np.average(targets, axis=0, weights=weights).astype(X.dtype)
        try:
            return Machine(_kept(X), solve_positive(kernel, targets - middle), middle)
        except np.linalg.LinAlgError as error:
            raise InputError(
                f"Got C={self.C:g} with loss='squared', expected less: rows are so alike that with such a C "
                f"{X.dtype} cannot solve for them."
            ) from error

    def _targets(self, codes: Array, dtype: Any) -> Array:
        return np.where(codes[:, None] == np.arange(len(self.classes_)), 1, -1).astype(dtype)

    def _nystroem(self, X: Any, codes: Array, weights: Array) -> Machine:
        n = X.shape[0]
        rows = np.sort(np.random.default_rng(self.seed).permutation(n)[: self.landmarks])
        vectors = X[rows]
        among = self._kernel(vectors, vectors).astype(np.float64)
        among.flat[:: len(among) + 1] += _JITTER
        # any square root of the inverse serves; that of Cholesky takes a thirtieth of the eigenvectors' time
        factor = factorise(among)
        whiten = linalg.solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False).T.astype(X.dtype)
        starts = range(0, n, ROWS)
        mapped = np.concatenate([self._kernel(X[i : i + ROWS], vectors) @ whiten for i in starts]).astype(X.dtype)
        middle = mapped.mean(axis=0)
        targets = self._targets(codes, X.dtype)
        loss = SquaredHinge(targets, (self.C * weights).astype(X.dtype))
        solution = minimise(mapped - middle, loss, targets.shape[1], tol=0.01)
        intercept = solution.intercept - middle @ solution.weights
        return Machine(_kept(vectors), whiten @ solution.weights, intercept)

    def _margins(self, machine: Machine, X: Any, kernel: Array | None = None) -> Array:
        if kernel is not None:
            return np.asarray(kernel @ machine.weights + machine.intercept)
        starts = range(0, X.shape[0], ROWS)
        kernels = (self._kernel(X[i : i + ROWS], machine.vectors, machine.lengths) for i in starts)
        return np.concatenate([kernel @ machine.weights + machine.intercept for kernel in kernels])

    def _kernel(self, A: Any, B: Any, lengths: Array | None = None) -> Array:
        """Kernel of all rows of A with all of B, worked out in one array; squared norms of B where they are known."""
        cross = self._products(A, B)
        cross *= 2 * self.gamma
        cross -= self.gamma * _norms(A)[:, None]
        cross -= self.gamma * (_norms(B) if lengths is None else lengths)
        np.minimum(cross, 0, out=cross)
        return np.asarray(np.exp(cross, out=cross))

    def _products(self, A: Any, B: Any) -> Array:
        """Scalar products of all rows of A with all of B, which may be in whole steps."""
        if B.dtype != np.int8:
            cross = A @ B.T
            return np.asarray(cross.toarray() if sparse.issparse(cross) else cross)
        steps = (A.toarray() if sparse.issparse(A) else np.asarray(A)) * A.dtype.type(self.step_)
        cross = np.empty((len(steps), len(B)), A.dtype)
        some = np.empty((min(_AT_ONCE, len(B)), B.shape[1]), A.dtype)
        for i in range(0, len(B), _AT_ONCE):
            part = some[: len(B) - i]
            part[...] = B[i : i + _AT_ONCE]
            np.matmul(steps, part.T, out=cross[:, i : i + _AT_ONCE])
        return cross

    def _check_params(self) -> None:
        positive("C", self.C)
        positive("gamma", self.gamma)
        positive("calibration_folds", self.calibration_folds, whole=True, least=2)
        choice("loss", self.loss, ("hinge", "squared"))
        if self.loss == "squared" and self.landmarks is not None:
            raise InputError(f"Got loss='squared', landmarks={self.landmarks}, expected landmarks=None with that loss.")
        for name in ("n_components", "landmarks"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), whole=True, least=1)


def _kept(rows: Any) -> Any:
    return sparse.csr_array(rows) if sparse.issparse(rows) else np.ascontiguousarray(rows)


def _norms(X: Any) -> Array:
    squares = X.multiply(X).sum(axis=1) if sparse.issparse(X) else np.einsum("ij,ij->i", X, X)
    return np.asarray(squares).ravel()
