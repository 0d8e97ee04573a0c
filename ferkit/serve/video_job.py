"""The process that reads one video: ``python -m ferkit.serve.video_job FOLDER MODEL SECONDS``.

It reads ``in`` in the folder, writes ``annotated.webm`` and ``readings.csv`` beside it, and prints its progress, a JSON
object a line. It may use limited memory, so that a hostile file harms nobody but itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit import sinks
from ferkit.errors import FerkitError, PictureError
from ferkit.live import Moment, Watch, columns
from ferkit.live.drawing import Overlay
from ferkit.sources import frames

MEMORY = 4 << 30
"""Bytes of address space that the process may have."""

LONGEST = 1280
"""Longer side in pixels of the annotated video."""

SHOWN = 30.0
"""Most frames a second of the annotated video."""

LARGEST = 1 << 30
"""Bytes of the annotated video after which reading stops."""

_SAY_EVERY = 0.25


def main(folder: Path, model: str, most_seconds: float) -> int:
    """Read ``folder/in``; the exit code."""
    _limit_memory()
    path = folder / "in"
    try:
        read(path, folder, model, most_seconds)
    except (FerkitError, MemoryError, cv2.error) as error:
        too_large = "Got a video that is too large to be read."
        say(reason=_reason(error, path) if isinstance(error, FerkitError) else too_large)
        return 1
    return 0


def read(upload: Path, folder: Path, model: str, most_seconds: float) -> None:
    """Read a video file; annotated video and rows go into a folder. Of one that breaks off they are those before."""
    length, rate = _about(upload)
    watch = Watch(str(upload), model, opener=lambda: frames(str(upload)), live=False)
    video = Steady(folder / "annotated.webm", min(rate, SHOWN))
    said = 0.0
    overlay = Overlay(watch.predictor.model)
    moments = _moments(watch, upload)
    with sinks.CsvSink(folder / "readings.csv", columns(watch.predictor.labels)) as sink, closing(moments):  # type: ignore[type-var]
        for moment in moments:
            if moment.time > most_seconds or video.bytes > LARGEST:
                say(cut=True, seconds=round(moment.time, 2))
                break
            for row in moment.rows():
                sink.append(row | {"source": "upload"})
            video.append(_smaller(overlay.draw(moment, pace=False)), moment.time)
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                _report(watch, moment, length)
    if not video.frames:
        raise PictureError("Got a file without a frame that can be read, expected a video.")
    video.close()
    summary = watch.summary.as_dict()
    say(frames=summary["frames"], people=summary["tracks"], shown=summary["seconds"])


def _moments(watch: Watch, upload: Path) -> Iterator[Moment]:
    """Moments to the end, or to where the video breaks off, which is said."""
    seen = 0.0
    with closing(iter(watch)) as moments:  # type: ignore[type-var]
        try:
            for moment in moments:
                seen = moment.time
                yield moment
        except PictureError as error:
            if not watch.summary.frames:
                raise
            say(cut=True, seconds=round(seen, 2), reason=_reason(error, upload))


def _reason(error: BaseException, upload: Path) -> str:
    """What an error says, without the place of the file."""
    return " ".join(str(error).replace(str(upload), "upload").split())


class Steady:
    """Writes a WebM file of a steady rate in which each frame is shown from its own time on.

    Cameras and phones give frames at changing rates, which OpenCV's writer does not know: frames are written again
    until the next one is due, or left out where several are due at once.

    Parameters
    ----------
    path : Path
    rate : float
        Frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate, self.frames = path, rate, 0
        self._writer: cv2.VideoWriter | None = None
        self._last: NDArray[np.uint8] | None = None

    def append(self, image: NDArray[np.uint8], time: float) -> None:
        """Show an RGB image from ``time`` (seconds) on."""
        due = int(time * self.rate + 0.5)
        if self.frames > due:
            return
        self._writer = self._writer or _writer(self.path, image, self.rate)
        before = image[..., ::-1] if self._last is None else self._last
        for _ in range(due - self.frames):
            self._writer.write(before)
        self._last = np.ascontiguousarray(image[..., ::-1])
        self._writer.write(self._last)
        self.frames = due + 1

    @property
    def bytes(self) -> int:
        """Size of the file so far."""
        return self.path.stat().st_size if self.frames else 0

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


def say(**words: Any) -> None:
    """Tell the server."""
    print(json.dumps(words), flush=True)


def _report(watch: Watch, moment: Moment, length: float) -> None:
    share = min(0.99, moment.time / length) if length else 0.0
    summary = watch.summary
    say(progress=round(share, 3), frames=summary.frames, people=summary.tracks, seconds=round(moment.time, 2))


def _about(path: Path) -> tuple[float, float]:
    """Seconds (0 where unknown) and frames a second of a video."""
    capture = cv2.VideoCapture(str(path))
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    rate = rate if np.isfinite(rate) and 1 <= rate <= 1000 else 25.0
    return (count / rate if np.isfinite(count) and count > 0 else 0.0), rate


def _smaller(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most ``LONGEST`` pixels, and even sides, as the codec wants them."""
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    size = tuple(max(2, int(side * scale) // 2 * 2) for side in (image.shape[1], image.shape[0]))
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _writer(path: Path, image: NDArray[np.uint8], rate: float) -> cv2.VideoWriter:
    cv2.utils.logging.setLogLevel(0)
    code = cv2.VideoWriter.fourcc(*"VP80")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, (image.shape[1], image.shape[0]))
    if not writer.isOpened():
        raise FerkitError("Got an OpenCV that cannot write WebM, expected one with VP8.")
    return writer


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * LARGEST, 2 * LARGEST))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
