"""Several feature families side by side, each in its own block of columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import TransformerMixin, clone
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition
from threadpoolctl import threadpool_limits

from ferkit.errors import InputError, check_fitted
from ferkit.features.base import FaceFeatures
from ferkit.features.cache import FeatureCache
from ferkit.records import Faces, Features, as_faces

BATCH = 512
"""Faces of one parallel task."""


class FamilyUnion(TransformerMixin, _BaseComposition, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Feature families side by side: ``Faces`` in, ``Features`` with one block a family out.

    Parameters
    ----------
    families : sequence of (str, FaceFeatures)
        Names and families; ``"drop"`` in place of a family leaves it out. Names must differ.
    n_jobs : int or None, default=None
        Threads that compute batches of faces; -1 for one a core.
    cache : str, Path, FeatureCache or None, default=None
        Folder that keeps what was computed; None keeps nothing.

    Attributes
    ----------
    families_ : list of (str, FaceFeatures)
        The fitted families.
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    Examples
    --------
    >>> from ferkit.features import HOG, LBP
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> union = FamilyUnion([("hog", HOG()), ("lbp", LBP(radii=[1]))])
    >>> union.fit_transform(faces)
    Features(n=5, hog=1568, lbp=2891)
    >>> union.set_params(hog__cell=16).fit_transform(faces)["hog"].shape
    (5, 128)
    """

    def __init__(
        self,
        families: Sequence[tuple[str, Any]],
        *,
        n_jobs: int | None = None,
        cache: str | Path | FeatureCache | None = None,
    ) -> None:
        self.families = families
        self.n_jobs = n_jobs
        self.cache = cache

    @property
    def named_families(self) -> Bunch:
        """Families by name; the fitted ones once there are any."""
        return Bunch(**dict(getattr(self, "families_", self.families)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the families as ``name__parameter``."""
        return self._get_params("families", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of a family as ``name__parameter``, or a whole family by its name."""
        families = [item for item in params.get("families", self.families) if _is_pair(item)]
        known = self.get_params(deep=False).keys() | {name for name, _ in families}
        dropped = {name for name, family in families if params.get(name, family) == "drop"}
        for name in params:
            own, _, inner = name.partition("__")
            if own not in known or (inner and own in dropped):
                raise InputError(f"Got parameter {name!r}, expected one of {sorted(known)}.")
        self._set_params("families", **params)
        return self

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit each family on the faces.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        y : ignored, or array-like of shape (n,)
        """
        chosen = self._chosen()
        faces, cache = as_faces(X), _cache(self.cache)
        fitted = []
        for name, family in chosen:
            family = clone(family)
            fitted.append((name, family.fit(faces, y) if cache is None else cache.fit(family, faces, y)))
        self.families_ = fitted
        self.crop_shape_ = faces.shape[1:]
        return self

    def transform(self, X: Any) -> Features:
        """Numbers of each face by family.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.

        Returns
        -------
        Features
            One block of float32 columns for each family, dense or CSR, with the names of its columns.
        """
        check_fitted(self, "families_")
        faces, cache = as_faces(X), _cache(self.cache)
        blocks = {}
        for name, family in self.families_:

            def compute(some: Faces, family: FaceFeatures = family) -> Any:
                return self._in_batches(family, some)

            blocks[name] = compute(faces) if cache is None else cache.transform(family, faces, compute)
        return Features(blocks, self._columns())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Column names, each with the family's name in this union in front: ``hog/row3/col2/bin5``."""
        check_fitted(self, "families_")
        return np.asarray([name for names in self._columns().values() for name in names], dtype=object)

    def _columns(self) -> dict[str, list[str]]:
        # Tens of thousands of names take longer to build than one face takes to read: they are built once.
        known = self.__dict__.get("_names")
        if known is None or known[0] is not self.families_:
            names = {
                name: [name + column[len(family.family) :] for column in family.get_feature_names_out()]
                for name, family in self.families_
            }
            known = self._names = (self.families_, names)
        return known[1]

    def _in_batches(self, family: FaceFeatures, faces: Faces) -> Any:
        if effective_n_jobs(self.n_jobs) == 1 or len(faces) <= BATCH:
            return family._numbers(faces)
        batches = (faces[start : start + BATCH] for start in range(0, len(faces), BATCH))
        # Threads, because the arrays' work holds no lock, and processes would have to copy wide rows. Products of
        # matrices with threads of their own would wait for each other.
        with threadpool_limits(1, "blas"):
            parts = Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(family._numbers)(batch) for batch in batches)
        return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)

    def _chosen(self) -> list[tuple[str, FaceFeatures]]:
        """Families that are not dropped, after a check of every name."""
        if not isinstance(self.families, Sequence) or not all(_is_pair(item) for item in self.families):
            raise InputError(f"Got families={self.families!r}, expected a list of (name, family).")
        names = [name for name, _ in self.families]
        taken = self.get_params(deep=False).keys()
        for name in names:
            if not name or "__" in name or "/" in name or name in taken:
                raise InputError(
                    f"Got family name {name!r}, expected one without '__' or '/' and none of {list(taken)}."
                )
        if len(set(names)) < len(names):
            raise InputError(f"Got family names {names}, expected each name once.")
        for name, family in self.families:
            if not isinstance(family, FaceFeatures) and family != "drop":
                raise InputError(
                    f"Got family {name!r} of type {type(family).__name__}, expected a FaceFeatures or 'drop'."
                )
        chosen = [(name, family) for name, family in self.families if isinstance(family, FaceFeatures)]
        if not chosen:
            raise InputError(f"Got families={self.families!r}, expected at least one family.")
        return chosen

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        state.pop("_names", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str)


def _cache(cache: Any) -> FeatureCache | None:
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return FeatureCache(Path(cache))
    raise InputError(f"Got cache={cache!r}, expected a folder, a FeatureCache or None.")
