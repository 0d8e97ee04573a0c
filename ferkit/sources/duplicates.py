"""Near-duplicate faces: the same picture cropped, scaled, lit or mirrored a little differently."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.sources.images import to_grey

NEEDED = 3
"""Groups of a label from which some can be held out: a fusion takes two and leaves its bases one, another model takes
one and leaves two, because calibration sets one aside again."""

_SIDE = 48
_COARSE = 16
_ROWS = 2048


def near_duplicates(crops: Any, threshold: float = 0.95) -> NDArray[np.intp]:
    """Pairs of faces that are nearly the same, mirror images included.

    Each picture is made grey, brought to 48x48 and averaged to 16x16; a pair is near where the correlation of the two,
    or of one and the mirror image of the other, is above the threshold. Pictures of one single grey level are near
    nothing. Time grows with the square of the number of pictures, memory does not.

    Parameters
    ----------
    crops : array-like of shape (n, h, w), or sequence of pictures of any size
    threshold : float, default=0.95
        Correlation, 0 to 1.

    Returns
    -------
    ndarray of shape (n_pairs, 2), dtype intp
        Positions, the smaller first, sorted.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> near_duplicates(np.concatenate([faces, faces[:1, :, ::-1]]))
    array([[0, 3]])
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or not 0 < threshold < 1:
        raise InputError(f"Got threshold={threshold!r}, expected a number between 0 and 1.")
    coarse = _coarse(crops)
    plain, mirrored = _standardised(coarse), _standardised(coarse[:, :, ::-1])
    found = [np.empty((0, 2), np.intp)]
    for start in range(0, len(plain), _ROWS):
        rows = plain[start : start + _ROWS]
        for other in (plain[start:], mirrored[start:]):
            first, second = np.nonzero(rows @ other.T > threshold)
            later = first < second
            found.append(np.column_stack([first[later], second[later]]) + start)
    return np.unique(np.concatenate(found), axis=0)


def clusters(crops: Any, threshold: float = 0.95) -> NDArray[np.intp]:
    """Groups of near-duplicates, for splits that never part two of them.

    Parameters
    ----------
    crops : array-like of shape (n, h, w), or sequence of pictures of any size
    threshold : float, default=0.95
        As in ``near_duplicates``.

    Returns
    -------
    ndarray of shape (n,), dtype intp
        Number of the group of each face: two faces that are joined by a chain of near pairs share one.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> clusters(np.concatenate([faces, faces[:1]])).tolist()
    [0, 1, 2, 0]
    """
    return connected(near_duplicates(crops, threshold), len(crops))


def connected(pairs: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Number of the connected component of each of n nodes, numbered in order of appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.intp)


def groups_of(pairs: NDArray[np.intp], subjects: NDArray[Any] | None, n: int) -> NDArray[np.intp]:
    """Number of the group of each of ``n`` rows: near-duplicates, and rows of one person, share one."""
    if subjects is None:
        return connected(pairs, n)
    same = [np.flatnonzero(subjects == person) for person in sorted(set(subjects) - {""})]
    chains = [np.column_stack([rows[:-1], rows[1:]]) for rows in same]
    return connected(np.concatenate([pairs, *chains]), n)


def shrunk(picture: Any) -> NDArray[np.uint8]:
    """Grey copy of a picture, 48x48."""
    grey = to_grey(np.asarray(picture))
    if grey.shape == (_SIDE, _SIDE):
        return grey
    way = cv2.INTER_AREA if min(grey.shape) > _SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=way), dtype=np.uint8)


def _coarse(crops: Any) -> NDArray[np.float32]:
    """16x16 averages of all pictures."""
    coarse = np.empty((len(crops), _COARSE, _COARSE), np.float32)
    step = _SIDE // _COARSE
    for i, picture in enumerate(crops):
        blocks = shrunk(picture).reshape(_COARSE, step, _COARSE, step)
        coarse[i] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return coarse


def _standardised(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of mean 0 and length 1, so that their products are correlations; flat pictures become 0."""
    rows = pictures.reshape(len(pictures), _COARSE * _COARSE)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)
