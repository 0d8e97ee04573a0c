"""The folder of a report."""

from __future__ import annotations

from pathlib import Path

from ferkit.errors import DataError


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
