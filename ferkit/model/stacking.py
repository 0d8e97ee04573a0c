"""Stacking: a model for each family or for several, and a fusion that learns from margins of rows new to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ferkit.errors import InputError, check_fitted
from ferkit.model.base import Slopes, choice, positive
from ferkit.model.bases import (
    FamilyModels,
    base_slopes,
    column_labels,
    fit_base,
    margins,
    members,
    not_one_a_class,
    passed,
)
from ferkit.model.calibration import softmax
from ferkit.model.concatenation import Concatenation
from ferkit.model.folds import fold_of, out_of_fold
from ferkit.model.fusion import FULL, WEIGHTS, FusionHead, LinearFusion
from ferkit.model.linear import LinearSVM
from ferkit.model.scaling import fit_scaling
from ferkit.records import Features

Array = NDArray[Any]


class Stacking(FamilyModels):
    """Late fusion: the margins of each base are brought to one spread and fused by a second model.

    The fusion never learns from margins of rows that a base was fitted on: either ``fit`` is told which rows fit the
    fusion only, or out-of-fold margins are used. The one exception is a class whose rows all lie in one group: without
    them no base would know it, so their margins come from the bases fitted on all rows. Bases are stacked uncalibrated;
    only the fused logits are calibrated.

    Parameters
    ----------
    bases : dict of str to classifier or "passthrough", or None, default=None
        Model of each family; a family that is not named gets ``LinearSVM()``. A name such as "hog+lbp" gives several
        families to one model. One of ferkit's gets them as ``Features`` (``Concatenation`` keeps them in balance), any
        other, also a search or a pipeline around one of ferkit's, as one matrix. "passthrough" takes a family's
        numbers as they are, for the logits of a network, each class by the name of its column; columns that are not
        one for each class take part through the fusion's matrix only. ``calibrate`` of a base, and of what a
        ``Concatenation`` gives its matrix to, is switched off.
    final : {"linear", "head"} or classifier, default="linear"
        ``LinearFusion``, ``FusionHead``, or a classifier of your own with ``decision_function``.
    weights : {"full", "family", "equal"}, default="full"
        For the linear fusion: whether every margin speaks for every class, one weight a base, or one for all.
    bias : bool, default=True
        For the linear fusion: whether it adds a bias for each class to the weighted margins.
    folds : int, default=5
        Folds for out-of-fold margins, where ``fit`` gets no ``fusion`` mask.
    seed : int, default=0
        For folds and fusion.
    labels : dict of str to str or None, or None, default=None
        New names of labels that a network passed through may know by another: old name to new one, the same for labels
        that were merged, None for one that was dropped. A recipe gives its own ``labels``.

    Attributes
    ----------
    bases_ : dict of str to classifier or "passthrough"
        Fitted bases.
    means_ : dict of str to ndarray of shape (n_columns,)
        Mean numbers of each family that shares a base, on the base's rows; 0 for a sparse family.
    final_ : classifier
        Fitted fusion.
    margin_mean_, margin_scale_ : ndarray of shape (n_margins,)
        Mean of each margin on the fusion rows, and factor, one for each base.
    margin_widths_ : dict of str to int
        Margins of each base.
    fusion_margins_ : Features
        Margins of the rows that fitted the fusion, as long as the object lives: files and copies lack them.
    n_base_rows_, n_fusion_rows_ : int
        Rows that fitted the bases and the fusion.

    References
    ----------
    Wolpert: Stacked generalization (1992).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> data, y = load_iris(return_X_y=True)
    >>> X = Features({"sepal": data[:, :2], "petal": data[:, 2:]})
    >>> model = Stacking().fit(X, y)
    >>> parts = model.contributions(X)
    >>> parts.shape, bool(np.allclose(parts.sum(axis=1) + model.bias_, model.decision_function(X)))
    ((150, 2, 3), True)
    """

    bias: bool = True  # what models have that were saved without it

    def __init__(
        self,
        bases: dict[str, Any] | None = None,
        *,
        final: Any = "linear",
        weights: str = "full",
        bias: bool = True,
        folds: int = 5,
        seed: int = 0,
        labels: dict[str, str | None] | None = None,
    ) -> None:
        self.bases = bases
        self.final = final
        self.weights = weights
        self.bias = bias
        self.folds = folds
        self.seed = seed
        self.labels = labels

    def fit(self, X: Any, y: Any, *, fusion: Any = None, groups: Any = None) -> Self:
        """Fit the bases and the fusion.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)
            Numbers of each face; a plain matrix is one family.
        y : array-like of shape (n,)
            Labels.
        fusion : array-like of shape (n,), dtype bool, or None, default=None
            Rows that fit the fusion only; the others fit the bases only. None: margins are computed out of fold, then
            the bases are fitted again on all rows. Numbers passed through are used as they are: a network that was
            fitted on rows of X needs the mask.
        groups : array-like of shape (n,) or None, default=None
            Rows of one group stay on one side of every split.
        """
        return self._fit(X, y, groups, fusion)

    @property
    def bias_(self) -> Array:
        """Fused logits of a face of which nothing is known; shape (n_classes,).

        Its margins are the mean of the fusion rows; where families share a base, what that says of their mean numbers.
        """
        check_fitted(self, "final_")
        said = {name: np.zeros((1, width)) for name, width in self.margin_widths_.items()}
        for name in (name for name in said if name not in self.families_):
            means = Features({family: self.means_[family][None] for family in members(name, self.families_)})
            said[name] = self._said_scaled(name, self._together(name, means))
        return self._fused(said)[0]

    def contributions(self, X: Any) -> Array:
        """What each family adds to the fused logits.

        The Shapley value of each family, where a family that is left out stands at its mean margins or, if it shares a
        base with others, at its mean numbers. For a linear fusion and a base of its own that is the family's own term;
        for others it is the mean over all orders in which families can come in.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_families, n_classes)
            In the order of ``families_``. Summed over families and with ``bias_`` added it is the logits, whose softmax
            is ``predict_proba``: ``decision_function`` for three or more classes.

        References
        ----------
        Shapley: A value for n-person games (1953).
        """
        check_fitted(self, "final_")
        X = self._check(X, fitting=False)
        silent = {name: np.zeros((len(X), width)) for name, width in self.margin_widths_.items()}
        return self._shapley(X, self._said_scaled, silent, self._fused)

    def base_margins(self, X: Any) -> Features:
        """What each base says by itself.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features)

        Returns
        -------
        Features
            By base: uncalibrated margins, or what is passed through; columns follow ``classes_`` where there is one a
            class.
        """
        check_fitted(self, "final_")
        return self._margins(self._check(X, fitting=False))

    def partial_proba(self, found: Features, bases: Sequence[str]) -> Array:
        """Probabilities when only some bases speak and the others stand at their mean margins.

        Parameters
        ----------
        found : Features
            What ``base_margins`` gives.
        bases : sequence of str
            Names of the bases that speak.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        check_fitted(self, "final_")
        if unknown := sorted(set(bases) - set(found.blocks)):
            raise InputError(f"Got bases {unknown}, expected some of {list(found.blocks)}.")
        scaled = self._scaled(found).blocks
        return softmax(self._fused({name: block if name in bases else block * 0 for name, block in scaled.items()}))

    def cross_fitted(self, X: Any, y: Any, groups: Any = None, folds: int = 5) -> Array:
        """Probabilities of the fusion rows from fusions that were fitted on the other fusion rows.

        The bases stay as they are; scaling, fusion and calibration are fitted again for each fold. These are the
        probabilities to report for the rows that fitted the fusion.

        Parameters
        ----------
        X : Features, or array-like or CSR matrix of shape (n, n_features), or None
            The fusion rows; None for those of ``fit``, in their order, whose margins are known.
        y : array-like of shape (n,)
            Their labels.
        groups : array-like of shape (n,) or None, default=None
            Rows of one group (near-duplicates) stay in one fold. Of two groups each is answered by a fusion of the
            other, which is calibrated on single rows.
        folds : int, default=5
            How many.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        check_fitted(self, "final_")
        positive("folds", folds, whole=True, least=2)
        found = self._known_margins() if X is None else self._margins(self._check(X, fitting=False))
        y = np.asarray(y)
        unknown = sorted(set(y.tolist()) - set(self.classes_.tolist()))
        if unknown or len(y) != len(found):
            raise InputError(f"Got {len(y)} labels, unknown ones {unknown}, expected {len(found)} known labels.")
        codes = np.searchsorted(self.classes_, y)
        own = None if groups is None else np.asarray(groups)

        def logits(train: Array, test: Array) -> Array:
            self_ = clone(self)
            self_.classes_, self_.families_ = self.classes_, self.families_
            groups = None if own is None or len(np.unique(own[train])) < 2 else own[train]  # of two, one is left
            self_._fuse(found[train], y[train], groups)
            return self_._fused(self_._scaled(found[test]).blocks)

        fold = fold_of(codes, own, folds, self.seed)
        return softmax(out_of_fold(codes, fold, logits, len(self.classes_))[0])

    def _learn(self, X: Features, codes: Array, groups: Any, fusion: Any) -> None:
        choice("weights", self.weights, WEIGHTS)
        positive("folds", self.folds, whole=True, least=2)
        y = self.classes_[codes]
        bases = self._bases(X, LinearSVM())
        self.bases_ = {name: _uncalibrated(base) for name, base in bases.items()}
        self.orders_ = self._orders(X)
        self._check_one_weight_a_family(X)
        if fusion is None:
            rows = np.ones(len(codes), bool)
            found = self._cross_fit(X, codes, groups) if len(self.orders_) < len(bases) else self._margins(X)
        else:
            rows = self._mask(fusion, codes)
            self._fit_bases(X, y, groups, ~rows)
            found = self._margins(X[rows])
        all_through = len(self.orders_) == len(bases)
        self.n_base_rows_ = 0 if all_through else len(codes) if fusion is None else int((~rows).sum())
        self.n_fusion_rows_ = int(rows.sum())
        self._fuse(found, y[rows], None if groups is None else groups[rows])
        self.fusion_margins_ = found

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        state.pop("fusion_margins_", None)
        return state

    def _known_margins(self) -> Features:
        if not hasattr(self, "fusion_margins_"):
            raise InputError("Got X=None for a model from a file or a copy, expected the fusion rows.")
        return self.fusion_margins_

    def _logits(self, X: Features) -> Array:
        return self._fused(self._scaled(self._margins(X)).blocks)

    def _fused(self, scaled: Mapping[str, Array]) -> Array:
        """Logits from the scaled margins of all bases."""
        return margins(self.final_, Features(scaled), self.classes_)

    def _slopes(self, X: Features, directions: Array) -> dict[str, Slopes]:
        fused = base_slopes(self.final_, self._scaled(self._margins(X)), directions, self.classes_)
        found = {}
        for name, own in self._columns().items() if fused else ():
            along = fused[name].values * self.margin_scale_[own]
            for family, slopes in self._slopes_of(X, name, along, self.margin_mean_[own]).items():
                found[family] = slopes._replace(exact=slopes.exact and fused[name].exact)
        return {family: found[family] for family in self.families_ if family in found}

    def _fit_bases(self, X: Features, y: Array, groups: Any, rows: Array) -> None:
        own, chosen = None if groups is None else groups[rows], _span(rows)
        for name, base in self.bases_.items():
            if name not in self.orders_:
                fit_base(base, self._read(X, name)[chosen], y[rows], own)
        self._learn_means(X, chosen)

    def _said(self, name: str, block: Any) -> Array:
        """What a base says of what it reads."""
        if name in self.orders_:
            return passed(block, self.orders_[name])
        return margins(self.bases_[name], block, self.classes_)

    def _said_scaled(self, name: str, block: Any) -> Array:
        return np.asarray(self._scaled(Features({name: self._said(name, block)}))[name])

    def _margins(self, X: Features) -> Features:
        """What each fitted base says."""
        return self._named_margins({name: self._said(name, self._read(X, name)) for name in self.bases_}, X)

    def _named_margins(self, found: dict[str, Array], X: Features) -> Features:
        """Margins under the names of their classes, or of the columns that are passed through as they are."""
        names = {}
        for name, block in found.items():
            as_it_is = self.orders_.get(name, ()) is None
            own = column_labels(X, name) or range(block.shape[1]) if as_it_is else self.classes_
            names[name] = [f"{name}/{label}" for label in own]
        return Features(found, names)

    def _cross_fit(self, X: Features, codes: Array, groups: Any) -> Features:
        """Fit the bases on all rows; margins of each from such that were fitted on other folds."""
        y, fold = self.classes_[codes], fold_of(codes, groups, self.folds, self.seed)
        found = {}
        for name, base in self.bases_.items():
            block = self._read(X, name)
            if name in self.orders_:
                found[name] = passed(block, self.orders_[name])
                continue

            def answer(train: Array, test: Array, base: Any = base, block: Any = block) -> Array:
                own = None if groups is None else groups[train]
                return margins(fit_base(clone(base), block[train], y[train], own), block[test], self.classes_)

            found[name], known = out_of_fold(codes, fold, answer, len(self.classes_))
            fit_base(base, block, y, groups)
            if not known.all():
                alone = np.flatnonzero(~known)
                found[name][alone] = margins(base, block[alone], self.classes_)
        self._learn_means(X)
        return self._named_margins(found, X)

    def _fuse(self, found: Features, y: Array, groups: Any) -> None:
        """Fit z-scores and fusion on margins."""
        self.margin_widths_ = {name: block.shape[1] for name, block in found.blocks.items()}
        scalings = [fit_scaling(block, standardize=False) for block in found.blocks.values()]
        self.margin_mean_ = np.concatenate([mean for mean, _ in scalings])
        self.margin_scale_ = np.concatenate([factor * np.sqrt(len(factor)) for _, factor in scalings])
        centred = self.bias or self.final != "linear"
        self.final_ = fit_base(self._final(), self._scaled(found, centred), y, groups)
        if not centred:  # the same logits, from margins less their mean
            self.final_.intercept_ = self.final_.coef_ @ (self.margin_mean_ * self.margin_scale_)

    def _final(self) -> Any:
        if self.final == "linear":
            return LinearFusion(self.weights, bias=self.bias, seed=self.seed)
        if self.final == "head":
            return FusionHead(seed=self.seed)
        if not hasattr(self.final, "fit"):
            raise InputError(f"Got final={self.final!r}, expected 'linear', 'head' or a classifier.")
        return clone(self.final)

    def _columns(self) -> dict[str, slice]:
        """Margins of each base among all."""
        ends = np.cumsum([0, *self.margin_widths_.values()]).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.margin_widths_, ends, ends[1:], strict=False)}

    def _scaled(self, found: Features, centred: bool = True) -> Features:
        columns, blocks = self._columns(), {}
        for name, block in found.blocks.items():
            own = columns[name]
            blocks[name] = (block - centred * self.margin_mean_[own]) * self.margin_scale_[own]
        return Features(blocks, found.names)

    def _check_one_weight_a_family(self, X: Features) -> None:
        """Refuse, before any base is fitted, columns that one weight a family cannot use."""
        for family, order in self.orders_.items():
            if order is None and self.final == "linear" and self.weights != "full":
                raise not_one_a_class(X, family, self.classes_, FULL)

    def _mask(self, fusion: Any, codes: Array) -> Array:
        """Checked mask of fusion rows: both parts must hold every class."""
        mask = np.asarray(fusion)
        if mask.shape != codes.shape or mask.dtype != bool:
            raise InputError(f"Got fusion of {mask.dtype} {mask.shape}, expected bool {codes.shape}, one for each row.")
        parts = {"fusion": mask} if len(self.orders_) == len(self.bases_) else {"fusion": mask, "base": ~mask}
        for part, rows in parts.items():
            missing = np.setdiff1d(np.arange(len(self.classes_)), codes[rows])
            if len(missing):
                labels = self.classes_[missing].tolist()
                raise InputError(f"Got no {part} rows of {labels}, expected rows of every class in both parts.")
        return mask


def _uncalibrated(base: Any) -> Any:
    """The same base, whose margins are not calibrated."""
    if isinstance(base, Concatenation):
        return base.set_params(estimator=_uncalibrated(base._inner()))
    if hasattr(base, "get_params") and "calibrate" in base.get_params(deep=False):
        base.set_params(calibrate=False)
    return base


def _span(rows: Array) -> Any:
    """Rows of a mask, as a slice where they lie side by side: wide families are then not copied."""
    chosen = np.flatnonzero(rows)
    side_by_side = len(chosen) > 0 and chosen[-1] - chosen[0] < len(chosen)
    return slice(chosen[0], chosen[-1] + 1) if side_by_side else chosen
