"""Histograms of oriented gradients, computed for a whole batch of faces at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.base import FaceFeatures
from ferkit.features.settings import chunks, is_list, is_whole
from ferkit.records import Faces, as_faces

NORMS = ("L2-Hys", "L2", "L1", "L1-sqrt")
EPS = 1e-5
CHUNK_PIXELS = 2**18
"""Pixels that are worked on at a time: the arrays of one chunk stay in a core's cache."""


class HOG(FaceFeatures):
    """Histograms of oriented gradients (Dalal and Triggs 2005).

    Gradients are counted by direction in square cells, and the cells are normalised in blocks that overlap. With
    ``signed=False`` and otherwise equal parameters the numbers are those of ``skimage.feature.hog``; a batch is
    computed without a loop over faces.

    Parameters
    ----------
    orientations : int, default=8
        Number of directions, 2 to 36.
    cell : int or sequence of int, default=6
        Side of a cell in pixels. Several sides give several scales, one after the other.
    block : int, default=2
        Side of a block in cells; blocks step by one cell. 1 normalises each cell by itself.
    norm : {"L2-Hys", "L2", "L1", "L1-sqrt"}, default="L2-Hys"
        How a block is normalised.
    signed : bool, default=True
        Whether light-to-dark and dark-to-light edges differ (directions over 360 degrees); scikit-image counts them as
        one (180 degrees).
    sqrt : bool, default=False
        Whether gradients are taken on the square root of the grey levels, which weakens shadows.

    Attributes
    ----------
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    Notes
    -----
    Columns are named ``hog/row3/col2/bin5`` by the cell that they describe. With blocks of more than one cell, a cell
    occurs once in each block that covers it: ``hog/block2_1/row3/col2/bin5``. With several scales the side of the
    cell comes first: ``hog/cell8/...``. Directions start at a horizontal gradient and turn towards the bottom of the
    picture, as in scikit-image.

    References
    ----------
    Dalal and Triggs (2005). Histograms of oriented gradients for human detection. CVPR.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> HOG(orientations=8, cell=16, block=1).fit_transform(faces).shape
    (5, 72)
    >>> str(HOG(block=1).fit(faces).get_feature_names_out()[-1])
    'hog/row7/col7/bin7'
    """

    family = "hog"

    def __init__(
        self,
        orientations: int = 8,
        cell: int | Sequence[int] = 6,
        block: int = 2,
        norm: str = "L2-Hys",
        signed: bool = True,
        sqrt: bool = False,
    ) -> None:
        self.orientations = orientations
        self.cell = cell
        self.block = block
        self.norm = norm
        self.signed = signed
        self.sqrt = sqrt

    def cells(self, X: Any, cell: int | None = None) -> NDArray[np.float32]:
        """Cell histograms before normalisation, the very ones that ``transform`` uses.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        cell : int or None, default=None
            Which scale, where there are several; by default the first.

        Returns
        -------
        ndarray of shape (n, rows, cols, orientations), dtype float32
            Sum of gradient magnitudes by direction, over the number of pixels of a cell.
        """
        faces = as_faces(X)
        sides = self._sides(faces.shape[1:])
        side = sides[0] if cell is None else cell
        if side not in sides:
            raise InputError(f"Got cell={cell!r}, expected one of {sides}.")
        out = np.empty((len(faces), *(extent // side for extent in faces.shape[1:]), self.orientations), np.float32)
        for rows in chunks(faces.shape, CHUNK_PIXELS):
            out[rows] = self._histograms(faces.crops[rows], [side])[0]
        return out

    def cell_evidence(self, evidence: NDArray[Any]) -> dict[int, NDArray[np.float64]]:
        """Evidence of the columns, added up by cell and direction.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_features)
            Something of each column, such as what it speaks for.

        Returns
        -------
        dict of int to ndarray of shape (n, rows, cols, orientations), dtype float64
            By the side of the cells. A cell that occurs in several blocks gets the sum of them.
        """
        found, start, size = {}, 0, self.block
        for side in self._sides(self.crop_shape_):
            width = _width(self, self.crop_shape_, side)
            rows, cols = (extent // side for extent in self.crop_shape_)
            shape = (len(evidence), rows - size + 1, cols - size + 1, size, size, self.orientations)
            blocks = np.asarray(evidence[:, start : start + width], dtype=np.float64).reshape(shape)
            cells = np.zeros((len(evidence), rows, cols, self.orientations))
            for i in range(size):
                for j in range(size):
                    cells[:, i : i + shape[1], j : j + shape[2]] += blocks[:, :, :, i, j]
            found[side], start = cells, start + width
        return found

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64]:
        found = np.zeros(faces.shape)
        for side, cells in self.cell_evidence(evidence).items():
            spread = np.kron(cells.sum(axis=3), np.full((1, side, side), 1 / side**2))
            found[:, : spread.shape[1], : spread.shape[2]] += spread
        return found

    def _learn(self, faces: Faces, y: Any) -> None:
        self._sides(faces.shape[1:])

    def _extract(self, faces: Faces) -> NDArray[np.float32]:
        sides = self._sides(self.crop_shape_)
        out = np.empty((len(faces), sum(_width(self, self.crop_shape_, side) for side in sides)), np.float32)
        for rows in chunks(faces.shape, CHUNK_PIXELS):
            blocks = [self._normalise(cells) for cells in self._histograms(faces.crops[rows], sides)]
            np.concatenate(blocks, axis=1, out=out[rows])
        return out

    def _names(self) -> list[str]:
        sides = self._sides(self.crop_shape_)
        names: list[str] = []
        for side in sides:
            scale = f"cell{side}/" if len(sides) > 1 else ""
            names += [scale + name for name in self._scale_names(side)]
        return names

    def _scale_names(self, side: int) -> list[str]:
        size = self.block
        block_rows, block_cols = (extent // side - size + 1 for extent in self.crop_shape_)
        return [
            (f"block{r}_{c}/" if size > 1 else "") + f"row{r + i}/col{c + j}/bin{k}"
            for r in range(block_rows)
            for c in range(block_cols)
            for i in range(size)
            for j in range(size)
            for k in range(self.orientations)
        ]

    def _sides(self, shape: tuple[int, ...]) -> list[int]:
        """Sides of the cells, after a check of every parameter against the crop."""
        if not is_whole(self.orientations) or not 2 <= self.orientations <= 36:
            raise InputError(f"Got orientations={self.orientations!r}, expected a whole number from 2 to 36.")
        if not is_whole(self.block) or self.block < 1:
            raise InputError(f"Got block={self.block!r}, expected a whole number of cells, at least 1.")
        if self.norm not in NORMS:
            raise InputError(f"Got norm={self.norm!r}, expected one of {list(NORMS)}.")
        sides: Any = [self.cell] if is_whole(self.cell) else self.cell
        if not is_list(sides):
            raise InputError(f"Got cell={self.cell!r}, expected a whole number of pixels or a list of them.")
        for side in sides:
            if not is_whole(side) or side < 2 or side * self.block > min(shape):
                raise InputError(
                    f"Got cell={self.cell!r} with block={self.block}, expected cells of at least 2 pixels whose blocks "
                    f"fit into crops of {shape[0]}x{shape[1]}."
                )
        if len(set(sides)) < len(sides):
            raise InputError(f"Got cell={self.cell!r}, expected each size once.")
        return [int(side) for side in sides]

    def _histograms(self, crops: NDArray[np.uint8], sides: Sequence[int]) -> list[NDArray[np.float32]]:
        magnitude, direction = _gradients(crops, self.orientations, self.signed, self.sqrt)
        return [_pool(magnitude, direction, side, self.orientations) for side in sides]

    def _normalise(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blocks of cells, each normalised, one row a face."""
        n, _, _, bins = cells.shape
        size = self.block
        windows = sliding_window_view(cells, (size, size), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        blocks = windows.reshape(-1, size * size * bins)
        if self.norm in ("L1", "L1-sqrt"):
            blocks = blocks / (blocks.sum(axis=1, keepdims=True) + EPS)
            return (np.sqrt(blocks) if self.norm == "L1-sqrt" else blocks).reshape(n, -1)
        blocks = blocks / _length(blocks)
        if self.norm == "L2-Hys":
            np.minimum(blocks, 0.2, out=blocks)
            blocks /= _length(blocks)
        return blocks.reshape(n, -1)


def _width(hog: HOG, shape: tuple[int, ...], side: int) -> int:
    rows, cols = (extent // side - hog.block + 1 for extent in shape)
    return rows * cols * hog.block**2 * hog.orientations


def _length(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.einsum("ij,ij->i", blocks, blocks) + np.float32(EPS**2))[:, None]


def _gradients(crops: NDArray[np.uint8], bins: int, signed: bool, sqrt: bool) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Magnitude and direction bin of every pixel; 0 along the border, as in scikit-image."""
    levels = np.sqrt(crops.astype(np.float64)) if sqrt else crops.astype(np.int32)
    down, across = np.zeros_like(levels), np.zeros_like(levels)
    np.subtract(levels[:, 2:], levels[:, :-2], out=down[:, 1:-1])
    np.subtract(levels[:, :, 2:], levels[:, :, :-2], out=across[:, :, 1:-1])
    if sqrt:
        return np.hypot(down, across), _bins(down, across, bins, signed)
    magnitudes, directions = _table(bins, signed)
    # Grey levels are whole numbers, so there are only 511 x 511 gradients: look them up.
    down *= 511
    down += across
    down += 255 * 512
    return np.take(magnitudes, down, mode="clip"), np.take(directions, down, mode="clip")


@lru_cache(maxsize=4)
def _table(bins: int, signed: bool) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    down, across = np.mgrid[-255:256, -255:256].astype(np.float64)
    return np.hypot(down, across).ravel(), _bins(down, across, bins, signed).ravel()


def _bins(down: NDArray[Any], across: NDArray[Any], bins: int, signed: bool) -> NDArray[np.uint8]:
    turn = 360.0 if signed else 180.0
    angle = np.arctan2(down, across) * (180 / np.pi) % turn
    # scikit-image keeps the limits in single precision; a gradient on a limit must fall on the same side.
    limits = (turn / bins * np.arange(1, bins)).astype(np.float32).astype(np.float64)
    return np.searchsorted(limits, angle, side="right").astype(np.uint8)


def _pool(magnitude: NDArray[Any], direction: NDArray[np.uint8], side: int, bins: int) -> NDArray[np.float32]:
    """Histogram of each cell: (n, rows, cols, bins)."""
    n, height, width = magnitude.shape
    rows, cols = height // side, width // side
    row, col = np.arange(height) // side, np.arange(width) // side
    place = np.where((row[:, None] < rows) & (col < cols), row[:, None] * cols + col, rows * cols) * bins
    # Pixels beyond the last whole cell are counted in one more cell, which is dropped.
    stride = (rows * cols + 1) * bins
    index = np.add(place + (np.arange(n) * stride)[:, None, None], direction, dtype=np.intp)
    sums = np.bincount(index.ravel(), magnitude.ravel(), minlength=n * stride).reshape(n, stride)
    return (sums[:, :-bins] / side**2).astype(np.float32).reshape(n, rows, cols, bins)
