"""Frames of videos, animated pictures, cameras and addresses."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, PictureError
from ferkit.records import Frame
from ferkit.sources.images import is_picture_name, read_image

SUFFIXES = frozenset(
    (
        ".3gp",
        ".avi",
        ".flv",
        ".gif",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    )
)
"""Suffixes, in lower case, of files that are read as videos."""

OPEN_TIMEOUT = 10.0
"""Seconds that an address may take to open."""

READ_TIMEOUT = 10.0
"""Seconds that an address may take for one frame."""

_SLACK = 5
"""Frames, or a twentieth of all, by which a video may be shorter than its container says."""

_SCHEMES = ("http://", "https://", "rtsp://", "rtsps://", "rtmp://", "udp://", "tcp://", "rtp://")


def frames(source: Any, every: int = 1) -> Generator[Frame, None, None]:
    """Frames of a video file, animated GIF, camera or address, one after the other.

    The camera or file is freed when the generator ends, is closed, or an error passes through it.

    Parameters
    ----------
    source : int, str or Path
        Camera number (``0`` or ``"0"``), file, or address (http, rtsp ...). A still picture is one frame.
    every : int, default=1
        Give every n-th frame; ``Frame.index`` still counts all of them.

    Yields
    ------
    Frame
        RGB, with its time in seconds: the time stamp in the file, or for a camera the time since its first frame.

    Raises
    ------
    PictureError
        It cannot be opened or holds no frame; or, after the frames that there are, it ends long before its end, as a
        file that is cut off does, or it is a stream without an end of its own.

    Examples
    --------
    >>> for frame in frames("clip.mp4", every=5):  # doctest: +SKIP
    ...     print(frame.time, frame.image.shape)
    """
    check_every(every)
    name = str(source)
    if not name:
        raise PictureError("Got video='', expected a file, a camera number or an address.")
    camera = camera_number(source)
    if camera is None and not is_address(name):
        _check_file(Path(name))
        if is_picture_name(name) and not is_video_name(name):
            yield Frame(read_image(name), name)
            return
    count = 0
    with _capture(camera if camera is not None else name, name) as capture:
        for frame in _captured(capture, name, int(every), live=camera is not None):
            count += 1
            yield frame
    if not count:
        raise PictureError(f"Got video={name!r} without a frame that can be read, expected at least 1. {_hint(camera)}")


def check_every(every: Any) -> None:
    """Raise where ``every`` is no whole number of at least 1."""
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise InputError(f"Got every={every!r}, expected a whole number of at least 1.")


def is_video_name(path: str | Path) -> bool:
    """Whether the name has one of the video ``SUFFIXES`` and is not hidden."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_address(source: object) -> bool:
    """Whether the source is an address of a stream that is read."""
    return isinstance(source, str) and source.lower().startswith(_SCHEMES)


def is_stream(source: object) -> bool:
    """Whether the source is an address that goes on by itself: one that names no video file."""
    return is_address(source) and not is_video_name(urlsplit(str(source)).path)


def camera_number(source: object) -> int | None:
    """Number of a camera, or None where the source is something else (also a file that is named by a number)."""
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        if source < 0:
            raise InputError(f"Got camera={source}, expected 0 or more.")
        return int(source)
    if isinstance(source, str) and source.isascii() and source.isdigit() and not Path(source).exists():
        return int(source)
    return None


def _check_file(path: Path) -> None:
    if not path.exists():
        raise PictureError(
            f"Got video={str(path)!r}, which does not exist, expected a file, a camera number or an address. "
            "Check the path."
        )
    if path.is_dir():
        raise PictureError(f"Got video={str(path)!r}, a folder, expected one video file.")
    if path.stat().st_size == 0:
        raise PictureError(f"Got video={str(path)!r} with 0 bytes, expected a video. Copy the file again.")


def _check_name(target: str) -> None:
    """Refuse a name that ends the whole process in OpenCV."""
    try:
        target.encode()
    except UnicodeEncodeError as error:
        raise PictureError(
            f"Got video={target!r}, a path with bytes that are no UTF-8, expected one that OpenCV can open. Rename it."
        ) from error


def _hint(camera: int | None) -> str:
    if camera is not None:
        return "Is it connected, free and allowed for this user?"
    return "Is it a whole video or a stream that is up? Convert it with ffmpeg if its codec is unknown."


@contextmanager
def _capture(target: int | str, name: str) -> Iterator[cv2.VideoCapture]:
    capture = _open(target)
    try:
        if not capture.isOpened():
            camera = target if isinstance(target, int) else None
            raise PictureError(f"Got video={name!r}, which OpenCV cannot open, expected a video. {_hint(camera)}")
        yield capture
    finally:
        capture.release()


def _open(target: int | str) -> cv2.VideoCapture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)  # what OpenCV prints about it is said in our error
    try:
        if isinstance(target, int):
            return cv2.VideoCapture(target)
        if not is_address(target):
            # absolute, because OpenCV takes a relative name such as "rtsp:x" or "img_%02d" for something else
            target = str(Path(target).absolute())
            _check_name(target)
            return cv2.VideoCapture(target)
        _check_name(target)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_TIMEOUT * 1000)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(READ_TIMEOUT * 1000)]
        return cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _captured(capture: cv2.VideoCapture, name: str, every: int, *, live: bool) -> Iterator[Frame]:
    rate, said = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    seconds_each = 1 / rate if rate and np.isfinite(rate) and rate > 0 else 1 / 25
    start = now = 0.0
    index = 0
    while capture.grab():
        if live:
            start = start or time.monotonic()
            now = time.monotonic() - start
        else:
            now = _stamp(capture, index, now, seconds_each)
        if index % every == 0:
            ok, image = capture.retrieve()
            if ok:
                yield Frame(_rgb(image), name, index, now)
        index += 1
    if index and not live:
        _check_end(name, index, now / seconds_each + 1, said)


def _check_end(name: str, count: int, due: float, said: float) -> None:
    """Raise where a video broke off after ``count`` frames.

    Parameters
    ----------
    name : str
    count : int
        Frames that came.
    due : float
        Frames that would have come by then at a steady rate. What a container says is often an estimate, from the
        length of its sound or a rate that not all frames keep, so frames and time must both be missing.
    said : float
        Frames that the container says there are; 0 or less where it does not know.
    """
    if not said > 0 and is_stream(name):
        raise PictureError(f"Got the end of {name!r} after frame {count}, expected a stream that goes on.")
    if said - max(count, due) > max(_SLACK, said / 20):
        why = "The stream ended early." if is_address(name) else "It is cut off or damaged: copy it again."
        text = f"Got video={name!r} that ends after frame {count} of {said:.0f}, expected all of them."
        raise PictureError(f"{text} {why} The frames before were read.")


def _stamp(capture: cv2.VideoCapture, index: int, before: float, seconds_each: float) -> float:
    """Time of the grabbed frame; containers without time stamps give 0 or run backwards, the frame rate then serves."""
    stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    if index == 0:
        return max(stamp, 0.0)
    return stamp if np.isfinite(stamp) and stamp > before else before + seconds_each


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.ndim == 2:
        return read_image(image)
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code), dtype=np.uint8)
