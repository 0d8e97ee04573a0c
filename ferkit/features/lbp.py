"""Local binary patterns on a grid of cells, computed for a whole batch of faces at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.base import FaceFeatures
from ferkit.features.settings import chunks, is_list, is_number, is_whole
from ferkit.records import Faces, as_faces

METHODS = ("nri_uniform", "uniform")
CHUNK_PIXELS = 2**17
"""Pixels that are worked on at a time: the arrays of one chunk stay in a core's cache."""


class LBP(FaceFeatures):
    """Histograms of uniform local binary patterns on a grid (Ojala et al. 2002; Ahonen et al. 2006).

    The code of a pixel says which of its neighbours on a circle are at least as bright as it is. The codes are those
    of ``skimage.feature.local_binary_pattern``, bit for bit; a batch is computed without a loop over faces. They are
    counted in each cell of a grid, for each radius. More or less light does not change them.

    Parameters
    ----------
    radii : sequence of float, default=(1, 2, 3)
        Radii of the circles in pixels, one scale each.
    points : int, default=8
        Neighbours on a circle, 4 to 16.
    grid : sequence of (int, int), default=(7, 7)
        Rows and columns of cells.
    method : {"nri_uniform", "uniform"}, default="nri_uniform"
        ``"nri_uniform"`` tells the directions of edges apart, ``"uniform"`` does not (and has far fewer codes).
    sqrt : bool, default=True
        Whether the share of each code in its cell is replaced by its square root, so that a linear model compares
        cells by the Hellinger distance.

    Attributes
    ----------
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    Notes
    -----
    Pixels whose circle leaves the crop are not counted: the grid covers the crop without a margin as wide as the
    radius. Columns are named ``lbp/radius1/row0/col3/code12``.

    References
    ----------
    Ojala, Pietikainen and Maenpaa (2002). Multiresolution gray-scale and rotation invariant texture classification
    with local binary patterns. IEEE TPAMI 24.

    Ahonen, Hadid and Pietikainen (2006). Face description with local binary patterns. IEEE TPAMI 28.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> lbp = LBP(radii=(1, 2), grid=(4, 4)).fit(faces)
    >>> lbp.transform(faces).shape, lbp.codes(faces, radius=2).shape
    ((5, 1888), (5, 48, 48))
    """

    family = "lbp"

    def __init__(
        self,
        radii: Sequence[float] = (1, 2, 3),
        points: int = 8,
        grid: Sequence[int] = (7, 7),
        method: str = "nri_uniform",
        sqrt: bool = True,
    ) -> None:
        self.radii = radii
        self.points = points
        self.grid = grid
        self.method = method
        self.sqrt = sqrt

    def codes(self, X: Any, radius: float | None = None) -> NDArray[np.uint8]:
        """Code of every pixel, as ``skimage.feature.local_binary_pattern`` gives it.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        radius : float or None, default=None
            Which scale, where there are several; by default the first.

        Returns
        -------
        ndarray of shape (n, height, width), dtype uint8
            0 to 58 for ``"nri_uniform"`` with 8 points, 0 to 9 for ``"uniform"``. Outside the crop is black.
        """
        faces = as_faces(X)
        self._check_settings(faces.shape[1:])
        radius = self.radii[0] if radius is None else radius
        if radius not in self.radii:
            raise InputError(f"Got radius={radius!r}, expected one of {list(self.radii)}.")
        out = np.empty(faces.shape, np.uint8)
        for rows in chunks(faces.shape, CHUNK_PIXELS):
            out[rows] = _codes(faces.crops[rows], self.points, radius, self.method)
        return out

    def cell_evidence(self, evidence: NDArray[Any]) -> dict[float, NDArray[np.float64]]:
        """Evidence of the columns by cell and code.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_features)
            Something of each column, such as what it speaks for.

        Returns
        -------
        dict of float to ndarray of shape (n, rows, cols, n_codes), dtype float64
            By radius.
        """
        cells = np.asarray(evidence, dtype=np.float64).reshape(len(evidence), len(self.radii), *self.grid, -1)
        return {radius: cells[:, scale] for scale, radius in enumerate(self.radii)}

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64]:
        found = np.zeros(faces.shape)
        for radius, cells in self.cell_evidence(evidence).items():
            margin = ceil(radius)
            inside = (slice(None), *(slice(margin, extent - margin) for extent in faces.shape[1:]))
            row, col = (_cell(e - 2 * margin, n) for e, n in zip(faces.shape[1:], self.grid, strict=True))
            pixels = np.outer(np.bincount(row), np.bincount(col))
            found[inside] += (cells.sum(axis=3) / pixels)[:, row[:, None], col]
        return found

    def _learn(self, faces: Faces, y: Any) -> None:
        self._check_settings(faces.shape[1:])

    def _extract(self, faces: Faces) -> NDArray[np.float32]:
        width = self.grid[0] * self.grid[1] * _n_codes(self.points, self.method)
        out = np.empty((len(faces), len(self.radii), width), np.float32)
        for rows in chunks(faces.shape, CHUNK_PIXELS):
            for scale, radius in enumerate(self.radii):
                out[rows, scale] = self._histograms(faces.crops[rows], radius)
        return out.reshape(len(faces), len(self.radii) * width)

    def _histograms(self, crops: NDArray[np.uint8], radius: float) -> NDArray[np.float32]:
        """Share of each code in each cell."""
        n, height, width = crops.shape
        cells, bins = self.grid[0] * self.grid[1], _n_codes(self.points, self.method)
        margin = ceil(radius)
        codes = _codes(crops, self.points, radius, self.method)[:, margin : height - margin, margin : width - margin]
        row, col = (_cell(extent - 2 * margin, count) for extent, count in zip(crops.shape[1:], self.grid, strict=True))
        place = row[:, None] * self.grid[1] + col
        index = np.add(place * bins + (np.arange(n) * cells * bins)[:, None, None], codes, dtype=np.intp)
        counts = np.bincount(index.ravel(), minlength=n * cells * bins).reshape(n, cells, bins)
        shares = (counts / np.bincount(place.ravel(), minlength=cells)[:, None]).astype(np.float32).reshape(n, -1)
        return np.sqrt(shares) if self.sqrt else shares

    def _names(self) -> list[str]:
        return [
            f"radius{radius:g}/row{row}/col{col}/code{code}"
            for radius in self.radii
            for row in range(self.grid[0])
            for col in range(self.grid[1])
            for code in range(_n_codes(self.points, self.method))
        ]

    def _check_settings(self, shape: tuple[int, ...]) -> None:
        if not is_whole(self.points) or not 4 <= self.points <= 16:
            raise InputError(f"Got points={self.points!r}, expected a whole number from 4 to 16.")
        if self.method not in METHODS:
            raise InputError(f"Got method={self.method!r}, expected one of {list(METHODS)}.")
        if not is_list(self.grid) or len(self.grid) != 2 or not all(is_whole(n) and n >= 1 for n in self.grid):
            raise InputError(f"Got grid={self.grid!r}, expected two whole numbers (rows, columns), at least 1.")
        if not is_list(self.radii) or not all(is_number(r) and r >= 1 for r in self.radii):
            raise InputError(f"Got radii={self.radii!r}, expected a list of numbers, at least 1 pixel each.")
        if len(set(self.radii)) < len(self.radii):
            raise InputError(f"Got radii={self.radii!r}, expected each radius once.")
        margin = 2 * ceil(max(self.radii))
        if any(extent - margin < count for extent, count in zip(shape, self.grid, strict=True)):
            raise InputError(
                f"Got grid={self.grid!r} with radii={self.radii!r}, expected cells of at least 1 pixel in crops of "
                f"{shape[0]}x{shape[1]} without a margin as wide as the radius."
            )


def _cell(extent: int, count: int) -> NDArray[np.intp]:
    """Cell of each pixel along one side, alike from both ends."""
    return (2 * np.arange(extent) + 1) * count // (2 * extent)


def _n_codes(points: int, method: str) -> int:
    return points * (points - 1) + 3 if method == "nri_uniform" else points + 2


def _codes(crops: NDArray[np.uint8], points: int, radius: float, method: str) -> NDArray[np.uint8]:
    patterns = np.zeros(crops.shape, np.uint8 if points <= 8 else np.uint16)
    for bit, brighter in enumerate(_brighter(crops, points, radius)):
        patterns |= brighter.view(np.uint8) << patterns.dtype.type(bit)
    return np.take(_uniform(points, method), patterns, mode="clip")


@lru_cache(maxsize=8)
def _uniform(points: int, method: str) -> NDArray[np.uint8]:
    """Code of every pattern, numbered as scikit-image numbers them."""
    bits = (np.arange(2**points)[:, None] >> np.arange(points)) & 1
    ones = bits.sum(axis=1)
    uniform = np.abs(np.diff(bits, axis=1)).sum(axis=1) <= 2
    if method == "uniform":
        return np.where(uniform, ones, points + 1).astype(np.uint8)
    first_one, first_zero = bits.argmax(axis=1), (1 - bits).argmax(axis=1)
    turn = np.where(first_one == 0, ones - first_zero, points - first_one)
    codes = np.where(uniform, 1 + (ones - 1) * points + turn, points * (points - 1) + 2)
    codes[[0, -1]] = 0, points * (points - 1) + 1
    return codes.astype(np.uint8)


def _brighter(crops: NDArray[np.uint8], points: int, radius: float) -> Iterator[NDArray[np.bool_]]:
    """For each neighbour on the circle, where it is at least as bright as the middle.

    Neighbours between pixels are interpolated with scikit-image's own sequence of operations, its rounding included,
    because a comparison of almost equal values hangs on the last bit.
    """
    margin = ceil(radius) + 1
    padded = np.pad(crops, ((0, 0), (margin, margin), (margin, margin)))
    exact = padded.astype(np.float64)
    middle = crops.astype(np.float64)
    angles = 2 * np.pi * np.arange(points, dtype=np.float64) / points
    downs, acrosses = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    columns: dict[float, NDArray[np.float64]] = {}
    for down, across in zip(downs, acrosses, strict=True):
        if down == int(down) and across == int(across):
            top, left = margin + int(down), margin + int(across)
            yield padded[:, top : top + crops.shape[1], left : left + crops.shape[2]] >= crops
        else:
            if across not in columns:
                columns[across] = _between(exact, across, crops.shape[2], margin, axis=2)
            yield _between(columns[across], down, crops.shape[1], margin, axis=1) >= middle


def _between(padded: NDArray[np.float64], offset: float, extent: int, margin: int, axis: int) -> NDArray[np.float64]:
    """Values at ``offset`` pixels from each pixel along one axis, linearly interpolated."""
    places = np.arange(extent) + offset
    low = np.floor(places)
    start, share = margin + int(low[0]), places - low
    if axis == 1:
        share = share[:, None]
        before, after = padded[:, start : start + extent], padded[:, start + 1 : start + 1 + extent]
    else:
        before, after = padded[:, :, start : start + extent], padded[:, :, start + 1 : start + 1 + extent]
    values = before * (1 - share)
    values += after * share
    return values
