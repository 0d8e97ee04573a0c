"""Linear classifiers by truncated Newton: all classes at once, so that the work is a few large matrix products."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferkit.model.calibration import log_softmax

Array = NDArray[Any]
CG_STEPS = 60
HALVINGS = 30


class Loss(NamedTuple):
    """Value, slope and what the curvature needs, at the margins ``Z`` of shape (n, n_columns)."""

    value: Array
    slope: Array
    shape: Array


class SquaredHinge:
    """Sum of ``weights * max(0, 1 - target * margin)²``: every column is a problem of its own.

    Parameters
    ----------
    targets : ndarray of shape (n, n_columns)
        1 for rows of the column's class, -1 for others.
    weights : ndarray of shape (n,)
        Weight of each row, C included.
    """

    def __init__(self, targets: Array, weights: Array) -> None:
        self.targets, self.weights = targets, weights[:, None]

    def at(self, Z: Array) -> Loss:
        """Loss at the margins ``Z``."""
        short = np.maximum(1 - self.targets * Z, 0)
        pull = self.weights * short
        return Loss((pull * short).sum(axis=0, dtype=np.float64), -2 * self.targets * pull, short > 0)

    def bend(self, active: Array, V: Array) -> Array:
        """Second derivative times ``V``."""
        return 2 * self.weights * active * V

    def total(self, per_column: Array) -> Array:
        """Sums that belong to one problem: here each column by itself."""
        return per_column


class Logistic:
    """Sum of ``weights * -log(softmax probability of the right class)``: the columns are one problem.

    Parameters
    ----------
    targets : ndarray of shape (n, n_classes)
        1 in the column of the right class, else 0.
    weights : ndarray of shape (n,)
        Weight of each row, C included.
    """

    def __init__(self, targets: Array, weights: Array) -> None:
        self.targets, self.weights = targets, weights[:, None]

    def at(self, Z: Array) -> Loss:
        """Loss at the logits ``Z``."""
        logs = log_softmax(Z)
        chances = np.exp(logs)
        value = -(self.weights * self.targets * logs).sum(axis=0, dtype=np.float64)
        return Loss(self.total(value), self.weights * (chances - self.targets), chances)

    def bend(self, chances: Array, V: Array) -> Array:
        """Second derivative times ``V``."""
        pulled = chances * V
        return self.weights * (pulled - chances * pulled.sum(axis=1, keepdims=True))

    def total(self, per_column: Array) -> Array:
        """Sums that belong to one problem: here all columns."""
        return np.full_like(per_column, per_column.sum())


class Solution(NamedTuple):
    """Weights (n_features, n_columns), intercept (n_columns,), Newton steps, and whether the slope fell enough."""

    weights: Array
    intercept: Array
    steps: int
    converged: bool


def minimise(
    X: Any, loss: Any, columns: int, *, start: Solution | None = None, tol: float = 1e-3, max_iter: int = 100
) -> Solution:
    """Least ``|W|²/2 + loss(X W + b)``; the intercept ``b`` is not drawn to 0.

    Truncated Newton with conjugate gradients and halved steps, as in the primal solver of liblinear, but for all
    columns in one matrix product, in the precision of ``X``.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n, n_features)
    loss : SquaredHinge or Logistic
    columns : int
        Columns of ``W``.
    start : Solution or None, default=None
        Where to begin; by default at 0.
    tol : float, default=1e-3
        Stop when the slope of every problem is this share of the slope at 0.
    max_iter : int, default=100
        Most Newton steps.

    References
    ----------
    Keerthi, DeCoste: A modified finite Newton method for fast solution of large scale linear SVMs (2005).
    Lin, Weng, Keerthi: Trust region Newton method for large-scale logistic regression (2008).
    """
    Xt, total = X.T, loss.total
    W, b = np.zeros((X.shape[1], columns), X.dtype), np.zeros(columns, X.dtype)
    now = loss.at(np.zeros((X.shape[0], columns), X.dtype) + b)
    first = _norm(Xt @ now.slope, now.slope.sum(axis=0), total)
    if start is not None:
        W, b = start.weights.astype(X.dtype), start.intercept.astype(X.dtype)
    Z = X @ W + b
    now = loss.at(Z)
    for steps in range(max_iter):
        gW, gb = W + Xt @ now.slope, now.slope.sum(axis=0)
        steep = _norm(gW, gb, total)
        if (steep <= tol * first).all():
            return Solution(W, b, steps, True)
        # A looser inner solution far from the end, a tighter one near it (Eisenstat and Walker's forcing).
        slack = np.minimum(0.3, np.sqrt(steep / np.maximum(first, 1e-30)))
        dW, db = _newton_step(X, Xt, loss, now.shape, gW, gb, slack)
        dZ = X @ dW + db
        value = total((W * W).sum(axis=0, dtype=np.float64)) / 2 + now.value
        descent = _dot(gW, gb, dW, db, total)
        step = _line_search(W, Z, dW, dZ, loss, value, descent)
        if not step.any():
            return Solution(W, b, steps, False)
        W, b, Z = W + step * dW, b + step * db, Z + step * dZ
        now = loss.at(Z)
    return Solution(W, b, max_iter, False)


def _line_search(W: Array, Z: Array, dW: Array, dZ: Array, loss: Any, value: Array, descent: Array) -> Array:
    """Step of each column that lowers its problem enough (Armijo); 0 where rounding leaves nothing to gain."""
    step = np.ones(W.shape[1], W.dtype)
    for _ in range(HALVINGS):
        moved = W + step * dW
        tried = loss.total((moved * moved).sum(axis=0, dtype=np.float64)) / 2 + loss.at(Z + step * dZ).value
        high = tried > value + 1e-4 * step * descent
        if not high.any():
            return step
        step = np.where(high, step / 2, step).astype(W.dtype)
    return np.where(high, 0, step).astype(W.dtype)


def _newton_step(X: Any, Xt: Any, loss: Any, shape: Array, gW: Array, gb: Array, slack: Array) -> tuple[Array, Array]:
    """Conjugate gradients for the Newton direction, every problem with its own step lengths."""
    total = loss.total
    dW, db = np.zeros_like(gW), np.zeros_like(gb)
    rW, rb = -gW, -gb
    pW, pb = rW, rb
    rr = _dot(rW, rb, rW, rb, total)
    goal = slack**2 * rr
    for _ in range(CG_STEPS):
        bent = loss.bend(shape, X @ pW + pb)
        hW, hb = pW + Xt @ bent, bent.sum(axis=0)
        curve = _dot(pW, pb, hW, hb, total)
        open_ = (rr > goal) & (curve > 0)
        if not open_.any():
            break
        rate = np.where(open_, rr / np.where(open_, curve, 1), 0).astype(gW.dtype)
        dW, db = dW + rate * pW, db + rate * pb
        rW, rb = rW - rate * hW, rb - rate * hb
        fresh = _dot(rW, rb, rW, rb, total)
        turn = np.where(open_, fresh / np.where(rr > 0, rr, 1), 0).astype(gW.dtype)
        pW, pb, rr = rW + turn * pW, rb + turn * pb, fresh
    return dW, db


def _dot(aW: Array, ab: Array, cW: Array, cb: Array, total: Any) -> Array:
    inner: Array = total((aW * cW).sum(axis=0, dtype=np.float64) + (ab * cb).astype(np.float64))
    return inner


def _norm(gW: Array, gb: Array, total: Any) -> Array:
    return np.sqrt(_dot(gW, gb, gW, gb, total))
