"""Calibration of logits: temperature and vector scaling, and a change of class shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ferkit.errors import InputError

Array = NDArray[Any]
STEEPEST = 1e3


def log_softmax(logits: Array) -> Array:
    """Logarithm of the softmax of each row.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)

    Returns
    -------
    ndarray of shape (n, n_classes)
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: Array) -> Array:
    """Probabilities from logits, row by row.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)

    Returns
    -------
    ndarray of shape (n, n_classes)
        Rows sum to 1.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mean_log_loss(logits: Array, codes: Array, weights: Array | None = None) -> float:
    """Mean negative log-probability of the right class.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
    codes : ndarray of shape (n,), dtype int
        Column of the right class.
    weights : ndarray of shape (n,) or None, default=None
        Weight of each row.
    """
    losses = -log_softmax(np.asarray(logits, dtype=np.float64))[np.arange(len(codes)), codes]
    return float(np.average(losses, weights=weights))


def fit_temperature(logits: Array, codes: Array, weights: Array | None = None, prior: float = 1.0) -> float:
    """Temperature to divide logits by, so that their softmax has the least log loss.

    Few rows that are all right do not prove certainty: for each class, ``prior`` rows more are added that tell only the
    shares of the classes. So ``n`` rows, evenly of ``k`` classes, let probabilities rise to about
    ``(n + 1) / (n + k)``; thousands hardly feel it. Columns of classes without rows are left out.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Logits of rows that the model was not fitted on.
    codes : ndarray of shape (n,), dtype int
        Column of the right class.
    weights : ndarray of shape (n,) or None, default=None
        Weight of each row.
    prior : float, default=1.0
        Rows that are added for each class.

    Returns
    -------
    float
        Between 0.001 and 1000; 1 where fewer than two classes have rows.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks (2017).
    Platt: Probabilistic outputs for support vector machines (1999), for added rows.

    Examples
    --------
    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> round(4 / fit_temperature(logits, np.array([0, 0, 0, 1])), 3)  # logit of 3 in 4
    1.099
    >>> round(4 / fit_temperature(np.eye(2) * 4, np.array([0, 1])), 3)  # both are right: the same, and not more
    1.099
    """
    present, places = np.unique(codes, return_inverse=True)
    if len(present) < 2:
        return 1.0
    targets = _targets(places, weights, prior)
    logits, bound = np.asarray(logits, dtype=np.float64)[:, present], np.log(STEEPEST)

    def cost(log: float) -> float:
        losses = -(targets * log_softmax(logits / np.exp(log))).sum(axis=1)
        return float(np.average(losses, weights=weights))

    found = optimize.minimize_scalar(cost, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def _targets(codes: Array, weights: Array | None, prior: float) -> Array:
    """What each row says of each class: its own one, and a little of the shares of all, which stay as they are."""
    n, k = len(codes), int(codes.max()) + 1
    right = (codes[:, None] == np.arange(k)).astype(np.float64)
    chance = prior * k / (n + prior * k)
    return np.asarray((1 - chance) * right + chance * np.average(right, axis=0, weights=weights))


def fit_vector(logits: Array, codes: Array, weights: Array | None = None, prior: float = 1.0) -> tuple[Array, Array]:
    """Scale and shift of each class's logit, so that the softmax has the least log loss.

    Rows are added as in ``fit_temperature``. Log scales are drawn to their mean and shifts to 0, as if by a handful of
    rows: it matters only where a class has a few rows. A class without rows has the mean scale and no shift.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Logits of rows that the model was not fitted on.
    codes : ndarray of shape (n,), dtype int
        Column of the right class.
    weights : ndarray of shape (n,) or None, default=None
        Weight of each row.
    prior : float, default=1.0
        Rows that are added for each class, and strength of the pull.

    Returns
    -------
    scale : ndarray of shape (n_classes,), dtype float64
        Above 0.
    shift : ndarray of shape (n_classes,), dtype float64
        Calibrated logits are ``logits * scale + shift``.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks (2017).
    """
    scales, shifts = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    present, places = np.unique(codes, return_inverse=True)
    if len(present) < 2:
        return scales, shifts
    targets = _targets(places, weights, prior)
    temperature = fit_temperature(logits, codes, weights, prior)
    logits = np.asarray(logits, dtype=np.float64)[:, present]
    n, k = logits.shape
    weights = np.full(n, 1.0) if weights is None else weights * (n / weights.sum())

    def cost(params: Array) -> tuple[float, Array]:
        logs, shift = params[:k], params[k:]
        scale = np.exp(logs)
        predicted = log_softmax(logits * scale + shift)
        uneven = logs - logs.mean()
        error = (np.exp(predicted) - targets) * weights[:, None]
        slope_logs = (error * logits).sum(axis=0) * scale + prior * uneven
        value = -(predicted * targets).sum(axis=1) @ weights + prior / 2 * (uneven @ uneven + shift @ shift)
        return value / n, np.concatenate([slope_logs, error.sum(axis=0) + prior * shift]) / n

    start = np.concatenate([np.full(k, -np.log(temperature)), np.zeros(k)])
    bound = np.log(STEEPEST)
    bounds = [(-bound, bound)] * k + [(None, None)] * k
    options = {"maxiter": 500, "gtol": 1e-8}
    found = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    logs, shift = found.x[:k], found.x[k:]
    scales[:] = np.exp(logs.mean())
    scales[present], shifts[present] = np.exp(logs), shift - shift.mean()
    return scales, shifts


def correct_priors(probabilities: Array, fitted: Array, wanted: Array) -> Array:
    """Probabilities for other class shares than the model was fitted with, for instance to undo class weights.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        What the model says.
    fitted : ndarray of shape (n_classes,)
        Class shares that it was fitted with, weights included: equal shares for ``class_weight="balanced"``.
    wanted : ndarray of shape (n_classes,)
        Class shares where it is used.

    Returns
    -------
    ndarray of shape (n, n_classes)

    References
    ----------
    Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities (2002).

    Examples
    --------
    >>> correct_priors(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.9, 0.1])).round(3).tolist()
    [[0.9, 0.1]]
    """
    fitted, wanted = np.asarray(fitted, dtype=float), np.asarray(wanted, dtype=float)
    for name, shares in (("fitted", fitted), ("wanted", wanted)):
        if shares.shape != probabilities.shape[1:] or not (shares >= 0).all() or shares.sum() <= 0:
            raise InputError(f"Got {name}={shares.tolist()}, expected {probabilities.shape[1]} shares of 0 or more.")
    if (fitted == 0).any():
        raise InputError(f"Got fitted={fitted.tolist()}, expected shares above 0.")
    weighted = probabilities * ((wanted / wanted.sum()) / (fitted / fitted.sum()))
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))
