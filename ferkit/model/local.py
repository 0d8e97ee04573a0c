"""LocalSVM: a small SVM for each face, fitted on the training faces most like it."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from ferkit.model.base import FaceClassifier, join, positive
from ferkit.model.calibration import fit_vector
from ferkit.model.folds import known_elsewhere, numbered
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.model.solver import SquaredHinge, minimise
from ferkit.records import Features

Array = NDArray[Any]
ROWS = 256
JITTER = 1e-6


class LocalSVM(FaceClassifier):
    """Linear SVM fitted on the nearest training faces of each face that is asked about.

    Faces are near by the cosine of their scaled columns. Where all neighbours agree there is nothing to fit; a class
    that is not among the neighbours has the margin -1. A face takes milliseconds, and the model keeps every training
    row: it is for research, not for a model file that others get.

    Parameters
    ----------
    neighbours : int, default=200
        Training faces that each small SVM is fitted on (at most all).
    C : float, default=1.0
        Weight of the errors; rows have norm 1.
    standardize : bool, default=True
        Divide each dense column by its standard deviation. Sparse columns are left as they are and not centred.
    calibrate : bool, default=True
        Fit vector scaling on margins of training rows that were left out of their own neighbourhood.
    calibration_rows : int, default=500
        How many training rows that takes, drawn at random.
    n_jobs : int or None, default=None
        Threads; -1 for one a core.
    seed : int, default=0
        For the draw.

    Attributes
    ----------
    rows_ : ndarray or csr_array of shape (n, n_features)
        Training rows, scaled, of norm 1.
    codes_ : ndarray of shape (n,)
        Position of each row's class in ``classes_``.
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and factor of each column.
    stretch_, shift_ : ndarray of shape (n_classes,)
        Logits are ``margins * stretch_ + shift_``.

    References
    ----------
    Ionescu, Popescu, Grozea: Local learning to improve bag of visual words model for facial expression recognition
    (2013).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LocalSVM(neighbours=20).fit(X, y).predict(X[[0, 60, 120]]).tolist()
    [0, 1, 2]
    """

    def __init__(
        self,
        neighbours: int = 200,
        C: float = 1.0,
        *,
        standardize: bool = True,
        calibrate: bool = True,
        calibration_rows: int = 500,
        n_jobs: int | None = None,
        seed: int = 0,
    ) -> None:
        self.neighbours = neighbours
        self.C = C
        self.standardize = standardize
        self.calibrate = calibrate
        self.calibration_rows = calibration_rows
        self.n_jobs = n_jobs
        self.seed = seed

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        positive("neighbours", self.neighbours, whole=True, least=2)
        positive("C", self.C)
        positive("calibration_rows", self.calibration_rows, whole=True, least=2)
        matrix = join(X)
        self.mean_, self.scale_ = fit_scaling(matrix, self.standardize)
        self.rows_, self.codes_ = self._unit(matrix), codes
        k = len(self.classes_)
        self.stretch_, self.shift_ = np.ones(k), np.zeros(k)
        if self.calibrate:
            own = numbered(groups, len(codes))
            drawn = np.random.default_rng(self.seed).permutation(len(codes))[: self.calibration_rows]
            drawn = drawn[known_elsewhere(codes, own)[drawn]]
            margins = self._margins(self.rows_[drawn], own, own[drawn])
            self.stretch_, self.shift_ = fit_vector(margins, codes[drawn])

    def _logits(self, X: Features) -> Array:
        return self._margins(self._unit(join(X))) * self.stretch_ + self.shift_

    def _unit(self, matrix: Any) -> Any:
        """Scaled rows, divided by their norm."""
        scaled = apply_scaling(matrix, self.mean_, self.scale_)
        if sparse.issparse(scaled):
            norms = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel())
            return sparse.csr_array(scaled.multiply((1 / np.maximum(norms, 1e-12)).astype(scaled.dtype)[:, None]))
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)

    def _margins(self, rows: Any, own: Array | None = None, asked: Array | None = None) -> Array:
        """Margins of unit rows; training rows of the asked row's own group are no neighbours of it."""
        out = []
        for start in range(0, rows.shape[0], ROWS):
            part = rows[start : start + ROWS]
            near = part @ self.rows_.T
            near = near.toarray() if sparse.issparse(near) else near
            if own is not None and asked is not None:
                near = np.where(own[None, :] == asked[start : start + ROWS, None], -np.inf, near)
            with threadpool_limits(1, "blas"):  # for one face's matrices more threads take longer
                out += Parallel(self.n_jobs, prefer="threads")(delayed(self._local)(row) for row in near)
        return np.array(out).reshape(-1, len(self.classes_))

    def _local(self, near: Array) -> Array:
        """Margins of one face from its similarities to all training rows."""
        margins = np.full(len(self.classes_), -1.0)
        nearest = np.lexsort((np.arange(len(near)), -near))[: self.neighbours]
        nearest = nearest[np.isfinite(near[nearest])]
        present, codes = np.unique(self.codes_[nearest], return_inverse=True)
        if len(present) == 1:
            margins[present] = 1.0
            return margins
        # Rows enter a linear SVM through their products only: the factor of those replaces thousands of columns.
        picked = self.rows_[nearest]
        products = picked @ picked.T
        products = products.toarray() if sparse.issparse(products) else products
        products = products.astype(np.float64) + JITTER * np.eye(len(nearest))
        factor = linalg.cholesky(products, lower=True)
        targets = np.where(codes[:, None] == np.arange(len(present)), 1.0, -1.0)
        loss = SquaredHinge(targets, np.full(len(nearest), float(self.C)))
        solution = minimise(factor, loss, len(present), tol=1e-3)
        face = linalg.solve_triangular(factor, near[nearest].astype(np.float64), lower=True)
        margins[present] = face @ solution.weights + solution.intercept
        return margins
