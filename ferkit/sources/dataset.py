"""What every data-set reader gives: ``Dataset``, and ``Pictures`` that stay on disk until they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError, PictureError
from ferkit.files import legible
from ferkit.labels import EXPRESSIONS, mapped, ordered
from ferkit.pixels import eight_bit
from ferkit.records import rows_at
from ferkit.sources.images import read_image

SPLITS = {
    "training": "Training",
    "train": "Training",
    "publictest": "PublicTest",
    "validation": "PublicTest",
    "valid": "PublicTest",
    "val": "PublicTest",
    "dev": "PublicTest",
    "privatetest": "PrivateTest",
}
"""Spellings of splits, in lower case, and ferkit's one name for each (FER2013's)."""

_TEST = ("test", "testing")
_SMALL = 128 * 128


def split_names(names: Sequence[str]) -> list[str]:
    """One spelling of the splits of a set: Training, PublicTest, PrivateTest; other names stay as they are.

    ``train`` becomes Training and ``validation`` PublicTest. ``test`` becomes PrivateTest where the set also has a
    validation part, and Test where it has none: it may hold what others call validation too.

    Examples
    --------
    >>> split_names(["train", "test"]), split_names(["train", "val", "test"])
    (['Training', 'Test'], ['Training', 'PublicTest', 'PrivateTest'])
    """
    known = [SPLITS.get(name.strip().lower(), name.strip()) for name in names]
    test = "PrivateTest" if "PublicTest" in known else "Test"
    return [test if name.lower() in _TEST else name for name in known]


class Pictures(Sequence[Any]):
    """Pictures on disk, read one at a time when they are asked for.

    Parameters
    ----------
    paths : sequence of str or Path

    Examples
    --------
    >>> some = Pictures(["a.png", "b.png", "c.png"])
    >>> len(some), some[[True, False, True]].paths.tolist(), some[1:].shape
    (3, ['a.png', 'c.png'], (2,))
    """

    def __init__(self, paths: Sequence[str | Path] | NDArray[Any]) -> None:
        self.paths: NDArray[Any] = np.array([str(path) for path in paths], dtype=object)

    @property
    def shape(self) -> tuple[int]:
        """``(n,)``: scikit-learn then keeps rows with one index and does not read the pictures."""
        return self.paths.shape

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Any) -> Any:
        rows = key[0] if isinstance(key, tuple) else key
        if isinstance(rows, (int, np.integer)):
            return read_image(self.paths[rows])
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows.astype(np.intp) if rows.size == 0 else rows
        return Pictures(self.paths[rows])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (read_image(path) for path in self.paths)

    def __repr__(self) -> str:
        return f"Pictures(n={len(self)})"


def _strings(values: Any, n: int, name: str) -> NDArray[Any]:
    array = np.array([str(value) for value in values], dtype=object)
    if len(array) != n:
        raise InputError(f"Got {name} with {len(array)} rows, expected {n}, one for each picture.")
    return array


def _words(values: Any, n: int, name: str) -> NDArray[Any]:
    """Strings that can be written as UTF-8."""
    return _strings([legible(str(value)) for value in values], n, name)


def _stacked(pictures: Sequence[Any]) -> NDArray[np.uint8]:
    """Pictures of a list, of which rows could not be taken by mask, as a stack."""
    arrays = [np.asarray(picture) for picture in pictures]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1 or any(len(shape) < 2 for shape in shapes):
        raise InputError(
            f"Got a list of pictures with shapes {', '.join(map(str, shapes[:3]))}, expected one shape. "
            "Keep pictures of several sizes as files: Dataset(Pictures(paths), labels)."
        )
    return eight_bit(np.stack(arrays), "pictures") if arrays else np.empty((0, 48, 48), np.uint8)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures as parallel arrays, one row a picture.

    Parameters
    ----------
    pictures : ndarray of shape (n, h, w), dtype uint8, or Pictures
        Grey stack, or pictures that stay on disk. A list of pictures of one size becomes a stack.
    labels : array-like of shape (n,), str
        Built-in names (see ``ferkit.labels``) or categories of one's own.
    splits : array-like of shape (n,), str, or None, default=None
        Official part of each row; '' where the set has none.
    subjects : array-like of shape (n,), str, or None, default=None
        Person of each row, '' where unknown; None where the set names nobody.
    votes : array-like of shape (n, len(vote_names)) or None, default=None
        Shares of the taggers' votes (FER+), each row adds up to 1.
    names : array-like of shape (n,), str, or None, default=None
        File, or file and line, that each row came from; by default its number.
    skipped : list of (str, str)
        What could not be read, and why.
    kind : str
        Reader that made it: ``fer2013``, ``ferplus``, ``ckplus``, ``jaffe``, ``table``, ``folders`` or ``sample``.
    vote_names : tuple of str
        Label of each column of ``votes``.

    Examples
    --------
    >>> labels, splits = ["anger", "happiness", "anger"], ["Training", "Training", "Test"]
    >>> data = Dataset(np.zeros((3, 48, 48), np.uint8), labels, splits)
    >>> len(data.split("Training")), data[[0, 2]].labels.tolist(), data.relabel({"anger": None}).classes
    (2, ['anger', 'anger'], ['happiness'])
    """

    pictures: Any
    labels: Any
    splits: Any = None
    subjects: Any = None
    votes: Any = None
    names: Any = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    kind: str = ""
    vote_names: tuple[str, ...] = EXPRESSIONS

    def __post_init__(self) -> None:
        if type(self.pictures) in (list, tuple):  # a sequence of one's own may take masks
            self._set("pictures", _stacked(self.pictures))
        n = len(self.pictures)
        self._set("labels", _words(self.labels, n, "labels"))
        self._set("splits", _words([""] * n if self.splits is None else self.splits, n, "splits"))
        self._set("names", _strings(range(n) if self.names is None else self.names, n, "names"))
        if self.subjects is not None:
            self._set("subjects", _words(self.subjects, n, "subjects"))
        if self.votes is not None:
            votes = np.asarray(self.votes, dtype=np.float32)
            if votes.shape != (n, len(self.vote_names)):
                raise InputError(f"Got votes with shape {votes.shape}, expected {(n, len(self.vote_names))}.")
            self._set("votes", votes)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def classes(self) -> list[str]:
        """Distinct labels, in ferkit's order."""
        return ordered(self.labels)

    @property
    def split_names(self) -> list[str]:
        """Distinct splits in the order in which they appear, without ''."""
        return [name for name in dict.fromkeys(self.splits) if name]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Dataset:
        """Rows by mask, slice or array of positions; one row by its position."""
        if isinstance(rows, (int, np.integer)):
            rows = rows_at(rows, len(self))
        rows = rows if isinstance(rows, slice) else np.asarray(rows, dtype=None if len(rows) else np.intp)
        kept = ("pictures", "labels", "splits", "subjects", "votes", "names")
        parts = {name: getattr(self, name) for name in kept}
        chosen: dict[str, Any] = {name: None if part is None else part[rows] for name, part in parts.items()}
        return replace(self, **chosen)

    def split(self, name: str) -> Dataset:
        """Rows of one split; its usual spellings (``train``, ``val``, ``test`` ...) do too.

        Raises
        ------
        DataError
            The set has no such split; the message lists those it has.
        """
        wanted = [name, *split_names([name]), *(["PrivateTest"] if name.lower() in _TEST else [])]
        found = next((own for want in wanted for own in self.split_names if own.lower() == want.lower()), None)
        if found is None:
            have = ", ".join(self.split_names) or "none: leave the split out"
            raise DataError(f"Got split={name!r}, expected one that the set has ({have}).")
        return self[self.splits == found]

    def relabel(self, mapping: Mapping[str, str | None]) -> Dataset:
        """Labels renamed or merged; rows whose label becomes None are dropped.

        Votes follow: columns of merged labels are added up, those of dropped labels left out and the rest made to add
        up to 1 again.

        Parameters
        ----------
        mapping : mapping of str to str or None
            New name of each label; labels that it does not hold stay.

        Raises
        ------
        DataError
            It names a label that the set does not have.
        """
        unknown = sorted(set(mapping) - set(self.labels) - set(EXPRESSIONS))
        if unknown:
            raise DataError(f"Got label={unknown[0]!r} to rename, expected one of {', '.join(self.classes)}.")
        new = [mapped(label, mapping) for label in self.labels]
        kept = self[np.array([label is not None for label in new], dtype=bool)]
        labels = [label for label in new if label is not None]
        if self.votes is None:
            return replace(kept, labels=labels)
        votes, names = _merged_votes(kept.votes, self.vote_names, mapping)
        return replace(kept, labels=labels, votes=votes, vote_names=names)

    def __repr__(self) -> str:
        splits = ", ".join(self.split_names) or "no splits"
        return f"Dataset({self.kind or 'own'}, n={len(self)}, {len(self.classes)} classes, {splits})"


def _merged_votes(
    votes: NDArray[np.float32], names: tuple[str, ...], mapping: Mapping[str, str | None]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    targets = [mapped(name, mapping) for name in names]
    new = tuple(ordered(target for target in targets if target is not None))
    merged = np.zeros((len(votes), len(new)), np.float32)
    for column, target in enumerate(targets):
        if target is not None:
            merged[:, new.index(target)] += votes[:, column]
    total = merged.sum(axis=1, keepdims=True)
    return np.divide(merged, total, out=np.full_like(merged, 1 / len(new)), where=total > 0), new


def from_files(
    paths: Sequence[Path],
    labels: Sequence[str],
    *,
    kind: str,
    names: Sequence[str],
    splits: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    skipped: Sequence[tuple[str, str]] = (),
    check: bool = True,
) -> Dataset:
    """Dataset of picture files.

    Every file is read once, and those that cannot be read go to ``skipped``. Small grey pictures of one size (faces
    that are already cropped) are kept as a stack; all others stay on disk. ``check=False`` reads nothing.
    """
    skipped = list(skipped)
    keep: Any = slice(None)
    pictures: Any = Pictures(paths)
    if check:
        pictures, keep, broken = _checked(paths, names)
        skipped += broken
    data = Dataset(Pictures(paths), labels, splits, subjects, names=names, skipped=skipped, kind=kind)[keep]
    return replace(data, pictures=pictures)


def _checked(paths: Sequence[Path], names: Sequence[str]) -> tuple[Any, Any, list[tuple[str, str]]]:
    """Pictures that can be read, their rows, and the others with the reason."""
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(_read_small, paths))
    rows = np.array([i for i, item in enumerate(read) if not isinstance(item, str)], dtype=np.intp)
    broken = [(names[i], item) for i, item in enumerate(read) if isinstance(item, str)]
    good = [read[i] for i in rows]
    if good and all(isinstance(item, np.ndarray) and item.shape == good[0].shape for item in good):
        return np.stack(good), rows, broken
    return Pictures([paths[i] for i in rows]), rows, broken


def _read_small(path: Path) -> NDArray[np.uint8] | tuple[int, ...] | str:
    """Pixels of a small grey picture, the shape of any other, or the reason why it cannot be read."""
    try:
        image = read_image(path)
    except PictureError as error:
        return str(error)
    return image if image.ndim == 2 and image.size <= _SMALL else image.shape
