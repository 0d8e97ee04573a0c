"""FER+: FER2013's faces with the votes of ten taggers.

Source: Barsoum, Zhang, Canton Ferrer, Zhang, Training deep networks for facial expression recognition with
crowd-sourced label distribution, 2016; majority rule as in the code that the authors published with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError
from ferkit.labels import EXPRESSIONS
from ferkit.sources import fer2013
from ferkit.sources.csvfile import column, csvs_in, header, rows_of
from ferkit.sources.dataset import Dataset, split_names

_COLUMNS = (*EXPRESSIONS, "unknown", "nf")


def has_votes(columns: list[str]) -> bool:
    """Whether a CSV header is that of FER+'s votes."""
    return set(_COLUMNS) <= set(columns)


def read(path: Path) -> Dataset:
    """FER2013's faces, labelled by FER+'s majority rule.

    The rule: an emotion (or "unknown", "NF" for not a face) with a single vote counts as none. A row is kept where one
    of the eight emotions then has more than half of all votes that are left, those for "unknown" and "NF" included; all
    other rows go to ``skipped``. ``votes`` are the shares of the eight emotions among the votes left for them.

    Parameters
    ----------
    path : Path
        The CSV of votes (``fer2013new.csv``) beside FER2013's CSV, or the folder that holds both. Row n of one is row n
        of the other.
    """
    votes_path = path if path.is_file() else _only(path, has_votes, "votes")
    faces_path = _only(votes_path.parent, fer2013.has_pixels, "emotion,pixels")
    votes, usage = _votes(votes_path)
    rows = fer2013.read_rows(faces_path)
    _check_parallel(rows, votes, usage, faces_path, votes_path)
    of_row = [line - 2 for line in rows.lines]
    counts = np.where(votes > 1, votes, 0)[of_row]
    winners = majority(counts)
    keep = [i for i, winner in enumerate(winners) if winner >= 0]
    names = [f"{faces_path.name}:{line}" for line in rows.lines]
    undecided = [(names[i], "Got no majority for one emotion.") for i, winner in enumerate(winners) if winner < 0]
    shares = counts[keep, : len(EXPRESSIONS)].astype(np.float32)
    return Dataset(
        fer2013.stack([rows.faces[i] for i in keep]),
        [EXPRESSIONS[winners[i]] for i in keep],
        split_names([usage[of_row[i]] for i in keep]),
        votes=shares / shares.sum(axis=1, keepdims=True),
        names=[names[i] for i in keep],
        skipped=rows.skipped + undecided,
        kind="ferplus",
    )


def majority(counts: NDArray[Any]) -> NDArray[np.intp]:
    """Column of the emotion that has more than half of the votes, -1 where there is none.

    Parameters
    ----------
    counts : ndarray of shape (n, 10)
        Votes for the eight emotions, "unknown" and "NF".

    Examples
    --------
    >>> majority(np.array([[6, 4, 0, 0, 0, 0, 0, 0, 0, 0], [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]]))
    array([ 0, -1])
    """
    winner = counts.argmax(axis=1)
    clear = counts.max(axis=1) * 2 > counts.sum(axis=1)
    return np.where(clear & (winner < len(EXPRESSIONS)), winner, -1)


def _only(folder: Path, fits: Any, what: str) -> Path:
    found = [path for path, columns in csvs_in(folder) if fits(columns)]
    if len(found) != 1:
        raise DataError(f"Got {len(found)} CSV files of {what} in {str(folder)!r}, expected 1 beside FER+'s votes.")
    return found[0]


def _votes(path: Path) -> tuple[NDArray[np.int64], list[str]]:
    """Votes of each row in the order of ``_COLUMNS``, and each row's split."""
    columns, delimiter = header(path)
    usage = column(columns, "usage")
    where = [columns.index(name) for name in _COLUMNS]
    cells = [row for _, row in rows_of(path, delimiter) if row][1:]
    try:
        votes = np.array([[int(row[i]) for i in where] for row in cells], dtype=np.int64).reshape(-1, len(where))
        return votes, ["" if usage is None else row[usage] for row in cells]
    except (ValueError, IndexError) as error:
        raise DataError(f"Got votes in {str(path)!r} that are not whole numbers ({error}), expected counts.") from error


def _check_parallel(
    rows: fer2013.PixelRows, votes: NDArray[Any], usage: list[str], faces_path: Path, votes_path: Path
) -> None:
    if rows.last_line - 1 != len(votes):
        raise DataError(
            f"Got {rows.last_line - 1} rows in {str(faces_path)!r} and {len(votes)} in {str(votes_path)!r}, "
            "expected the same rows in the same order."
        )
    differ = [line for line, own in zip(rows.lines, rows.usage, strict=True) if own and own != usage[line - 2]]
    if differ and any(usage):
        raise DataError(
            f"Got another split in line {differ[0]} of {str(faces_path)!r} than in {str(votes_path)!r}, "
            "expected the same rows in the same order."
        )
