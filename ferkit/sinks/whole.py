"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ferkit.errors import DataError


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write beside the file and put it in its place at once, so that a failure leaves what was there.

    Parameters
    ----------
    path : str or Path
        File in a folder that exists.
    content : str or bytes
        Text is written as UTF-8.

    Raises
    ------
    DataError
        It cannot be written.
    """
    path, part = Path(path), None
    try:
        handle, part = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise DataError(f"Got {path} that cannot be written ({error}), expected a place with room.") from error
    return path
