"""What fuses the margins of several families: a linear fusion and a small neural head."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sklearn.exceptions import ConvergenceWarning

from ferkit.model.base import FaceClassifier, Slopes, by_family, choice, join, positive
from ferkit.model.bases import not_one_a_class, one_a_class
from ferkit.model.calibration import fit_temperature, log_softmax, mean_log_loss
from ferkit.model.folds import fold_of, known_elsewhere, out_of_fold
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.records import Features

Array = NDArray[Any]
WEIGHTS = ("full", "family", "equal")
PULLS = (np.inf, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
RIDGE = 1e-4
FULL = "take weights='full', or drop the labels that it lacks."


class LinearFusion(FaceClassifier):
    """Multinomial logistic regression on margins, drawn towards one weight a family.

    The logit of a class is the sum over families of ``weight * margin of that class``, plus, for ``weights="full"``, a
    matrix that lets every margin speak for every class, plus, unless told otherwise, a bias. The matrix is drawn to 0
    with a strength chosen by cross-validation, so few rows end near one weight a family and many rows use the whole
    matrix. A family whose columns are not one for each class, by their number or their names, takes part through its
    matrix only.

    Parameters
    ----------
    weights : {"full", "family", "equal"}, default="full"
        One weight a family and a matrix, only one weight of 0 or more a family, or the same weight for all: the sum
        rule, which has nothing to learn but how sure it is. Families then count by the spread of their margins.
    pull : float or "auto", default="auto"
        Strength that draws the matrix to 0, against the mean log loss; "auto" tries several.
    bias : bool, default=True
        Whether each class gets a bias: what these rows have more of is then said more often of all others, too.
    folds : int, default=5
        Folds that choose the strength and whose held-out logits fit the temperature.
    calibrate : bool, default=True
        Divide the logits by a temperature fitted on held-out logits.
    seed : int, default=0
        For the folds.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features)
        Logits are ``X @ coef_.T + intercept_``.
    intercept_ : ndarray of shape (n_classes,)
    family_weights_ : dict of str to float
        Weight of each family whose columns are one for each class.
    pull_ : float
        Strength used.
    temperature_ : float
        Temperature, already in ``coef_`` and ``intercept_``.

    References
    ----------
    Wolpert: Stacked generalization (1992).
    Kittler, Hatef, Duin, Matas: On combining classifiers (1998), for the sum rule.
    """

    def __init__(
        self,
        weights: str = "full",
        *,
        pull: float | str = "auto",
        bias: bool = True,
        folds: int = 5,
        calibrate: bool = True,
        seed: int = 0,
    ) -> None:
        self.weights = weights
        self.pull = pull
        self.bias = bias
        self.folds = folds
        self.calibrate = calibrate
        self.seed = seed

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        self._check_params()
        k = len(self.classes_)
        shared = [name for name in self.families_ if one_a_class(X, name, self.classes_)]
        if self.weights != "full" and (alone := [name for name in self.families_ if name not in shared]):
            raise not_one_a_class(X, alone[0], self.classes_, FULL)
        matrix = np.asarray(X, dtype=np.float64)
        blocks = np.stack([matrix[:, X.families[name]] for name in shared]) if shared else np.zeros((0, len(codes), k))
        if self.weights == "equal":
            blocks = blocks.mean(axis=0, keepdims=True)
        pulls = self._pulls(bool(shared))
        self.pull_, self.temperature_ = pulls[0], 1.0
        if self.calibrate or len(pulls) > 1:
            fold = fold_of(codes, groups, self.folds, self.seed)
            known = known_elsewhere(codes, fold)
            self.pull_, held_out = _choose(matrix, blocks, codes, k, self.bias, fold, known, pulls)
            if self.calibrate:
                self.temperature_ = fit_temperature(held_out[known], codes[known])
        own, coef, bias = _fit(matrix, blocks, codes, k, self.bias, self.pull_)
        if self.weights == "equal":
            own = np.repeat(own, len(shared)) / len(shared)
        coef = coef.copy()
        for name, weight in zip(shared, own, strict=True):
            coef[X.families[name]] += weight * np.eye(k)
        self.coef_, self.intercept_ = coef.T / self.temperature_, (bias - bias.mean()) / self.temperature_
        self.family_weights_ = {name: float(w / self.temperature_) for name, w in zip(shared, own, strict=True)}

    def _logits(self, X: Features) -> Array:
        return np.asarray(join(X) @ self.coef_.T + self.intercept_)

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        return by_family(X, directions @ self.coef_, np.zeros(self.coef_.shape[1]))

    def _pulls(self, any_shared: bool) -> list[float]:
        """Strengths to try, strongest first; an infinite one leaves the matrix out."""
        if self.weights != "full":
            return [np.inf]
        if self.pull != "auto":
            return [float(self.pull)]
        return [pull for pull in PULLS if any_shared or np.isfinite(pull)]

    def _check_params(self) -> None:
        choice("weights", self.weights, WEIGHTS)
        positive("folds", self.folds, whole=True, least=2)
        if self.pull != "auto":
            positive("pull", self.pull)


class Weights(NamedTuple):
    """Family weights (n_families,), matrix (n_features, n_classes) and bias (n_classes,)."""

    own: Array
    coef: Array
    bias: Array


def _choose(
    matrix: Array, blocks: Array, codes: Array, k: int, bias: bool, fold: Array, known: Array, pulls: list[float]
) -> tuple[float, Array]:
    """Strength with the least held-out log loss on the known rows, and the held-out logits of all rows under it.

    Strengths come strongest first, each fit starts from the one before, and the search ends when the loss rises.
    """
    best, least, kept = pulls[0], np.inf, np.empty((0, k))
    starts: dict[int, Weights] = {}
    for pull in pulls:
        logits = np.empty((len(codes), k))
        for held_out in range(int(fold.max()) + 1):
            test, train = fold == held_out, fold != held_out
            fitted = _fit(matrix[train], blocks[:, train], codes[train], k, bias, pull, starts.get(held_out))
            starts[held_out] = fitted
            logits[test] = _mix(matrix[test], blocks[:, test], fitted)
        loss = mean_log_loss(logits[known], codes[known]) if known.any() else 0.0
        if loss >= least:
            break
        best, least, kept = pull, loss, logits
    return best, kept


def _mix(matrix: Array, blocks: Array, weights: Weights) -> Array:
    return np.asarray(np.tensordot(weights.own, blocks, axes=1) + matrix @ weights.coef + weights.bias)


def _fit(
    matrix: Array, blocks: Array, codes: Array, k: int, bias: bool, pull: float, start: Weights | None = None
) -> Weights:
    """Least mean log loss with the matrix drawn to 0; an infinite pull leaves it out."""
    families, (n, d) = len(blocks), matrix.shape
    right = (codes[:, None] == np.arange(k)).astype(np.float64)
    free = bool(np.isfinite(pull))

    def unpack(params: Array) -> Weights:
        coef = params[families + k :].reshape(d, k) if free else np.zeros((d, k))
        return Weights(params[:families], coef, params[families : families + k])

    def cost(params: Array) -> tuple[float, Array]:
        weights = unpack(params)
        logs = log_softmax(_mix(matrix, blocks, weights))
        error = (np.exp(logs) - right) / n
        value = -(logs * right).sum() / n + RIDGE / 2 * float(weights.own @ weights.own)
        slopes = [np.tensordot(blocks, error, axes=2) + RIDGE * weights.own, error.sum(axis=0)]
        if free:
            value += pull / 2 * float((weights.coef * weights.coef).sum())
            slopes.append((matrix.T @ error + pull * weights.coef).ravel())
        return value, np.concatenate(slopes)

    start = start or Weights(np.full(families, 1.0 / max(families, 1)), np.zeros((d, k)), np.zeros(k))
    params = np.concatenate([start.own, start.bias, *([start.coef.ravel()] if free else [])])
    biases = (None, None) if bias else (0.0, 0.0)
    bounds = [(0.0, None)] * families + [biases] * k + [(None, None)] * (len(params) - families - k)
    options = {"maxiter": 500, "gtol": 1e-6, "ftol": 1e-11}
    return unpack(optimize.minimize(cost, params, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)


class FusionHead(FaceClassifier):
    """Small neural network with one hidden layer, as a fusion of margins or over a matrix of reduced features.

    Several networks that differ in their random start are fitted with scikit-learn's ``MLPClassifier`` for a fixed
    number of epochs and their logits are averaged; what is kept is plain arrays.

    Parameters
    ----------
    hidden : int, default=32
        Hidden units (rectified linear) of each network.
    epochs : int, default=60
        Passes over the rows.
    alpha : float, default=0.01
        Strength that draws the weights to 0.
    learning_rate : float, default=0.001
        Step of Adam.
    batch_size : int, default=128
        Rows of a step.
    members : int, default=3
        Networks averaged.
    calibrate : bool, default=True
        Divide the logits by a temperature fitted on held-out logits.
    calibration_folds : int, default=3
        Folds for that.
    seed : int, default=0
        For starts, order and folds.

    Attributes
    ----------
    hidden_weights_, hidden_bias_ : ndarray of shape (n_features, members * hidden) and (members * hidden,)
    out_weights_, out_bias_ : ndarray of shape (members * hidden, n_classes) and (n_classes,)
        Logits are ``max(0, (X - mean_) * scale_ @ hidden_weights_ + hidden_bias_) @ out_weights_ + out_bias_``.
    mean_, scale_ : ndarray of shape (n_features,)
    temperature_ : float
        Temperature, already in ``out_weights_`` and ``out_bias_``.
    """

    def __init__(
        self,
        hidden: int = 32,
        *,
        epochs: int = 60,
        alpha: float = 0.01,
        learning_rate: float = 0.001,
        batch_size: int = 128,
        members: int = 3,
        calibrate: bool = True,
        calibration_folds: int = 3,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.members = members
        self.calibrate = calibrate
        self.calibration_folds = calibration_folds
        self.seed = seed

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        self._check_params()
        matrix = join(X)
        self.mean_, self.scale_ = fit_scaling(matrix, standardize=True)
        # fit_scaling gives rows a norm of 1; a network wants columns of deviation 1.
        self.scale_ = self.scale_ * np.sqrt(int(np.count_nonzero(self.scale_)) or 1)
        scaled = apply_scaling(matrix, self.mean_, self.scale_)
        self.temperature_ = 1.0
        if self.calibrate:
            fold = fold_of(codes, groups, self.calibration_folds, self.seed)
            held_out, known = out_of_fold(
                codes, fold, lambda a, b: _forward(scaled[b], self._train(scaled[a], codes[a])), len(self.classes_)
            )
            self.temperature_ = fit_temperature(held_out[known], codes[known])
        layers = self._train(scaled, codes)
        self.hidden_weights_, self.hidden_bias_ = layers[:2]
        self.out_weights_, self.out_bias_ = (layer / self.temperature_ for layer in layers[2:])

    def _logits(self, X: Features) -> Array:
        layers = [self.hidden_weights_, self.hidden_bias_, self.out_weights_, self.out_bias_]
        return _forward(apply_scaling(join(X), self.mean_, self.scale_), layers)

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        reached = np.asarray(apply_scaling(join(X), self.mean_, self.scale_) @ self.hidden_weights_)
        # On the straight way from the mean face a hidden unit is awake for one stretch: its share is the mean slope.
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.clip(-self.hidden_bias_ / reached, 0, 1)
        awake = np.where(reached > 0, 1 - turn, turn)
        awake = np.where(reached == 0, self.hidden_bias_ > 0, awake)
        values = (directions @ self.out_weights_.T * awake) @ self.hidden_weights_.T * self.scale_
        return by_family(X, values, self.mean_, exact=False)

    def _train(self, X: Any, codes: Array) -> list[Array]:
        """Layers of all networks side by side."""
        fitted = [self._member(X, codes, self.seed + i) for i in range(self.members)]
        wide = [np.concatenate([layers[i] for layers in fitted], axis=-1) for i in (0, 1)]
        deep = np.concatenate([layers[2] for layers in fitted]) / self.members
        return [*wide, deep, np.mean([layers[3] for layers in fitted], axis=0)]

    def _member(self, X: Any, codes: Array, seed: int) -> list[Array]:
        from sklearn.neural_network import MLPClassifier  # here, because it loads half of scikit-learn

        network = MLPClassifier(
            (self.hidden,),
            alpha=self.alpha,
            batch_size=min(self.batch_size, X.shape[0]),
            learning_rate_init=self.learning_rate,
            max_iter=self.epochs,
            n_iter_no_change=self.epochs + 1,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # The number of epochs is fixed on purpose.
            network.fit(X, codes)
        (first, second), (bias, out) = network.coefs_, network.intercepts_
        if second.shape[1] == 1:  # Two classes share one logistic output.
            second, out = second * [-0.5, 0.5], out * [-0.5, 0.5]
        return [first, bias, second, out]

    def _check_params(self) -> None:
        for name in ("hidden", "epochs", "batch_size", "members"):
            positive(name, getattr(self, name), whole=True, least=1)
        positive("calibration_folds", self.calibration_folds, whole=True, least=2)
        positive("learning_rate", self.learning_rate)
        if self.alpha != 0:
            positive("alpha", self.alpha)


def _forward(X: Any, layers: list[Array]) -> Array:
    hidden: Array = np.maximum(np.asarray(X @ layers[0]) + layers[1], 0)
    return np.asarray(hidden @ layers[2] + layers[3])
