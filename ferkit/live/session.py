"""A whole session: readings into a log, a recording and a window."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit import sinks
from ferkit.errors import InputError
from ferkit.live.drawing import Overlay
from ferkit.live.recording import Recording
from ferkit.live.records import Moment, columns
from ferkit.live.watching import Watch
from ferkit.live.window import Controls, Window, save_snapshot

_PAUSED = 0.05


@dataclass
class Outputs:
    """Where a session goes.

    Attributes
    ----------
    log : str, Path or None
        ``.csv``, ``.jsonl`` or ``.db`` file, or address of a database, of one row a face and frame.
    record : str, Path or None
        ``.mp4`` file of what the window shows.
    window : Window or None
        Where it is shown.
    controls : Controls
        What the keys change; ``mirror`` and ``hog`` also set what a recording without a window shows.
    tell : callable
        Called with a sentence about each snapshot.
    """

    log: str | Path | None = None
    record: str | Path | None = None
    window: Window | None = None
    controls: Controls | None = None
    tell: Callable[[str], object] = print


def run(watch: Watch, outputs: Outputs) -> None:
    """Watch to the end, or until the user quits.

    However it ends, each row and each frame of the recording that was written before can be read.

    Parameters
    ----------
    watch : Watch
    outputs : Outputs

    Raises
    ------
    InputError
        The log's name ends in none of ``.csv``, ``.jsonl`` and ``.db``, and is no address of a database.
    """
    controls = outputs.controls or Controls()
    with ExitStack() as stack:
        sink = stack.enter_context(_log(outputs.log, watch.predictor.labels)) if outputs.log else None
        recording = stack.enter_context(Recording(outputs.record)) if outputs.record else None
        screen = _Screen(outputs, controls, paced=not watch.live) if outputs.window else None
        overlay = Overlay(watch.predictor.model)
        moments = stack.enter_context(closing(iter(watch)))  # type: ignore[type-var]
        for moment in moments:
            for row in moment.rows() if sink else ():
                sink.append(row)  # type: ignore[union-attr]
            if recording or screen:
                image = overlay.draw(moment, clock=time.monotonic(), mirror=controls.mirror, hog=controls.hog)
                if recording:
                    recording.append(image, moment.time)
                if screen:
                    screen.show(image, moment)
            if controls.quit:
                break


def log_format(path: str | Path) -> str:
    """Name of the sink for a log; raises where the file's ending names none."""
    name = sinks.format_of(path)
    if name not in ("csv", "jsonl", "sql"):
        raise InputError(f"Got log={str(path)!r}, expected a name that ends in .csv, .jsonl or .db, or sqlite:///FILE.")
    return name


def _log(path: str | Path, labels: list[str]) -> Any:
    return sinks.make(log_format(path), path, columns(labels))


class _Screen:
    """Shows pictures at the pace of the video and obeys the keys."""

    def __init__(self, outputs: Outputs, controls: Controls, paced: bool) -> None:
        self._outputs, self._controls, self._paced = outputs, controls, paced
        self._start: float | None = None

    def show(self, image: NDArray[np.uint8], moment: Moment) -> None:
        controls, window = self._controls, self._outputs.window
        assert window is not None
        now = time.monotonic()
        if self._start is None:
            self._start = now - moment.time
        wait = self._start + moment.time - now if self._paced else 0.0
        window.show(image, controls, max(0.0, wait))
        self._snap(image)
        while controls.paused and not controls.quit:
            window.show(image, controls, _PAUSED)
            self._snap(image)
            self._start = time.monotonic() - moment.time

    def _snap(self, image: NDArray[np.uint8]) -> None:
        if self._controls.snapshot:
            self._controls.snapshot = False
            self._outputs.tell(f"Saved {save_snapshot(image)}")
