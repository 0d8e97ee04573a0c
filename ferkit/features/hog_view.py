"""Oriented gradients as strokes along the edges of a face, from the very cells that the classifier used."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.features.hog import HOG

FAINTEST = 0.15
"""Strokes weaker than this share of the strongest are left out."""

_REACH = 0.45
"""Half of a stroke's length, in sides of a cell."""


def edges(cells: NDArray[Any], signed: bool) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Directions of edges, and how strong they are in each cell.

    Parameters
    ----------
    cells : ndarray of shape (rows, cols, orientations)
        Histograms of one face, as ``HOG.cells`` gives them, or a mean of such.
    signed : bool
        Whether directions run over 360 degrees. An edge has no direction: opposite ones are added.

    Returns
    -------
    angles : ndarray of shape (n_directions,), dtype float64
        Radians from the right towards below.
    strengths : ndarray of shape (rows, cols, n_directions)
        Square root of the share of the strongest, 0 to 1.
    """
    count = cells.shape[2]
    angles = (np.arange(count) + 0.5) * (2 if signed else 1) * np.pi / count + np.pi / 2
    if signed and count % 2 == 0:
        cells, angles = cells[..., : count // 2] + cells[..., count // 2 :], angles[: count // 2]
    return angles, np.sqrt(np.maximum(cells, 0) / max(float(cells.max()), 1e-6))


def strokes(cells: NDArray[Any], side: float, signed: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One stroke for each direction of each cell, along the edge, across the gradient.

    Parameters
    ----------
    cells : ndarray of shape (rows, cols, orientations)
        Histograms of one face, as ``HOG.cells`` gives them, or a mean of such.
    side : float
        Side of a cell, in the unit that the strokes are wanted in.
    signed : bool
        Whether directions run over 360 degrees. An edge has no direction: opposite ones are added.

    Returns
    -------
    lines : ndarray of shape (n, 2, 2), dtype float64
        Both ends (x, y) of each stroke, faint ones left out.
    strengths : ndarray of shape (n,), dtype float64
        Square root of the share of the strongest, ``FAINTEST`` to 1.

    Examples
    --------
    >>> face = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (48, 1))  # lighter and lighter to the right
    >>> lines, _ = strokes(HOG(orientations=9, signed=False).cells(face[None])[0], 6, signed=False)
    >>> bool((np.abs(np.diff(lines[..., 1])) > np.abs(np.diff(lines[..., 0]))).all())  # upright
    True
    """
    angles, strengths = edges(cells, signed)
    row, col, k = np.nonzero(strengths > FAINTEST)
    middles = (np.stack([col, row], axis=1) + 0.5) * side
    reach = _REACH * side * np.stack([np.cos(angles), np.sin(angles)], axis=1)[k]
    lines = np.stack([middles - reach, middles + reach], axis=1)
    return lines.astype(np.float64), strengths[row, col, k].astype(np.float64)


def hog_view(crop: NDArray[np.uint8], side: int, hog: HOG | None = None) -> NDArray[np.uint8]:
    """Oriented gradients of a face as a picture: light strokes on black.

    Parameters
    ----------
    crop : ndarray of shape (h, w), dtype uint8
        Face.
    side : int
        Height and width of the view in pixels.
    hog : HOG or None, default=None
        Whose cells are shown: the first scale, where there are several.

    Returns
    -------
    ndarray of shape (side, side, 3), dtype uint8
    """
    hog = hog or HOG(cell=6, block=1)
    cells = hog.cells(crop[None])[0]
    fine = 4 * side
    view = np.zeros((fine, fine, 3), np.uint8)
    lines, strengths = strokes(cells, fine / max(cells.shape[:2]), hog.signed)
    for (start, end), strength in zip(np.rint(lines).astype(int).tolist(), strengths, strict=True):
        cv2.line(view, start, end, (round(255 * float(strength)),) * 3, max(1, fine // 160))
    return np.asarray(cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
