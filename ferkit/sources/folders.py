"""Folders whose names are the labels: ``<label>/*.jpg`` or ``<split>/<label>/*.jpg``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ferkit.errors import DataError
from ferkit.labels import FER2013, canonical
from ferkit.sources.ckplus import NAME as CK_NAME
from ferkit.sources.dataset import SPLITS, Dataset, from_files, split_names
from ferkit.sources.images import is_picture_name
from ferkit.sources.table import persons

_OFFICIAL = re.compile(r"(Training|PublicTest|PrivateTest)_\d+")
"""Names of the pictures in FER2013's common folder form, which say the official split."""


def read(root: Path, files: Sequence[Path], *, subjects_from_names: bool = False, check: bool = True) -> Dataset:
    """Pictures in folders.

    The first folder under the root is the label, folders inside it are searched through. Where all first folders are
    called like splits (train, validation, test ...) the second is the label; ``split_names`` says which split they
    become. FER2013's common folder form has PublicTest and PrivateTest together in ``test``; the names of its pictures
    (``PublicTest_12345.jpg``) tell them apart, also where there are no folders of splits. One wrapping folder around
    all is passed over. Pictures of CK+ cut to 48x48 (``S010_004_00000017.png``) give their subjects.

    Parameters
    ----------
    root : Path
    files : sequence of Path
        All files under it.
    subjects_from_names : bool, default=False
        Take the person from names such as ``Ann_Example_0001.jpg``.
    check : bool, default=True
        Read every picture once.
    """
    parts = {path: path.relative_to(root).parts for path in files if is_picture_name(path)}
    start = _start(list(parts.values()))
    inner = {path: part[start:] for path, part in parts.items()}
    has_splits = _has_splits(list(inner.values()))
    depth = 2 if has_splits else 1
    placed = [path for path, part in inner.items() if len(part) > depth]
    if not placed:
        raise DataError(
            f"Got folder={str(root)!r} with {len(parts)} pictures and no labels, expected a folder for each category, "
            "or a CSV with the columns image,label beside the pictures."
        )
    outside = [str(path.relative_to(root)) for path, part in inner.items() if len(part) <= depth]
    ck_names = [CK_NAME.fullmatch(path.stem) for path in placed]
    data = from_files(
        placed,
        [canonical(inner[path][depth - 1]) for path in placed],
        kind="ckplus" if all(ck_names) else "folders",
        names=[str(path.relative_to(root)) for path in placed],
        splits=_splits(placed, [inner[path][0] for path in placed] if has_splits else None),
        subjects=[match[1] for match in ck_names if match] if all(ck_names) else _subjects(placed, subjects_from_names),
        skipped=[(name, "Got a picture outside the folders that name a category.") for name in outside],
        check=check,
    )
    return replace(data, kind="fer2013") if data.split_names and _is_fer2013(data) else data


def _splits(paths: list[Path], folders: list[str] | None) -> list[str] | None:
    """Splits by the folders; by the files' names where those say more."""
    named = [match[1] if (match := _OFFICIAL.fullmatch(path.stem)) else "" for path in paths]
    if folders is None:
        return named if all(named) else None
    pairs = zip(split_names(folders), named, strict=True)
    return [own if split == "Test" and own.endswith(split) else split for split, own in pairs]


def _subjects(paths: list[Path], from_names: bool) -> list[str] | None:
    return persons(paths) if from_names else None


def _start(parts: list[tuple[str, ...]]) -> int:
    """How many folders wrap all others: 1 for ``CK+48/anger/*.png``, 0 for ``anger/*.png``."""
    tops = {part[0] for part in parts}
    wrapped = len(tops) == 1 and all(len(part) > 2 for part in parts) and not _has_splits(parts)
    return 1 if wrapped else 0


def _has_splits(parts: list[tuple[str, ...]]) -> bool:
    known = {*SPLITS, "test", "testing"}
    return any(len(part) > 2 for part in parts) and all(part[0].lower() in known for part in parts if len(part) > 1)


def _is_fer2013(data: Dataset) -> bool:
    return getattr(data.pictures, "shape", ())[1:] == (48, 48) and set(data.labels) <= set(FER2013)
