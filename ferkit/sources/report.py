"""What a data set holds: counts, sizes, broken files, duplicates, persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.sources.dataset import Dataset
from ferkit.sources.duplicates import NEEDED, forest, groups_of, pairs_by_block, shrunk

LISTED = 1000
"""Pairs that are named at most; the text names ten."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures that are the same, or nearly.

    Parameters
    ----------
    within, across : int
        Pairs in one split, and pairs with one picture in each of two splits.
    labels_differ : int
        Those of all pairs whose labels differ.
    """

    within: int
    across: int
    labels_differ: int


@dataclass(frozen=True)
class Pair:
    """Two pictures that are the same, or nearly.

    Parameters
    ----------
    first, second : str
        Their names in the set.
    exact : bool
        Whether all pixels are the same.
    across, labels_differ : bool
        Whether they stand in two splits, and under two labels.
    """

    first: str
    second: str
    exact: bool
    across: bool
    labels_differ: bool

    def line(self) -> str:
        """The pair as a line of text."""
        marks = [self.exact and "same pixels", self.across and "two splits", self.labels_differ and "different labels"]
        said = ", ".join(mark for mark in marks if mark)
        return f"  {self.first}  {self.second}" + (f"  ({said})" if said else "")


@dataclass(frozen=True)
class Report:
    """What ``inspect`` found.

    Parameters
    ----------
    kind : str
        Reader that read the set.
    n : int
        Pictures that can be used.
    classes, splits : list of str
    counts : dict of str to dict of str to int
        Pictures by split ('' where the set has none), then by class.
    sizes : dict of str to int
        Pictures by ``widthxheight``, most frequent first.
    subjects : int or None
        Persons; None where the set names nobody.
    subjects_across : int
        Persons that appear in more than one split.
    skipped : list of (str, str)
        What could not be read, and why.
    exact : Pairs
        Same pixels.
    near : Pairs or None
        Correlation above 0.95 as in ``near_duplicates``, the exact ones among them; None where not looked for.
    distinct : dict of str to int or None
        Pictures of each class when near duplicates, and pictures of one person, count once.
    pairs : list of Pair
        The first 1,000 of both, those across splits first, then those with different labels. A picture that is there
        many times is paired with its next copy, and also with the others where near duplicates are looked for.
    pairs_left_out : int
        Pairs beyond these.
    """

    kind: str
    n: int
    classes: list[str]
    splits: list[str]
    counts: dict[str, dict[str, int]]
    sizes: dict[str, int]
    subjects: int | None
    subjects_across: int
    skipped: list[tuple[str, str]]
    exact: Pairs
    near: Pairs | None
    distinct: dict[str, int] | None
    pairs: list[Pair]
    pairs_left_out: int

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report as lines of text."""
        head = f"{self.kind}: {self.n} pictures, {len(self.classes)} classes"
        sizes = ", ".join(f"{size} ({n})" for size, n in list(self.sizes.items())[:5])
        more = f" and {len(self.sizes) - 5} other sizes" if len(self.sizes) > 5 else ""
        people = "not named" if self.subjects is None else f"{self.subjects}, {self.subjects_across} in several splits"
        near = "not looked for" if self.near is None else _said(self.near)
        broken = [f"  {name}: {reason}" for name, reason in self.skipped[:10]]
        twins = [pair.line() for pair in self.pairs[:10]]
        if more_twins := len(self.pairs) - len(twins) + self.pairs_left_out:
            twins.append(f"  and {more_twins} more")
        more_broken = [f"  and {len(self.skipped) - 10} more"] if len(self.skipped) > 10 else []
        return [
            head,
            "",
            *self._table(),
            "",
            f"sizes             {sizes}{more}",
            f"persons           {people}",
            f"exact duplicates  {_said(self.exact)}",
            f"near duplicates   {near}",
            *twins,
            *self._few(),
            f"skipped           {len(self.skipped)}",
            *broken,
            *more_broken,
        ]

    def _few(self) -> list[str]:
        """Classes of which too little is left when near duplicates count once."""
        totals = {name: sum(by_class[name] for by_class in self.counts.values()) for name in self.classes}
        return [
            f"  {totals[name]} of {name!r} count as {n}: ferkit fit needs {NEEDED} to hold some out, collect more"
            for name, n in (self.distinct or {}).items()
            if n < min(NEEDED, totals[name])
        ]

    def _table(self) -> list[str]:
        """Counts by class (rows) and split (columns)."""
        titles = [split or "no split" for split in self.counts]
        rows: list[list[Any]] = [
            [name, *(by_class.get(name, 0) for by_class in self.counts.values())] for name in self.classes
        ]
        rows.append(["all", *(sum(by_class.values()) for by_class in self.counts.values())])
        if len(titles) > 1:
            titles.append("all")
            rows = [[*row, sum(row[1:])] for row in rows]
        first = max(len(str(row[0])) for row in rows)
        widths = [max(len(title), 6) for title in titles]
        lines = [" " * first + "".join(f"  {title:>{w}}" for title, w in zip(titles, widths, strict=True))]
        for name, *values in rows:
            lines.append(f"{name:<{first}}" + "".join(f"  {v:>{w}}" for v, w in zip(values, widths, strict=True)))
        return lines


def _said(pairs: Pairs) -> str:
    total = pairs.within + pairs.across
    if not total:
        return "none"
    return (
        f"{total} pairs: {pairs.within} within a split, {pairs.across} across splits, {pairs.labels_differ} with "
        "different labels"
    )


def inspect(dataset: Dataset, *, near: bool = True, advance: Callable[[int], Any] = lambda n: None) -> Report:
    """Look through a data set.

    Parameters
    ----------
    dataset : Dataset
    near : bool, default=True
        Also look for near duplicates; takes time that grows with the square of the number of pictures.
    advance : callable, default=does nothing
        Called with 1 after each picture.
    """
    small = np.empty((len(dataset), 48, 48), np.uint8)
    sizes: Counter[str] = Counter()
    digests = []
    for i, picture in enumerate(dataset.pictures):
        sizes[f"{picture.shape[1]}x{picture.shape[0]}"] += 1
        digests.append(blake2b(picture.tobytes() + str(picture.shape).encode(), digest_size=16).digest())
        small[i] = shrunk(picture)
        advance(1)
    blocks = pairs_by_block(small) if near else iter(())
    counted, joined, foremost, total = _looked_through(dataset, digests, blocks)
    return Report(
        kind=dataset.kind,
        n=len(dataset),
        classes=dataset.classes,
        splits=dataset.split_names,
        counts=_counts(dataset),
        sizes=dict(sizes.most_common()),
        subjects=None if dataset.subjects is None else len(set(dataset.subjects) - {""}),
        subjects_across=_subjects_across(dataset),
        skipped=list(dataset.skipped),
        exact=_exact(dataset, digests),
        near=counted if near else None,
        distinct=_distinct(dataset, joined) if near else None,
        pairs=_named(dataset, digests, foremost),
        pairs_left_out=total - len(foremost),
    )


def _counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    by_split: dict[str, dict[str, int]] = {}
    for split in dict.fromkeys(dataset.splits):
        labels = Counter(dataset.labels[dataset.splits == split])
        by_split[split] = {name: labels[name] for name in dataset.classes}
    return by_split


def _subjects_across(dataset: Dataset) -> int:
    if dataset.subjects is None:
        return 0
    pairs = {(subject, split) for subject, split in zip(dataset.subjects, dataset.splits, strict=True) if subject}
    return sum(n > 1 for n in Counter(subject for subject, _ in pairs).values())


def _exact(dataset: Dataset, digests: list[bytes]) -> Pairs:
    """Counted from group sizes, because copies of one picture make very many pairs."""
    every = _pairs_in(digests)
    within = _pairs_in(list(zip(digests, dataset.splits, strict=True)))
    same_label = _pairs_in(list(zip(digests, dataset.labels, strict=True)))
    return Pairs(within, every - within, every - same_label)


def _pairs_in(keys: list[Any]) -> int:
    return sum(n * (n - 1) // 2 for n in Counter(keys).values())


def _looked_through(
    dataset: Dataset, digests: list[bytes], blocks: Iterable[NDArray[np.intp]]
) -> tuple[Pairs, NDArray[np.intp], NDArray[np.intp], int]:
    """Near pairs counted and joined; the pairs to name, those that matter most first; how many without a limit."""
    codes = [np.unique(texts.astype(str), return_inverse=True)[1] for texts in (dataset.splits, dataset.labels)]
    counted, total, named = np.zeros(3, int), 0, np.empty((0, 2), np.intp)
    copies, joined = _copies(digests), [named]
    for pairs in blocks:
        across, differ = (code[pairs[:, 0]] != code[pairs[:, 1]] for code in codes)
        counted += [(~across).sum(), across.sum(), differ.sum()]
        copies = copies[~np.isin(_numbers(copies, len(dataset)), _numbers(pairs, len(dataset)))]
        joined.append(forest(pairs))
        total, named = total + len(pairs), _foremost(np.concatenate([named, pairs]), codes)
    named = _foremost(np.concatenate([named, copies]), codes)
    return Pairs(*counted.tolist()), np.concatenate(joined), named, total + len(copies)


def _copies(digests: list[bytes]) -> NDArray[np.intp]:
    """Each picture with the next one of the same pixels."""
    codes = np.unique(np.array(digests), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    return np.column_stack([order[:-1][same], order[1:][same]])


def _numbers(pairs: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """One number a pair."""
    return pairs[:, 0] * n + pairs[:, 1]


def _foremost(pairs: NDArray[np.intp], codes: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The first pairs, those across splits before others, then those with different labels."""
    same_split, same_label = (code[pairs[:, 0]] == code[pairs[:, 1]] for code in codes)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], same_label, same_split))[:LISTED]]


def _named(dataset: Dataset, digests: list[bytes], pairs: NDArray[np.intp]) -> list[Pair]:
    names, splits, labels = dataset.names.astype(str), dataset.splits, dataset.labels
    return [
        Pair(names[a], names[b], digests[a] == digests[b], splits[a] != splits[b], labels[a] != labels[b])
        for a, b in pairs.tolist()
    ]


def _distinct(dataset: Dataset, joined: NDArray[np.intp]) -> dict[str, int]:
    groups = groups_of(joined, dataset.subjects, len(dataset))
    return {name: len(set(groups[dataset.labels == name])) for name in dataset.classes}
