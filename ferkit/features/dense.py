"""Dense SIFT descriptors of a face: what visual words and Fisher vectors are learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.base import FaceFeatures
from ferkit.features.settings import is_list, is_number, is_whole
from ferkit.features.sift import dense_sift, gradient_maps, grid, root_sift

CHUNK = 8
"""Faces described at a time: their gradient maps stay in a core's cache."""
JOB = 256
"""Faces of one parallel job."""
FROM_ONE_FACE = 40
"""Descriptors that one face gives to what is learnt, where there are faces enough."""


class DenseDescriptors(FaceFeatures):
    """Base of the families that describe a face by SIFT descriptors on a dense grid of its enlarged copy.

    A subclass takes ``sizes``, ``step``, ``upsample``, ``blur``, ``root``, ``seed`` and ``max_descriptors``.
    """

    sizes: Sequence[float]
    step: int
    upsample: int
    blur: float
    root: bool
    seed: int
    max_descriptors: int

    def describe(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Descriptors of faces.

        Parameters
        ----------
        crops : ndarray of shape (n, height, width), dtype uint8
            Grey faces.

        Returns
        -------
        ndarray of shape (n, n_sizes * n_rows * n_columns, 128), dtype float32
            One grid of keypoints for each size; length 1, or 0 where a patch has no gradient.
        """
        rows, columns = self._grids(crops.shape[1:])
        maps = gradient_maps(crops, self.upsample, self.blur)
        found = np.concatenate([dense_sift(maps, rows, columns, float(size)) for size in self.sizes], axis=1)
        return root_sift(found) if self.root else found

    def _sample(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Descriptors of some faces, at most ``max_descriptors`` of them."""
        rng = np.random.default_rng(self.seed)
        n = min(len(crops), max(1, self.max_descriptors // FROM_ONE_FACE))
        faces = np.sort(rng.choice(len(crops), n, replace=False))
        each = max(1, self.max_descriptors // n)
        parts = []
        for start in range(0, n, CHUNK):
            found = self.describe(crops[faces[start : start + CHUNK]])
            chosen = rng.random(found.shape[:2]).argsort(axis=1)[:, :each]
            parts.append(np.take_along_axis(found, chosen[..., None], axis=1).reshape(-1, found.shape[2]))
        sample = np.concatenate(parts)[: self.max_descriptors]
        sample = sample[sample.any(axis=1)]
        if len(sample) == 0:
            raise InputError("Got faces of one grey level each, expected some with edges.")
        return sample

    def _cells(self, level: int) -> NDArray[np.int32]:
        """Cell of each descriptor, row by row, in ``level`` x ``level`` cells; shape (n_descriptors,)."""
        row, column = (
            ((np.asarray(positions) + 0.5) / (self.upsample * extent) * level).astype(np.int32)
            for positions, extent in zip(self._grids(self.crop_shape_), self.crop_shape_, strict=True)
        )
        return np.tile((row[:, None] * level + column).ravel(), len(self.sizes))

    def _grids(self, shape: tuple[int, ...]) -> Iterator[tuple[float, ...]]:
        """Rows and columns of the keypoints."""
        return (grid(self.upsample * extent, self.step) for extent in shape)

    def _check_dense(self, whole: Sequence[str] = (), numbers: Sequence[str] = ()) -> None:
        """Check the shared parameters, others that are whole and at least 1, and others above 0."""
        for name in ("step", "upsample", "max_descriptors", *whole):
            at_least(self, name, 1)
        at_least(self, "seed", 0)
        for name in ("blur", *numbers):
            if not is_number(getattr(self, name)) or getattr(self, name) <= 0:
                raise InputError(f"Got {name}={getattr(self, name)!r}, expected a number above 0.")
        if not is_list(self.sizes) or not all(is_number(size) and size > 0 for size in self.sizes):
            raise InputError(f"Got sizes={self.sizes!r}, expected a list of numbers above 0.")


def at_least(family: Any, name: str, least: int) -> None:
    """Raise unless a parameter is a whole number of at least ``least``."""
    value = getattr(family, name)
    if not is_whole(value) or value < least:
        raise InputError(f"Got {name}={value!r}, expected a whole number of at least {least}.")
