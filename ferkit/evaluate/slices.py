"""Figures by group of rows: persons, age, sex, skin, whatever a table says of the pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError
from ferkit.evaluate.bootstrap import FEW_GROUPS, mean_interval, wilson
from ferkit.evaluate.predictions import Predictions

Array = NDArray[Any]
NAMES = ("name", "image", "file", "filename", "path", "picture")
MANY = 12
"""More different numbers than this are put into four ranges."""
MOST_VALUES = 50
"""More different values than this tell pictures apart, not groups of them."""


@dataclass(frozen=True)
class Slice:
    """Figures of the rows of one value.

    Attributes
    ----------
    value : str
    n, groups : int
        Rows, and persons or clusters among them (None where the set names none).
    accuracy : float
    accuracy_ci : tuple of (float, float)
        95 %: Wilson's; where persons are known, the bootstrap over persons, or, below 20 persons, Wilson's with as
        many trials as there are persons.
    difference : float or None
        Accuracy less that of all other rows; None where there are none.
    difference_ci : tuple of (float, float) or None
        95 %, from the intervals of both (Newcombe's method).
    balanced_accuracy : float
        Mean recall over the classes that occur.
    confidence : float
        Mean probability of the answer: above the accuracy where the model is over-sure.
    not_found : float
        Share of rows without a found face.
    """

    value: str
    n: int
    groups: int | None
    accuracy: float
    accuracy_ci: tuple[float, float]
    difference: float | None
    difference_ci: tuple[float, float] | None
    balanced_accuracy: float
    confidence: float
    not_found: float

    def record(self) -> dict[str, Any]:
        """Numbers for JSON."""
        return asdict(self)


def by_value(answers: Predictions, values: Any, least: int = 1, seed: int = 0) -> list[Slice]:
    """Figures of the rows of each value.

    Parameters
    ----------
    answers : Predictions
    values : array-like of shape (n,), str
        Value of each row; rows with '' are left out.
    least : int, default=1
        Values with fewer rows are left out.
    seed : int, default=0
        For the intervals.

    Returns
    -------
    list of Slice
        In the order of ``values_in_order``.

    References
    ----------
    Newcombe: Interval estimation for the difference between independent proportions (1998).

    Examples
    --------
    >>> answers = Predictions(list("abcd"), ["fear"] * 4, [[0.2, 0.8]] * 3 + [[0.8, 0.2]], ["anger", "fear"])
    >>> [(part.value, part.n, part.accuracy) for part in by_value(answers, ["old", "old", "young", "young"])]
    [('old', 2, 1.0), ('young', 2, 0.5)]
    """
    values = np.array([str(value) for value in values], dtype=object)
    if len(values) != len(answers):
        raise InputError(f"Got {len(values)} values, expected {len(answers)}, one for each row.")
    known = values != ""
    found, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = {value: i for i, value in enumerate(found) if value and counts[i] >= least}
    return [_slice(answers, value, code == places[value], known, seed) for value in values_in_order(places)]


def _slice(answers: Predictions, value: str, rows: Array, known: Array, seed: int) -> Slice:
    right, rest = answers.right, known & ~rows
    own = share_interval(right[rows], _of(answers.groups, rows), seed)
    difference, ends = None, None
    if rest.any():
        others = share_interval(right[rest], _of(answers.groups, rest), seed)
        difference, ends = _difference(right[rows].mean(), own, right[rest].mean(), others)
    true = answers.y_true[rows]
    recalls = [right[rows][true == label].mean() for label in set(true)]
    return Slice(
        value=value,
        n=int(rows.sum()),
        groups=None if answers.groups is None else len(set(answers.groups[rows])),
        accuracy=float(right[rows].mean()),
        accuracy_ci=own,
        difference=difference,
        difference_ci=ends,
        balanced_accuracy=float(np.mean(recalls)),
        confidence=float(answers.proba[rows].max(axis=1).mean()),
        not_found=float(1 - answers.found[rows].mean()),
    )


def share_interval(right: Array, groups: Any = None, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a share of few rows, as ``Slice.accuracy_ci`` says."""
    k = len(right) if groups is None else len(set(groups))
    if groups is not None and FEW_GROUPS <= k < len(right) and 0 < right.mean() < 1:
        return mean_interval(right, groups, seed)
    low, high = wilson(right.mean() * k, k)
    return float(low), float(high)


def too_many(values: Any) -> int:
    """How many different values there are, where these are more than 50 and not all numbers; 0 otherwise."""
    distinct = {str(value) for value in values} - {""}
    few = len(distinct) <= MOST_VALUES or all(_number(value) is not None for value in distinct)
    return 0 if few else len(distinct)


def values_in_order(values: Any) -> list[str]:
    """Distinct values: numbers by size, ranges by their start, others by the alphabet."""

    def key(value: str) -> tuple[int, float, str]:
        number = _number(value.split(" to ")[0])
        return (1, 0.0, value) if number is None else (0, number, value)

    return sorted({str(value) for value in values}, key=key)


def read_slices(path: str | Path, names: Sequence[str]) -> dict[str, Array]:
    """Columns of a CSV file as values of each row.

    Parameters
    ----------
    path : str or Path
        CSV with a column name (or image, file, filename, path, picture) and any others. Names are those of the data
        set, or their last part where that is enough.
    names : sequence of str
        Names of the rows.

    Returns
    -------
    dict of str to ndarray of shape (n,), str
        Values by column, '' where the file says nothing of a row. A column of more than 12 different numbers becomes
        four ranges that hold about equally many rows.

    Raises
    ------
    DataError
        It cannot be read, has no such columns, or names none of the rows.
    """
    columns, rows = _read(Path(path))
    name = next((column for column in columns if column.lower() in NAMES), None)
    others = [column for column in columns if column != name]
    if name is None or not others:
        raise DataError(f"Got {path} with columns {columns}, expected name (or image, file) and at least one more.")
    places = _places([row[name] or "" for row in rows], names)
    if not (places >= 0).any():
        raise DataError(f"Got {path}, which names none of the pictures, expected names such as {names[0]!r}.")
    found: dict[str, Array] = {}
    for column in others:
        values = np.full(len(names), "", dtype=object)
        for place, row in zip(places, rows, strict=True):
            if place >= 0:
                values[place] = (row[column] or "").strip()
        found[column] = ranges(values)
    return found


def ranges(values: Array, parts: int = 4) -> Array:
    """Many different numbers as a few ranges of about equally many rows; other values as they are."""
    numbers = np.array([np.nan if (n := _number(value)) is None else n for value in values])
    known = values != ""
    if np.isnan(numbers[known]).any() or len(set(numbers[known])) <= MANY:
        return values
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, parts + 1)))
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    out = np.full(len(values), "", dtype=object)
    for part in range(len(edges) - 1):
        end = "" if part == len(edges) - 2 else "under "
        out[known & (place == part)] = f"{edges[part]:.10g} to {end}{edges[part + 1]:.10g}"
    return out


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            return [column.strip() for column in reader.fieldnames or []], [
                {str(key).strip(): value for key, value in row.items() if key is not None} for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Got slices={str(path)!r} that cannot be read ({error}), expected a CSV file.") from error


def _places(given: Sequence[str], names: Sequence[str]) -> Array:
    """Row that each given name means, -1 for none: the whole name, or the end of a path where only one row has it."""
    whole = {name: i for i, name in enumerate(names)}
    last: dict[str, int] = {}
    for i, name in enumerate(names):
        part = PurePath(name).name
        last[part] = -1 if part in last else i
    given = [name if name in whole else name.replace("\\", "/") for name in given]  # a table made on Windows
    places = np.full(len(given), -1, np.intp)
    for i, name in enumerate(given):
        place = whole.get(name, last.get(PurePath(name).name, -1))
        own, other = PurePath(name).parts, PurePath(names[place]).parts
        least = min(len(own), len(other))
        if name in whole or (place >= 0 and own[-least:] == other[-least:]):
            places[i] = place
    exact = {place for place, name in zip(places.tolist(), given, strict=True) if name in whole}
    return np.array([p if p not in exact or name in whole else -1 for p, name in zip(places, given, strict=True)])


def _difference(
    one: float, own: tuple[float, float], two: float, others: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    low = one - two - np.hypot(one - own[0], others[1] - two)
    high = one - two + np.hypot(own[1] - one, two - others[0])
    return float(one - two), (float(low), float(high))


def _of(groups: Any, rows: Array) -> Any:
    return None if groups is None else groups[rows]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
