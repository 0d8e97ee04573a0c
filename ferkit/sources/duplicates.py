"""Near-duplicate faces: the same picture cropped, scaled, lit or mirrored a little differently."""

from __future__ import annotations

from collections.abc import Iterator
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
_ROWS = 512


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
    return np.concatenate([np.empty((0, 2), np.intp), *pairs_by_block(crops, threshold)])


def pairs_by_block(crops: Any, threshold: float = 0.95) -> Iterator[NDArray[np.intp]]:
    """``near_duplicates`` in parts, because thousands of like frames make more pairs than memory holds.

    Parameters
    ----------
    crops, threshold
        As for ``near_duplicates``.

    Yields
    ------
    ndarray of shape (n_pairs, 2), dtype intp
        The pairs whose first face is one of the next rows, sorted.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or not 0 < threshold < 1:
        raise InputError(f"Got threshold={threshold!r}, expected a number between 0 and 1.")
    coarse = _coarse(crops)
    plain, mirrored = _standardised(coarse), _standardised(coarse[:, :, ::-1])
    for start in range(0, len(plain), _ROWS):
        rows = plain[start : start + _ROWS]
        near = rows @ plain[start:].T > threshold
        near |= rows @ mirrored[start:].T > threshold
        first, second = np.nonzero(np.triu(near, 1))
        yield np.column_stack([first, second]) + start


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
    return near_groups(crops, threshold=threshold)[0]


def near_groups(
    crops: Any, subjects: NDArray[Any] | None = None, held_out: NDArray[np.bool_] | None = None, threshold: float = 0.95
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rows that belong together, and rows that are nearly the same as a held-out one.

    Parameters
    ----------
    crops : array-like of shape (n, h, w), or sequence of pictures of any size
    subjects : ndarray of shape (n,), str, or None, default=None
        Persons; rows of one, but not of '', share a group too.
    held_out : ndarray of shape (n,), dtype bool, or None, default=None
        Held-out rows; None for none.
    threshold : float, default=0.95
        As in ``near_duplicates``.

    Returns
    -------
    groups : ndarray of shape (n,), dtype intp
        As ``clusters`` gives them.
    twins : ndarray of shape (n,), dtype bool
        Rows outside ``held_out`` that make a pair with one inside.
    """
    n = len(crops)
    inside = np.zeros(n, bool) if held_out is None else held_out
    twins, joined = np.zeros(n, bool), [np.empty((0, 2), np.intp)]
    for pairs in pairs_by_block(crops, threshold):
        twins[pairs[inside[pairs[:, 0]] != inside[pairs[:, 1]]]] = True
        joined.append(forest(pairs))
    return groups_of(np.concatenate(joined), subjects, n), twins & ~inside


def groups_of(pairs: NDArray[np.intp], subjects: NDArray[Any] | None, n: int) -> NDArray[np.intp]:
    """Number of the group of each of ``n`` rows: near-duplicates, and rows of one person, share one."""
    if subjects is None:
        return _connected(pairs, n)
    same = [np.flatnonzero(subjects == person) for person in sorted(set(subjects) - {""})]
    chains = [np.column_stack([rows[:-1], rows[1:]]) for rows in same]
    return _connected(np.concatenate([pairs, *chains]), n)


def forest(pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """As few pairs as join the same rows."""
    rows, places = np.unique(pairs, return_inverse=True)
    group = _connected(places.reshape(-1, 2), len(rows))
    first = rows[np.unique(group, return_index=True)[1]][group]
    return np.column_stack([first, rows])[first != rows]


def _connected(pairs: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Number of the connected component of each of n nodes, numbered in order of appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.intp)


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
