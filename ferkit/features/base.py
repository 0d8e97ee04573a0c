"""Shared base of the feature families: it validates the face stack, a family fills one hook."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ferkit.errors import InputError, check_fitted, check_flags
from ferkit.records import Faces, as_faces


class FaceFeatures(TransformerMixin, BaseEstimator):
    """Base of every feature family: ``Faces`` (or a grey stack) in, one row of float32 numbers a face out.

    A subclass sets ``family`` and fills ``_extract(faces)``, which returns ``(n, d)`` float32 (ndarray or csr_array),
    and ``_names()``, which returns the ``d`` column names without the family. A family that learns also fills
    ``_learn(faces, y)`` and names its learnt arrays in ``state``.

    Attributes
    ----------
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit; ``transform`` asks for the same.
    """

    family: ClassVar[str] = ""
    state: ClassVar[tuple[str, ...]] = ()
    """Names of what is learnt (``..._``): part of the feature cache's key, and kept by it where all of it is arrays."""
    version: ClassVar[int] = 1
    """Raised when the numbers of the family change, so that the feature cache forgets the old ones."""
    cached: ClassVar[bool] = True
    """False where computing the family costs less than looking it up."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and learn what there is to learn.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        y : ignored, or array-like of shape (n,)
        """
        check_flags(self)
        faces = self._check(X, fitting=True)
        self.crop_shape_ = faces.shape[1:]
        self._learn(faces, y)
        return self

    def transform(self, X: Any) -> Any:
        """Numbers of each face.

        Returns
        -------
        ndarray or csr_array of shape (n, n_features), dtype float32
        """
        return self._numbers(X)

    def _numbers(self, X: Any) -> Any:
        """What ``transform`` gives before scikit-learn's ``set_output`` makes a data frame of it."""
        check_fitted(self, "crop_shape_")
        faces = self._check(X, fitting=False)
        if faces.shape[1:] != self.crop_shape_:
            raise InputError(f"Got crops of {faces.shape[1:]}, expected {self.crop_shape_}, the shape seen at fit.")
        return self._extract(faces)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, each ``family/...``."""
        check_fitted(self, "crop_shape_")
        return np.asarray([f"{self.family}/{name}" for name in self._names()], dtype=object)

    def evidence_map(self, X: Any, evidence: Any, slopes: np.ndarray) -> np.ndarray | None:
        """Evidence of the columns, given back to the pixels that they were computed from.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            The faces.
        evidence : ndarray or csr_array of shape (n, n_features)
            What each number of each face speaks for, in any unit.
        slopes : ndarray of shape (n, n_features)
            What one more of each number would speak for.

        Returns
        -------
        ndarray of shape (n, height, width), dtype float64, or None
            For each face the same sum as its evidence. None for a family that does not know its places.
        """
        check_fitted(self, "crop_shape_")
        return self._evidence_map(as_faces(X), evidence, slopes)

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: np.ndarray) -> np.ndarray | None:
        return None

    def _check(self, X: Any, *, fitting: bool) -> Faces:
        faces = as_faces(X)
        if fitting and len(faces) == 0:
            raise InputError("Got 0 faces, expected at least 1 to fit.")
        return faces

    def _learn(self, faces: Faces, y: Any) -> None:
        """Learn from the faces; most families have nothing to learn."""

    def _extract(self, faces: Faces) -> Any:
        raise NotImplementedError

    def _names(self) -> list[str]:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
