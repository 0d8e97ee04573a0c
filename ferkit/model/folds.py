"""Splits that keep groups whole and class shares even, and out-of-fold answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError


def fold_of(codes: NDArray[Any], groups: Any, folds: int, seed: int) -> NDArray[np.intp]:
    """Fold of each row: groups stay whole, every class is spread evenly.

    Parameters
    ----------
    codes : ndarray of shape (n,), dtype int
        Class of each row.
    groups : array-like of shape (n,) or None
        Rows of one group share a fold. A group counts for its most frequent class; a class of several groups is
        in several folds.
    folds : int
        How many; fewer where there are fewer groups.
    seed : int
        For the order.

    Returns
    -------
    ndarray of shape (n,), dtype int
        0 to ``folds - 1``.
    """
    group = numbered(groups, len(codes))
    n_groups = int(group.max()) + 1
    counts = np.zeros((n_groups, int(codes.max()) + 1), dtype=np.intp)
    np.add.at(counts, (group, codes), 1)
    # Large groups first, class by class and dealt out in turn: folds then differ by little in size and in shares.
    shuffle = np.random.default_rng(seed).permutation(n_groups)
    order = shuffle[np.lexsort((-counts.sum(axis=1)[shuffle], counts.argmax(axis=1)[shuffle]))]
    dealt = np.empty(n_groups, dtype=np.intp)
    dealt[order] = np.arange(n_groups) % min(folds, n_groups)
    return _parted(dealt, counts > 0)[group]


def _parted(fold: NDArray[np.intp], has: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Folds of groups after a group moved of each class that one fold held alone: the others could not learn it.

    That happens to classes that are not the most frequent one of their groups, such as a rare label of two persons.

    Parameters
    ----------
    fold : ndarray of shape (n_groups,), dtype int
    has : ndarray of shape (n_groups, n_classes), dtype bool
        Classes of each group.
    """
    for code in _in_one_fold(fold, has):
        moves = [fold]
        for group in np.flatnonzero(has[:, code])[:3]:
            for to in range(int(fold.max()) + 1):
                moves.append(fold.copy())
                moves[-1][group] = to
        fold = min(moves, key=lambda moved: len(_in_one_fold(moved, has)))
    return fold


def _in_one_fold(fold: NDArray[np.intp], has: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Classes of two groups or more that are all in one fold."""
    return np.flatnonzero([own.sum() > 1 and len(np.unique(fold[own])) == 1 for own in has.T])


def numbered(groups: Any, n: int) -> NDArray[np.intp]:
    """Group of each of ``n`` rows as a number from 0 on; without groups each row is one. Refuses a single group."""
    group = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    if group.max() < 1:
        raise InputError("Got 1 group, expected at least 2 groups to fit a calibrator or a fusion.")
    return group


def known_elsewhere(codes: NDArray[Any], part: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Rows of classes that more than one part holds: what is fitted without a row's own part knows its class.

    Parameters
    ----------
    codes : ndarray of shape (n,), dtype int
        Class of each row.
    part : ndarray of shape (n,), dtype int
        Fold or group of each row.

    Returns
    -------
    ndarray of shape (n,), dtype bool
        All or none of the rows of a class.
    """
    held = np.unique(np.column_stack([codes, part]), axis=0)[:, 0]
    return np.asarray(np.bincount(held)[codes] > 1)


def out_of_fold(
    codes: NDArray[Any],
    fold: NDArray[np.intp],
    answer: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    n_classes: int,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Answers for each row from a model fitted on the other folds.

    Parameters
    ----------
    codes : ndarray of shape (n,), dtype int
        Class of each row.
    fold : ndarray of shape (n,), dtype int
        Fold of each row.
    answer : callable
        ``answer(train, test)`` fits on the rows ``train`` and returns numbers for the rows ``test``, one column for
        each class, or for each class among ``train``. At least two classes must be among them.
    n_classes : int
        Classes in all, also such without rows.

    Returns
    -------
    numbers : ndarray of shape (n, n_classes), dtype float64
        A class that a fold could not learn, because all its rows lie in that fold, has the lowest number of its row.
    known : ndarray of shape (n,), dtype bool
        False for the rows of such a class: no answer to them can be right, and nothing may be fitted on these answers.
    """
    out = np.zeros((len(codes), n_classes))
    for held_out in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        known = np.unique(codes[train])
        if len(known) < 2:
            raise InputError("Got folds with only one class, expected 2 or more rows (and groups) of each class.")
        numbers = answer(train, test)
        out[test] = numbers.min(axis=1, keepdims=True)
        out[np.ix_(test, known if numbers.shape[1] == len(known) else np.arange(n_classes))] = numbers
    return out, known_elsewhere(codes, fold)
