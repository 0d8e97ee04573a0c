"""From what a user names (files, folders, globs, videos, ``-``) to frames."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ferkit.errors import InputError, PictureError
from ferkit.records import Frame
from ferkit.sources.images import BYTES, is_picture_name, read_image


def pictures(inputs: Any, every: int = 1) -> Iterator[Frame | PictureError]:
    """Frames of everything that is named, lazily and in order.

    Parameters
    ----------
    inputs : str, Path, bytes, ndarray, PIL image, open file, Frame, int, or an iterable of these
        Files, folders (searched through, sorted), globs (``"shots/*.jpg"``), videos, animated GIFs, camera numbers,
        addresses, the bytes or pixels of a picture, ``"-"`` for the bytes of one picture on standard input, or
        ``"sample"``, where nothing has that name, for seven drawn faces.
    every : int, default=1
        Give every n-th frame of videos.

    Yields
    ------
    Frame or PictureError
        A picture that cannot be read comes as the error that says why, so that the others are still read.

    Examples
    --------
    >>> [frame.image.shape for frame in pictures([np.zeros((4, 6), np.uint8)])]
    [(4, 6)]
    """
    if isinstance(inputs, (str, Path, int, np.integer, Frame)) or _is_picture(inputs):
        inputs = [inputs]
    if not isinstance(inputs, Iterable):
        raise InputError(f"Got inputs of type {type(inputs).__name__}, expected paths, pictures or a list of them.")
    for item in inputs:
        try:
            yield from _frames_of(item, every)
        except PictureError as error:
            yield error


def files_under(folder: str | Path, unread: list[tuple[str, str]]) -> Iterator[Path]:
    """Files under a folder that are not hidden, sorted folder by folder; links to folders are followed once.

    Folders that cannot be read join ``unread``, with the reason.
    """

    def note(error: OSError) -> None:
        name = str(error.filename)
        reason = f"Got folder={name!r} ({error.strerror}), expected a readable folder. Check its permissions."
        unread.append((name, reason))

    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _frames_of(item: Any, every: int) -> Iterator[Frame | PictureError]:
    from ferkit.sources.video import camera_number, frames, is_address

    if _is_picture(item):
        yield Frame(read_image(item), _name(item))
    elif isinstance(item, Frame):
        yield item
    elif not isinstance(item, (str, Path, int, np.integer)):
        raise InputError(f"Got input of type {type(item).__name__}, expected a path, a picture or a camera number.")
    elif item == "":
        raise PictureError("Got input='', expected a path: an empty one would be the current folder, which is '.'.")
    elif item == "-":
        yield Frame(read_image(sys.stdin.buffer.read(), "standard input"), "-")
    elif item == "sample" and not Path("sample").exists():
        from ferkit.sources.drawn import sample_frames

        yield from sample_frames()
    elif is_address(item) or camera_number(item) is not None:
        yield from frames(item, every)
    else:
        for path in paths_of(str(item)):
            if isinstance(path, PictureError):
                yield path
            else:
                yield from _frames_of_file(path, every)


def _is_picture(item: Any) -> bool:
    """Whether it is a picture itself and not a name of one."""
    return isinstance(item, (*BYTES, np.ndarray, Image.Image)) or hasattr(item, "read")


def _name(picture: Any) -> str:
    """What a picture without a path is called."""
    own = getattr(picture, "filename", "") or getattr(picture, "name", "")
    kind = "bytes" if isinstance(picture, BYTES) else "array" if isinstance(picture, np.ndarray) else "picture"
    return str(own or kind)


def paths_of(name: str) -> Iterator[Path | PictureError]:
    """Files that a path or a glob names; of folders the pictures and videos, and errors for folders inside.

    Raises
    ------
    PictureError
        There are none.
    """
    if os.path.isdir(name):
        found = _shown_in(name)
        if not found:
            raise PictureError(f"Got folder={name!r} without pictures or videos, expected at least 1.")
        yield from found
    elif os.path.exists(name):
        yield Path(name)
    elif glob.has_magic(name):
        found = []
        for match in sorted(glob.glob(name, recursive=True)):
            found += _shown_in(match) if os.path.isdir(match) else [Path(match)]
        if not found:
            raise PictureError(f"Got pattern={name!r}, which matches nothing to read, expected at least 1 file.")
        yield from found
    else:
        raise PictureError(
            f"Got input={name!r}, which does not exist, expected a picture, folder, glob, video, camera number or '-'. "
            "Check the path."
        )


def _shown_in(folder: str) -> list[Path | PictureError]:
    """Pictures and videos under a folder, then errors for folders that cannot be read."""
    from ferkit.sources.video import is_video_name

    unread: list[tuple[str, str]] = []
    shown = [file for file in files_under(folder, unread) if is_picture_name(file) or is_video_name(file)]
    return [*shown, *(PictureError(reason) for _, reason in unread)]


def _frames_of_file(path: Path, every: int) -> Iterator[Frame | PictureError]:
    from ferkit.sources.video import frames

    try:
        if is_video(path):
            yield from frames(path, every)
        else:
            yield Frame(read_image(path), str(path))
    except PictureError as error:
        yield error


def is_video(path: Path) -> bool:
    """Whether a file holds more than one picture, by its name and, for a GIF, by its content."""
    from ferkit.sources.video import is_video_name

    return is_video_name(path) and not _is_still(path)


def _is_still(path: Path) -> bool:
    """Whether a GIF holds one picture only, or cannot be opened (``read_image`` then says why)."""
    if path.suffix.lower() != ".gif":
        return False
    try:
        with Image.open(path) as picture:
            return getattr(picture, "n_frames", 1) == 1
    except Exception:  # as in read_image: damaged bytes raise nearly anything, and so does a huge size in the header
        return True
