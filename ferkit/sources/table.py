"""A CSV of ``image,label`` beside its pictures, with optional columns ``split`` and ``subject``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ferkit.labels import canonical
from ferkit.sources.csvfile import column, header, rows_of
from ferkit.sources.dataset import Dataset, from_files, split_names

_IMAGE = ("image", "file", "filename", "path", "picture")
_LABEL = ("label", "emotion", "expression", "category", "class")
_PERSON = re.compile(r"(.+?)[_-]?\d+")


def fits(columns: list[str]) -> bool:
    """Whether a CSV header names pictures and labels."""
    return column(columns, *_IMAGE) is not None and column(columns, *_LABEL) is not None


def read(path: Path, *, subjects_from_names: bool = False, check: bool = True) -> Dataset:
    r"""Pictures that a CSV names; their paths are relative to its folder.

    Parameters
    ----------
    path : Path
        CSV with the columns image (or file, filename, path, picture) and label (or emotion, expression, category,
        class), and optionally split (or usage) and subject (or person).
    subjects_from_names : bool, default=False
        Without a subject column, take the person from names such as ``Ann_Example_0001.jpg``.
    check : bool, default=True
        Read every picture once.

    Notes
    -----
    A picture that is named again, as ``data prepare --balance over`` does, is another row; with another label it is
    skipped. Two spellings of a label (``happy``, ``happiness``) are one. Paths with ``\``, as a table from Windows has
    them, are understood too.
    """
    columns, delimiter = header(path)
    image, label = column(columns, *_IMAGE), column(columns, *_LABEL)
    split, subject = column(columns, "split", "usage"), column(columns, "subject", "person")
    rows, skipped = [], []
    named: dict[str, tuple[str, int]] = {}
    lines = rows_of(path, delimiter)
    next(lines)
    for line, cells in lines:
        get = [cells[i].strip() if i is not None and i < len(cells) else "" for i in (image, label, split, subject)]
        own = os.path.normpath(_place(path.parent, get[0]))
        label_before, times = named.get(own, (get[1], 0))
        if get[0] and get[1] and canonical(get[1]) == canonical(label_before):
            rows.append([*get, get[0] if not times else f"{get[0]} ({times + 1})"])
            named[own] = (get[1], times + 1)
        elif any(cells):
            reason = f"Got image={get[0]!r}, label={get[1]!r}, expected both."
            if get[0] and get[1]:
                reason = f"Got {get[0]!r} again, with label {get[1]!r}, expected one label, {label_before!r}."
            skipped.append((f"{path.name}:{line}", reason))
    paths = [_place(path.parent, row[0]) for row in rows]
    subjects = [row[3] for row in rows] if any(row[3] for row in rows) else None
    if subjects is None and subjects_from_names:
        subjects = persons(paths)
    return from_files(
        paths,
        [canonical(row[1]) for row in rows],
        kind="table",
        names=[row[4] for row in rows],
        splits=split_names([row[2] for row in rows]),
        subjects=subjects,
        skipped=skipped,
        check=check,
    )


def _place(folder: Path, name: str) -> Path:
    """Where a picture lies; a name as Windows writes it, where there is no file with a backslash in its name."""
    path = folder / name
    if "\\" in name and not os.path.lexists(path):
        return folder / name.replace("\\", "/")
    return path


def persons(paths: list[Path]) -> list[str]:
    """Person in names such as ``Ann_Example_0001.jpg``, '' where a name ends in no number."""
    return [match[1] if (match := _PERSON.fullmatch(path.stem)) else "" for path in paths]
