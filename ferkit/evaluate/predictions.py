"""Answers row by row, as a CSV file that can be kept, read again and compared with others."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError
from ferkit.evaluate.metrics import evaluate
from ferkit.files import write_whole

Array = NDArray[Any]
START = ("name", "true", "predicted", "found", "group")
MARK = "p_"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of a model, one row a picture.

    Parameters
    ----------
    names : ndarray of shape (n,), str
        What tells the rows apart; each once.
    y_true : ndarray of shape (n,), str
        Labels.
    proba : ndarray of shape (n, len(labels))
        Probabilities.
    labels : list of str
        Label of each column.
    found : ndarray of shape (n,), dtype bool
        Whether a face was found.
    groups : ndarray of shape (n,), str, or None, default=None
        Person or cluster of near-duplicates of each row.

    Examples
    --------
    >>> answers = Predictions(["a.png", "b.png"], ["fear", "fear"], [[0.9, 0.1], [0.4, 0.6]], ["anger", "fear"])
    >>> answers.predicted.tolist(), answers.right.tolist()
    (['anger', 'fear'], [False, True])
    """

    names: Any
    y_true: Any
    proba: Any
    labels: Sequence[str]
    found: Any = None
    groups: Any = None

    def __post_init__(self) -> None:
        n = len(self.names)
        kept: dict[str, Any] = {
            "names": _text(self.names),
            "y_true": _text(self.y_true),
            "proba": np.asarray(self.proba, dtype=np.float64),
            "labels": [str(label) for label in self.labels],
            "found": np.ones(n, bool) if self.found is None else np.asarray(self.found, dtype=bool),
            "groups": None if self.groups is None else _text(self.groups),
        }
        for name, value in kept.items():
            if value is not None and name != "labels" and len(value) != n:
                raise InputError(f"Got {name} with {len(value)} rows, expected {n}, one for each name.")
            object.__setattr__(self, name, value)
        if self.proba.shape != (n, len(self.labels)):
            raise InputError(f"Got proba with shape {self.proba.shape}, expected {(n, len(self.labels))}.")
        if not (np.isfinite(self.proba).all() and (self.proba >= 0).all()):
            raise InputError("Got probabilities that are negative or no numbers, expected numbers of at least 0.")
        if len(set(self.names)) < n:
            raise InputError(f"Got {n} rows with {len(set(self.names))} names, expected each name once.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def predicted(self) -> Array:
        """Most probable label of each row."""
        return np.array(self.labels, dtype=object)[self.proba.argmax(axis=1)]

    @property
    def right(self) -> Array:
        """Whether that is the right one, row by row."""
        return np.asarray(self.predicted == self.y_true)

    def figures(self, seed: int = 0) -> dict[str, Any]:
        """Figures of ``evaluate``."""
        return evaluate(self.y_true, self.proba, self.labels, self.found, self.groups, seed)

    def save(self, path: str | Path) -> Path:
        """Write a CSV file: name, true, predicted, found (1 or 0), group, and ``p_<label>`` for each label.

        Probabilities have nine digits. Without groups, that column is empty.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*START, *(MARK + label for label in self.labels)])
        groups = [""] * len(self) if self.groups is None else self.groups
        found = self.found.astype(int)
        for *start, row in zip(self.names, self.y_true, self.predicted, found, groups, self.proba, strict=True):
            writer.writerow([*start, *(f"{p:.9g}" for p in row)])
        return write_whole(path, text.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote. Of other CSV files, name, true and the ``p_`` columns are needed.

        Raises
        ------
        DataError
            It cannot be read, or is no such file.
        """
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                rows, columns = list(reader), list(reader.fieldnames or [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"Got {path} that cannot be read ({error}), expected a CSV of predictions.") from error
        labels = [column[len(MARK) :] for column in columns if column.startswith(MARK)]
        if not {"name", "true"} <= set(columns) or len(labels) < 2 or not rows:
            raise DataError(f"Got {path} with columns {columns}, expected rows of name, true and p_<label> ...")
        try:
            return cls(
                [row["name"] for row in rows],
                [row["true"] for row in rows],
                [[float(row[MARK + label]) for label in labels] for row in rows],
                labels,
                [row.get("found") != "0" for row in rows],
                [row["group"] for row in rows] if all(row.get("group") for row in rows) else None,
            )
        except (ValueError, TypeError) as error:
            raise DataError(f"Got {path} with a row that is none ({error}), expected numbers and names.") from error


def _text(values: Any) -> Array:
    return np.array([str(value) for value in values], dtype=object)
