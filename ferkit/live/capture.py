"""Frames read in a thread of their own: the newest one of a camera, every one of a file."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ferkit.errors import FerkitError, InputError, PictureError
from ferkit.records import Frame
from ferkit.sources.video import camera_number, is_address, is_stream

RETRIES = 4
"""Times that a camera or stream which fails is opened again."""

PAUSE = 0.5
"""Seconds before the first retry; each later pause is twice as long."""

STALL = 10.0
"""Seconds without a frame after which a camera or stream counts as failed."""

STEADY = 5.0
"""Seconds of frames after which earlier failures are forgotten."""

PICTURES_A_SECOND = 25.0
"""Speed at which the pictures of a folder follow each other."""

_AHEAD = 4
_PATIENCE = 2.0

Opener = Callable[[], Iterator[Frame]]


@dataclass(frozen=True)
class Taken:
    """A frame and when it arrived.

    Parameters
    ----------
    frame : Frame
    arrived : float
        ``time.monotonic`` when a live source gave it; for a file, when it was asked for.
    """

    frame: Frame
    arrived: float


def is_live(source: object) -> bool:
    """Whether a source goes on by itself: a camera, or an address that does not name a video file."""
    return is_stream(source) or (source != "sample" and camera_number(source) is not None)


def opener_of(source: Any, tell: Callable[[str], object]) -> Opener:
    """Function that opens a source.

    Parameters
    ----------
    source : int, str or Path
        Camera number, file, address, folder of pictures, or ``"sample"`` for a drawn clip.
    tell : callable
        Called with a sentence about each picture of a folder that cannot be read.
    """
    if isinstance(source, str) and source == "sample" and not Path(source).exists():
        from ferkit.live.sample import drawn_clip

        return drawn_clip
    if not isinstance(source, (str, Path, int)) or isinstance(source, bool) or source == "":
        raise InputError(f"Got source={source!r}, expected a camera number, file, folder, address or 'sample'.")
    if not is_address(source) and camera_number(source) is None and Path(str(source)).is_dir():
        return lambda: _pictures_in(Path(str(source)), tell)
    from ferkit.sources import frames

    return lambda: frames(source)


class Capture:
    """Reads a source in a thread; iterate over it for frames.

    A live source hands over its newest frame; older ones are dropped and counted. When it fails, ends or stalls it is
    opened again, a limited number of times with growing pauses. Of anything else every frame is handed over.

    Parameters
    ----------
    source : int, str or Path
        Camera number, file, address, folder of pictures, or ``"sample"``.
    opener : callable or None, default=None
        Called without arguments to open the source in place of ``ferkit.sources.frames``; gives an iterator of frames.
    live : bool or None, default=None
        Whether the source goes on by itself; by default cameras do, and addresses that name no video file.
    tell : callable, default=does nothing
        Called with one sentence when the source fails and is opened again.
    max_seconds : float or None, default=None
        End so many seconds after the first frame: of the clock for a live source, of the video for others.
    retries, pause, stall : int, float, float
        See ``RETRIES``, ``PAUSE``, ``STALL``.

    Attributes
    ----------
    dropped : int
        Frames of a live source that nobody took.

    Raises
    ------
    PictureError
        The source cannot be read, or failed for good.
    """

    def __init__(
        self,
        source: Any,
        opener: Opener | None = None,
        *,
        live: bool | None = None,
        tell: Callable[[str], object] = lambda text: None,
        max_seconds: float | None = None,
        retries: int = RETRIES,
        pause: float = PAUSE,
        stall: float = STALL,
    ) -> None:
        if max_seconds is not None and not max_seconds > 0:
            raise InputError(f"Got max_seconds={max_seconds!r}, expected more than 0.")
        self.source = source
        self.live = is_live(source) if live is None else live
        self.max_seconds, self.retries, self.pause, self.stall = max_seconds, retries, pause, stall
        self.dropped = 0
        self._open = opener or opener_of(source, tell)
        self._tell = tell
        self._lock = threading.Condition()
        self._waiting: deque[Taken] = deque()
        self._reader: _Reader | None = None
        self._readers: list[_Reader] = []
        self._failures, self._failure = 0, ""
        self._count = 0
        self._began = time.monotonic()
        self._handed = 0
        self._first: float | None = None
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if not self._stopped.is_set():
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Taken]:
        while (taken := self._next()) is not None:
            yield taken

    def stop(self) -> None:
        """End the loop over the frames, from any thread; whoever loops frees the source."""
        self._stopped.set()
        with self._lock:
            self._reader = None
            self._lock.notify_all()

    def close(self) -> None:
        """Stop and free the source. A camera that is stuck is left to a thread that ends with it."""
        with self._lock:
            self._reader = None
            self._waiting.clear()
            self._lock.notify_all()
        for reader in self._readers:
            reader.join(_PATIENCE)
        self._readers = [reader for reader in self._readers if reader.is_alive()]

    def give(self, reader: _Reader, frame: Frame) -> bool:
        """Take a frame from a reader; False tells it to stop."""
        with self._lock:
            while not self.live and len(self._waiting) >= _AHEAD and reader is self._reader:
                self._lock.wait()
            if reader is not self._reader:
                return False
            if self.live:
                self.dropped += len(self._waiting)
                self._waiting.clear()
            self._waiting.append(self._stamped(frame))
            self._lock.notify_all()
            return True

    def ended(self, reader: _Reader) -> None:
        """A reader has no more frames."""
        with self._lock:
            self._lock.notify_all()

    def _stamped(self, frame: Frame) -> Taken:
        """Frames of a live source are counted and timed here, on through every time that it is opened."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
        if self.live:
            frame = replace(frame, index=self._count, time=now - self._first)
        elif frame.time is None:
            frame = replace(frame, time=0.0)
        self._count += 1
        return Taken(frame, now)

    def _start(self) -> None:
        with self._lock:
            self._reader = _Reader(self, self._open)
            self._readers = [reader for reader in self._readers if reader.is_alive()] + [self._reader]
        self._reader.start()

    def _next(self) -> Taken | None:
        asked = time.monotonic()
        while not self._stopped.is_set():
            with self._lock:
                found = self._lock.wait_for(self._is_ready, self._patience())
                taken = self._waiting.popleft() if self._waiting else None
                self._lock.notify_all()
            if taken is not None and not self._handed:
                self._began = time.monotonic()
            self._handed += taken is not None
            if self._is_over(taken):
                if not self._handed and not self._stopped.is_set():
                    late = f"Got no frame from {self.source!r} in {self.max_seconds:g} s, expected one."
                    raise PictureError(self._failure or late)
                return None
            if taken is not None:
                self._forgive()
                return taken if self.live else Taken(taken.frame, max(asked, taken.arrived))
            reader = self._reader
            if reader is None:
                return None
            if not self.live:
                if reader.error is not None:
                    raise reader.error
                return None
            self._again(self._reason(reader if found else None))
        return None

    def _is_ready(self) -> bool:
        return bool(self._waiting) or self._reader is None or self._reader.over

    def _patience(self) -> float | None:
        if not self.live:
            return None
        if self.max_seconds is None:
            return self.stall
        return max(0.0, min(self.stall, self._began + self.max_seconds - time.monotonic()))

    def _is_over(self, taken: Taken | None) -> bool:
        if self.max_seconds is None:
            return False
        if self.live:
            return time.monotonic() >= self._began + self.max_seconds
        return taken is not None and (taken.frame.time or 0.0) >= self.max_seconds

    def _forgive(self) -> None:
        if self._failures and self._reader and time.monotonic() - self._reader.since > STEADY:
            self._failures = 0

    def _reason(self, reader: _Reader | None) -> str:
        if reader is None:
            return f"Got no frame from {self.source!r} for {self.stall:g} s, expected one."
        if reader.error is not None:
            return " ".join(str(reader.error).split())
        return f"Got the end of {self.source!r}, expected more frames."

    def _again(self, reason: str) -> None:
        """Open the source again after a pause, or give up."""
        self._failures, self._failure = self._failures + 1, reason
        if self._failures > self.retries:
            raise PictureError(f"{reason} Tried {self.retries + 1} times.")
        pause = self.pause * 2 ** (self._failures - 1)
        self._tell(f"{reason} Trying again in {pause:g} s ({self._failures} of {self.retries}).")
        with self._lock:
            self._reader = None
        if not self._stopped.wait(pause):
            self._start()


class _Reader(threading.Thread):
    """Reads until its capture wants no more of it."""

    def __init__(self, capture: Capture, open_source: Opener) -> None:
        super().__init__(name="ferkit-capture", daemon=True)  # a stuck camera may not keep the program alive
        self.error: Exception | None = None
        self.over = False
        self.since = time.monotonic()
        self._capture = capture
        self._open_source = open_source

    def run(self) -> None:
        try:
            self._read()
        except FerkitError as error:
            self.error = error
        except Exception as error:  # whatever a driver raises is what the user must hear
            self.error = PictureError(f"Got {type(error).__name__} from the source: {error}, expected frames.")
        finally:
            self.over = True
            self._capture.ended(self)

    def _read(self) -> None:
        frames = self._open_source()
        try:
            for frame in frames:
                if not self._capture.give(self, frame):
                    break
        finally:
            if hasattr(frames, "close"):  # a generator frees the camera here, in the thread that runs it
                frames.close()


def _pictures_in(folder: Path, tell: Callable[[str], object]) -> Iterator[Frame]:
    """The pictures of a folder in the order of their names, as a video."""
    from ferkit.sources import read_image
    from ferkit.sources.images import is_picture_name

    try:
        paths = sorted(path for path in folder.iterdir() if is_picture_name(path))
    except OSError as error:
        raise PictureError(
            f"Got folder={str(folder)!r} ({error.strerror}), expected a readable folder. Check its permissions."
        ) from error
    if not paths:
        raise PictureError(f"Got folder={str(folder)!r} without pictures, expected at least 1.")
    index = 0
    for path in paths:
        try:
            image = read_image(path)
        except PictureError as error:
            tell(f"Skipped: {' '.join(str(error).split())}")
            continue
        yield Frame(image, str(path), index, index / PICTURES_A_SECOND)
        index += 1
