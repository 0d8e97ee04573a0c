"""Dense SIFT descriptors of a face: what visual words and Fisher vectors are learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.base import FaceFeatures
from ferkit.features.settings import is_list, is_number, is_whole
from ferkit.features.sift import BIN_WIDTH, BINS, dense_sift, gradient_maps, grid, root_sift

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

    def patches(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Where each descriptor of ``describe`` looks.

        Parameters
        ----------
        shape : tuple of (int, int)
            Height and width of the crop.

        Returns
        -------
        ndarray of shape (n_descriptors, 4), dtype float64
            Boxes (x1, y1, x2, y2) in pixels of the crop; they may reach beyond it.
        """
        rows, columns = ((np.asarray(places) + 0.5) / self.upsample for places in self._grids(shape))
        y, x = (places.ravel() for places in np.meshgrid(rows, columns, indexing="ij"))
        half = [BINS * BIN_WIDTH * size / 2 / self.upsample for size in self.sizes]
        return np.concatenate([np.column_stack([x - h, y - h, x + h, y + h]) for h in half])

    def spread(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Numbers of descriptors, spread over the pixels that they look at.

        Parameters
        ----------
        values : ndarray of shape (n, n_descriptors)
        shape : tuple of (int, int)
            Height and width of the crop.

        Returns
        -------
        ndarray of shape (n, height, width), dtype float64
            For each face the same sum; most of a number goes to the middle of its patch.
        """
        rows, columns = (len(places) for places in self._grids(shape))
        boxes = self.patches(shape).reshape(len(self.sizes), rows, columns, 4)
        values = np.asarray(values, dtype=np.float64).reshape(len(values), len(self.sizes), rows, columns)
        found = np.zeros((len(values), *shape))
        for scale, box in enumerate(boxes):
            down = _tents(box[:, 0, 1], box[:, 0, 3], shape[0])
            across = _tents(box[0, :, 0], box[0, :, 2], shape[1])
            found += down.T @ values[:, scale] @ across
        return found

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


def _tents(starts: NDArray[np.float64], ends: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Weight of each pixel for each patch along one side, in sum 1; shape (n_patches, length)."""
    middles, half = (starts + ends)[:, None] / 2, (ends - starts)[:, None] / 2
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - middles) / np.maximum(half, 1))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def at_least(family: Any, name: str, least: int) -> None:
    """Raise unless a parameter is a whole number of at least ``least``."""
    value = getattr(family, name)
    if not is_whole(value) or value < least:
        raise InputError(f"Got {name}={value!r}, expected a whole number of at least {least}.")
