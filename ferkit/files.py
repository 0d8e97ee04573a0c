"""Files that are there whole or not at all, and where ferkit keeps what it may compute again."""

from __future__ import annotations

import atexit
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from ferkit.errors import DataError


def legible(name: str) -> str:
    """A name that can be written as UTF-8: bytes that are no text, as in names from old systems, as their escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/ferkit`` or ``~/.cache/ferkit``. It is not made before something is kept in it.

    A user without a home, as in some containers, has a folder in the temporary one until the process ends.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferkit"
    except RuntimeError:
        return _passing_folder()


def writable_folder(name: str) -> Path:
    """A folder inside the default one; where that cannot be written, one that lasts until the process ends."""
    folder = default_folder() / name
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    folder = _passing_folder() / name
    folder.mkdir(exist_ok=True)
    return folder


@cache
def _passing_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="ferkit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextmanager
def replacing(path: str | os.PathLike[str], sync: bool = False) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its place once it is written; a failure leaves what was there.

    Parameters
    ----------
    path : str or path
        File in a folder that exists. A link stays, and the file that it leads to is replaced. ``/dev/stdout``, other
        devices and pipes have nothing that could be kept, and are written to directly.
    sync : bool, default=False
        Wait until it is on the disk, so that even a power cut leaves one of both whole.

    Raises
    ------
    OSError
        It cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a.txt") as file:
    ...         _ = file.write(b"whole")
    ...     Path(folder, "a.txt").read_bytes()
    b'whole'
    """
    path = Path(path)
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _is_device(path):
        with open(path, "wb") as file:
            yield file
        return
    path = path.resolve()
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def can_write(path: str | os.PathLike[str]) -> bool:
    """Whether ``replacing`` may write a file, once folders that are missing on the way to it are made."""
    path = Path(path)
    if _is_device(path):
        return os.access(path, os.W_OK)
    folder = next(parent for parent in path.resolve().parents if os.path.exists(parent))
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _is_device(path: Path) -> bool:
    place = path.absolute().parts[1:]
    named = place[:1] == ("proc",) or (place[:1] == ("dev",) and (len(place) == 2 or place[1] == "fd"))
    return named or (path.exists() and not path.is_file())


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file in one step, see ``replacing``.

    Parameters
    ----------
    path : str or path
        File in a folder that exists.
    content : str or bytes
        Text is written as UTF-8; what is none, as in names of files from old systems, as its escape.

    Raises
    ------
    DataError
        It cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
    except OSError as error:
        raise DataError(f"Got {path} that cannot be written ({error}), expected a place with room.") from error
    return Path(path)
