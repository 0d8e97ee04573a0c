"""Base models by family: what stacking and voting share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from inspect import signature
from itertools import combinations
from math import comb
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone

from ferkit.errors import InputError
from ferkit.labels import canonical, mapped
from ferkit.model.base import FaceClassifier, Slopes
from ferkit.model.scaling import fit_scaling
from ferkit.records import Features

Array = NDArray[Any]
PASSTHROUGH = "passthrough"


class FamilyModels(FaceClassifier):
    """Classifier with one base model for each family, or for several that its name joins by "+", as in ``hog+lbp``.

    Bases are given in the parameter ``bases``. Parameters of one are set by its name, as in ``hog__C``.
    """

    bases: dict[str, Any] | None
    labels: dict[str, str | None] | None = None  # what models have that were saved without it
    bases_: dict[str, Any]
    means_: dict[str, Array]
    orders_: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the bases as ``base__parameter``."""
        params: dict[str, Any] = super().get_params(deep=deep)
        for base_name, base in self._named().items() if deep else ():
            params.setdefault(base_name, base)
            if hasattr(base, "get_params"):
                params |= {f"{base_name}__{name}": value for name, value in base.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of a base as ``base__parameter``, or a whole base by its name."""
        own = signature(type(self)).parameters
        super().set_params(**{name: value for name, value in params.items() if name.split("__")[0] in own})
        for name, value in params.items():
            base_name, _, inner = name.partition("__")
            if base_name in own:
                continue
            base = self._named().get(base_name)
            if base is None or (inner and not hasattr(base, "set_params")):
                raise InputError(f"Got parameter {name!r}, expected one of {sorted(self.get_params())}.")
            if inner:
                base.set_params(**{inner: value})
            else:
                self.bases = {**self._named(), base_name: value}
        return self

    def _named(self) -> dict[str, Any]:
        """Bases by name; a wrong value of ``bases`` is refused at fit, not here."""
        return self.bases if isinstance(self.bases, dict) else {}

    def _bases(self, X: Features, default: Any) -> dict[str, Any]:
        """A fresh model, or "passthrough", for each family of X or for those that share one; in the families' order."""
        if self.bases is not None and not isinstance(self.bases, dict):
            raise InputError(f"Got bases={self.bases!r}, expected a dict of name to classifier, or None.")
        given = self._named()
        readers = [(family, name) for name in given for family in members(name, X.blocks)]
        if unknown := sorted({family for family, _ in readers if family not in X.blocks}):
            known = f"families among {list(X.blocks)}, or several joined by '+'"
            raise InputError(f"Got bases {list(given)} for {unknown}, expected {known}.")
        base_of = dict(readers)
        if len(base_of) < len(readers):
            raise InputError(f"Got bases for {list(given)}, expected each family in one of them.")
        names = dict.fromkeys(base_of.get(family, family) for family in X.blocks)
        chosen = {name: given.get(name, default) for name in names}
        for name, base in chosen.items():
            got = f"Got bases={{{name!r}: {base!r}}}"
            if base != PASSTHROUGH and not hasattr(base, "fit"):
                raise InputError(f"{got}, expected a classifier or {PASSTHROUGH!r}.")
            if base == PASSTHROUGH and name not in X.blocks:
                raise InputError(f"{got}, expected a classifier for several families.")
            if base == PASSTHROUGH and sparse.issparse(X[name]):
                raise InputError(f"{got}, expected a classifier for a sparse family.")
        return {name: base if base == PASSTHROUGH else clone(base) for name, base in chosen.items()}

    def _read(self, X: Features, name: str, inside: Collection[str] | None = None) -> Any:
        """What a base reads: the matrix of its family, or several families, at their means where not inside.

        Classifiers that are not ferkit's, and know of no families, read these as one matrix.
        """
        if name in X.blocks:
            return X[name]
        means = {} if inside is None else {family: mean for family, mean in self.means_.items() if family not in inside}
        own = members(name, X.blocks)
        blocks = {family: _repeated(means[family], X[family]) if family in means else X[family] for family in own}
        return self._together(name, Features(blocks, _names(X, own)))

    def _together(self, name: str, X: Features) -> Any:
        return X if isinstance(self.bases_[name], FaceClassifier) else X.matrix

    def _learn_means(self, X: Features, rows: Any = slice(None)) -> None:
        """Mean numbers of each family that shares a base, 0 for a sparse one: what stands in where it is left out."""
        self.means_ = {}
        for family in (family for name in self.bases_ if name not in X.blocks for family in members(name, X.blocks)):
            block = X[family][rows]
            self.means_[family] = fit_scaling(block, standardize=False)[0].astype(block.dtype)

    def _shapley(
        self, X: Features, said: Callable[[str, Any], Array], silent: Mapping[str, Array], fused: Callable[[Any], Array]
    ) -> Array:
        """What each family adds to what all bases say.

        Parameters
        ----------
        X : Features
        said : callable
            What a base, by its name, says of what it reads.
        silent : mapping of str to ndarray
            What stands for the base of one family where that is left out. One of several is asked about their means.
        fused : callable
            Logits of shape (n, n_classes), from what each base says.
        """
        known: dict[tuple[str, tuple[str, ...]], Array] = {}

        def heard(name: str, inside: tuple[str, ...]) -> Array:
            own = tuple(family for family in members(name, self.families_) if family in inside)
            if not own and name in self.families_:
                return silent[name]
            if (name, own) not in known:
                known[name, own] = said(name, self._read(X, name, own))
            return known[name, own]

        return shapley(list(self.families_), lambda inside: fused({name: heard(name, inside) for name in self.bases_}))

    def _slopes_of(self, X: Features, name: str, directions: Array, mean: Array) -> dict[str, Slopes]:
        """Slopes of a fitted base by the families that it reads; ``mean`` is that of numbers passed through."""
        if name in self.orders_:
            return {name: passed_slopes(X[name], self.orders_[name], directions, mean)}
        own = members(name, self.families_)
        read = Features({family: X[family] for family in own}, _names(X, own))
        return base_slopes(self.bases_[name], read, directions, self.classes_)

    def _orders(self, X: Features) -> dict[str, Any]:
        """Columns that make the number of each class, for each family that is passed through; see ``logit_order``."""
        if self.labels is not None and not isinstance(self.labels, dict):
            raise InputError(f"Got labels={self.labels!r}, expected a dict of old label to new label, or None.")
        through = [family for family, base in self.bases_.items() if base == PASSTHROUGH]
        return {family: logit_order(X, family, self.classes_, self.labels or {}) for family in through}


def members(name: str, families: Collection[str]) -> tuple[str, ...]:
    """Families that a base of this name reads."""
    return (name,) if name in families else tuple(str(name).split("+"))


def _names(X: Features, families: Collection[str]) -> dict[str, list[str]] | None:
    return X.names and {family: X.names[family] for family in families if family in X.names}


def fit_base(base: Any, X: Any, y: Array, groups: Any) -> Any:
    """Fit one base on a family's matrix or on several families, with groups where it takes them."""
    takes_groups = groups is not None and "groups" in signature(base.fit).parameters
    return base.fit(X, y, groups=groups) if takes_groups else base.fit(X, y)


def _repeated(mean: Array, block: Any) -> Any:
    """A block of the same shape and kind, whose rows are all the mean."""
    if sparse.issparse(block):
        return sparse.csr_array(block.shape, dtype=block.dtype)
    return np.broadcast_to(mean.astype(block.dtype), block.shape)


def margins(base: Any, X: Any, classes: Array) -> Array:
    """Uncalibrated numbers of a fitted classifier, one column for each of ``classes``.

    Parameters
    ----------
    base : classifier
        With ``decision_function``, or else ``predict_proba``, whose logarithm is taken.
    X : Features, or ndarray or csr_array of shape (n, n_features)
    classes : ndarray of shape (n_classes,)
        Sorted; those that the base does not know get the lowest number of their row.

    Returns
    -------
    ndarray of shape (n, n_classes), dtype float64
    """
    if hasattr(base, "decision_function"):
        numbers = np.asarray(base.decision_function(X), dtype=np.float64)
        numbers = numbers[:, None] * [-0.5, 0.5] if numbers.ndim == 1 else numbers
    else:
        numbers = np.log(np.clip(np.asarray(base.predict_proba(X), dtype=np.float64), 1e-6, None))
    if numbers.shape[1] != len(base.classes_):
        name, k = type(base).__name__, len(base.classes_)
        raise InputError(f"Got {numbers.shape[1]} margins of {name}, expected {k}, one for each class.")
    out = np.repeat(numbers.min(axis=1, keepdims=True), len(classes), axis=1)
    out[:, np.searchsorted(classes, base.classes_)] = numbers
    return out


def shapley(names: list[str], value: Callable[[tuple[str, ...]], Array]) -> Array:
    """What each family adds, as the mean over all orders in which families can come in.

    Parameters
    ----------
    names : list of str
        Families.
    value : callable
        Logits of shape (n, n_classes) with some of the families only, the others standing at their reference.

    Returns
    -------
    ndarray of shape (n, n_families, n_classes)
        Summed over families, the logits with all of them less the logits with none.

    References
    ----------
    Shapley: A value for n-person games (1953).
    """
    values = {inside: value(inside) for size in range(len(names) + 1) for inside in combinations(names, size)}
    parts = []
    for name in names:
        without = [inside for inside in values if name not in inside]
        gains = [values[tuple(n for n in names if n == name or n in inside)] - values[inside] for inside in without]
        shares = [1 / (len(names) * comb(len(names) - 1, len(inside))) for inside in without]
        parts.append(np.tensordot(shares, np.stack(gains), axes=1))
    return np.stack(parts, axis=1)


def base_slopes(base: Any, X: Features, directions: Array, classes: Array) -> dict[str, Slopes]:
    """Slopes of the margins of a fitted classifier along directions; empty where it has none.

    Parameters
    ----------
    base : classifier
        Fitted on the joined matrix of ``X``.
    X : Features
    directions : ndarray of shape (n, n_classes)
        Weights of its margins, as ``margins`` gives them.
    classes : ndarray of shape (n_classes,)
        Sorted, at least those that the base knows.
    """
    if not isinstance(base, FaceClassifier):
        return {}
    own = directions[:, np.searchsorted(classes, base.classes_)]
    if own.shape[1] == 2:  # of two classes a margin is half of the difference of the logits
        own = (own - own[:, ::-1]) / 2
    return base._slopes(X, own)


def passed(block: Any, order: Any) -> Array:
    """Numbers of a family that is passed through, as ``logit_order`` says which columns make them.

    Merged columns give the logarithm of the sum of their exponentials: the logit of one or the other.
    """
    numbers = np.asarray(block, dtype=np.float64)
    if order is None:
        return numbers
    flat = np.hstack(order)
    if len(flat) == len(order):
        return numbers[:, flat]
    return np.stack([np.logaddexp.reduce(numbers[:, np.atleast_1d(own)], axis=1) for own in order], axis=1)


def passed_slopes(block: Any, order: Any, directions: Array, mean: Array) -> Slopes:
    """Slopes of what ``passed`` gives, whose columns have this mean.

    The mean face says the same of all parts of a merged class. From there their slopes are even, and steeper for a part
    above the others, so that the evidence adds up; for two parts these are the integrated gradients.
    """
    if order is None:
        return Slopes(directions, mean)
    numbers = np.asarray(block, dtype=np.float64)
    values, means = np.zeros(numbers.shape), np.zeros(numbers.shape[1])
    for own, along, middle in zip(map(np.atleast_1d, order), directions.T, mean, strict=True):
        parts, even = numbers[:, own], np.log(len(own))
        off = parts - parts.mean(axis=1, keepdims=True)
        spread = np.maximum((off**2).sum(axis=1), 1e-12)
        steeper = (np.logaddexp.reduce(off, axis=1) - even) / spread
        values[:, own] = along[:, None] * (1 / len(own) + steeper[:, None] * off)
        means[own] = middle - even
    return Slopes(values, means, exact=all(np.size(own) == 1 for own in order))


def logit_order(X: Features, family: str, classes: Array, labels: Mapping[str, str | None]) -> list[list[int]] | None:
    """Columns of a family of logits that make the number of each class, by their names where they have any.

    Parameters
    ----------
    X : Features
    family : str
    classes : ndarray of shape (n_classes,)
    labels : mapping of str to str or None
        Labels that were renamed, merged or, with None, dropped since the names were given.

    Returns
    -------
    list of list of int, or None
        For each class its column, or those that were merged into it. None where a class has none, and where columns
        without names cannot be one for each class.
    """
    names, wanted = column_labels(X, family), [str(label) for label in classes]
    meant = [_meant(name, labels, wanted) for name in names]
    order = [[i for i, label in enumerate(meant) if label == own] for own in wanted]
    if all(order):
        return order
    numbered = names == [names[0].rstrip("0123456789") + str(i) for i in range(len(names))] if names else True
    trusted = numbered and not labels and X[family].shape[1] == len(wanted)
    return [[i] for i in range(len(wanted))] if trusted else None


def _meant(name: str, labels: Mapping[str, str | None], wanted: list[str]) -> str | None:
    """The class that a column's name stands for, if any."""
    found = (mapped(spelling, labels) for spelling in (name, canonical(name)))
    return next((label for label in found if label in wanted), None)


def column_labels(X: Features, family: str) -> list[str]:
    """Names of a family's columns without the family; empty where they have none."""
    return [name.removeprefix(f"{family}/") for name in (X.names or {}).get(family, [])]


def one_a_class(X: Features, family: str, classes: Array) -> bool:
    """Whether a family has one column for each class, in their order, as far as names or numbers tell."""
    names = column_labels(X, family)
    return names == [str(label) for label in classes] if names else X[family].shape[1] == len(classes)


def not_one_a_class(X: Features, family: str, classes: Array, advice: str) -> InputError:
    """Error for a family that is not one column for each class."""
    names, wanted = ", ".join(column_labels(X, family)[:10]), ", ".join(str(label) for label in classes)
    got = f"{X[family].shape[1]} columns of {family!r}" + (f" ({names})" if names else "")
    return InputError(f"Got {got}, expected {len(classes)}, one for each class ({wanted}): {advice}")
