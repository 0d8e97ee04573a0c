"""Splits for sets that have none: persons and near-duplicates are never parted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ferkit.sources.dataset import Dataset
from ferkit.sources.duplicates import near_groups, shrunk

SHARES = {"Training": 0.70, "PublicTest": 0.15, "PrivateTest": 0.15}
"""Share of each class that each split gets, as nearly as whole groups allow."""


def assign_splits(dataset: Dataset, seed: int = 0) -> Dataset:
    """Give a split to every row that has none; rows that have one keep it.

    Rows of one person, and near-duplicates, go together: to the split that one of them has already, or else, the
    largest groups first, to the one that lacks most of their classes.

    Parameters
    ----------
    dataset : Dataset
    seed : int, default=0
        Breaks ties.

    Returns
    -------
    Dataset
        The same rows with ``splits`` filled.
    """
    names = list(SHARES)
    groups = _groups(dataset)
    classes = np.array([dataset.classes.index(label) for label in dataset.labels], dtype=np.intp)
    counts = np.zeros((groups.max(initial=-1) + 1, len(dataset.classes)))
    np.add.at(counts, (groups, classes), 1)
    free = dataset.splits == ""
    lacks = np.outer(list(SHARES.values()), counts.sum(0))
    chosen = np.full(len(counts), "", dtype=object)
    for group, split in zip(groups[~free], dataset.splits[~free], strict=True):
        chosen[group] = split
    for group in np.flatnonzero(chosen != ""):
        if chosen[group] in names:
            lacks[names.index(chosen[group])] -= counts[group]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(chosen == ""))
    for group in sorted(order, key=lambda group: -counts[group].sum()):
        best = int((lacks @ counts[group]).argmax())
        chosen[group] = names[best]
        lacks[best] -= counts[group]
    return replace(dataset, splits=np.where(free, chosen[groups], dataset.splits))


def _groups(dataset: Dataset) -> NDArray[np.intp]:
    """Number of the group of each row."""
    small = np.stack([shrunk(picture) for picture in dataset.pictures])
    return near_groups(small, dataset.subjects)[0]
