"""``load``: what a path holds is found out from headers and content, not from names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ferkit.errors import DataError
from ferkit.sources import ckplus, fer2013, ferplus, folders, jaffe, table
from ferkit.sources.csvfile import csvs_in, header
from ferkit.sources.dataset import Dataset
from ferkit.sources.walk import files_under

_FORMS = (
    "a CSV of emotion,pixels (FER2013, CK+), of FER+ votes, or of image,label; or a folder of FER2013, FER+, CK+, "
    "JAFFE, of pictures with such a CSV, or of one folder for each category"
)


def load(
    path: str | Path,
    split: str | None = None,
    *,
    subjects_from_names: bool = False,
    neutral_first: bool = False,
    check: bool = True,
) -> Dataset:
    """Load a data set; which one it is, is found out from its content.

    Parameters
    ----------
    path : str or Path
        File or folder: FER2013 (CSV, also as gz or zip, or folders), FER+ (its votes beside FER2013's CSV), CK+
        (official folders, or 48x48 as CSV or folders), JAFFE, a CSV of ``image,label`` beside its pictures, or any
        folder of folders. ``"sample"`` is the set that ferkit draws itself (``./sample`` is a folder of that name).
    split : str or None, default=None
        Keep one split only.
    subjects_from_names : bool, default=False
        For a CSV of pictures and for folders: take the person from names such as ``Ann_Example_0001.jpg``.
    neutral_first : bool, default=False
        For CK+'s official folders: take each sequence's first frame as neutral.
    check : bool, default=True
        Read every picture file once and put those that cannot be read into ``skipped``. Without it, a bad picture shows
        up when it is used.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        There is nothing there, nothing that is known, no row that can be read, or no such split.

    Examples
    --------
    >>> load("sample", split="PublicTest")
    Dataset(sample, n=105, 7 classes, PublicTest)
    """
    if path == "":
        raise DataError("Got path='', expected a file, a folder or 'sample'. The current folder is '.'.")
    data = _sample() if str(path) == "sample" else _read(Path(path), subjects_from_names, neutral_first, check)
    if not len(data):
        first = f" First problem: {data.skipped[0][0]}: {data.skipped[0][1]}" if data.skipped else ""
        raise DataError(f"Got path={str(path)!r} without a row that can be used, expected at least 1.{first}")
    return data if split is None else data.split(split)


def _sample() -> Dataset:
    from ferkit.sources.drawn import sample

    return sample()


def _read(path: Path, subjects_from_names: bool, neutral_first: bool, check: bool) -> Dataset:
    if os.path.isdir(path):
        return _read_folder(path, subjects_from_names, neutral_first, check)
    if not os.path.exists(path):
        raise DataError(f"Got path={str(path)!r}, which does not exist, expected a file, a folder or 'sample'.")
    columns, _ = header(path)
    if ferplus.has_votes(columns):
        return ferplus.read(path)
    if fer2013.has_pixels(columns):
        return fer2013.read(path)
    if table.fits(columns):
        return table.read(path, subjects_from_names=subjects_from_names, check=check)
    found = f"columns {columns}" if columns else "no CSV header"
    raise DataError(f"Got path={str(path)!r} with {found}, expected {_FORMS}.")


def _read_folder(path: Path, subjects_from_names: bool, neutral_first: bool, check: bool) -> Dataset:
    csvs = csvs_in(path)
    if any(ferplus.has_votes(columns) for _, columns in csvs):
        return ferplus.read(path)
    for fits in (fer2013.has_pixels, table.fits):
        found = [file for file, columns in csvs if fits(columns)]
        if len(found) > 1:
            raise DataError(
                f"Got {len(found)} data sets in folder={str(path)!r}, expected 1. Name one file: "
                f"{', '.join(file.name for file in found)}."
            )
        if found:
            return _read(found[0], subjects_from_names, neutral_first, check)
    unread: list[tuple[str, str]] = []
    files = list(files_under(path, unread))
    data = _of_files(path, files, subjects_from_names, neutral_first, check)
    return replace(data, skipped=[*data.skipped, *((os.path.relpath(name, path), why) for name, why in unread)])


def _of_files(
    path: Path, files: Sequence[Path], subjects_from_names: bool, neutral_first: bool, check: bool
) -> Dataset:
    if ckplus.emotion_files(files):
        return ckplus.read(path, files, neutral_first=neutral_first, check=check)
    if jaffe.fits(files):
        return jaffe.read(path, files, check=check)
    ckplus.refuse_unlabelled(path, files)
    return folders.read(path, files, subjects_from_names=subjects_from_names, check=check)
