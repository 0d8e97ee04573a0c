"""The folder of a report: what it may hold before, and which pictures of an older report go."""

from __future__ import annotations

import re
from pathlib import Path

from ferkit.errors import DataError
from ferkit.evaluate.page import MARK

STRESS = "stress.jsonl"
"""What a stress test that was stopped leaves in a folder that has no report yet."""

_PICTURE = re.compile(r'src="faces/([\w.-]+\.png)"')


def make_folder(folder: Path) -> None:
    """Make the folder of a report.

    Raises
    ------
    DataError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Got report={str(folder)!r} ({error}), expected a folder that can be written to.") from error


def holds_other_files(folder: Path) -> bool:
    """Whether a folder holds anything that is neither an older report nor a stress test that was stopped."""
    if not folder.is_dir():
        return False
    return not _older_page(folder) and any(path.name != STRESS for path in folder.iterdir())


def remove_faces(folder: Path) -> None:
    """Remove the faces that the page of an older report shows: they may be of other people."""
    for name in _PICTURE.findall(_older_page(folder)):
        (folder / "faces" / name).unlink(missing_ok=True)


def _older_page(folder: Path) -> str:
    """The page of an older report; '' where there is none. Files of the same names alone may be anybody's."""
    try:
        text = (folder / "index.html").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text if MARK in text and (folder / "figures.json").is_file() else ""
