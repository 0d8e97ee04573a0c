"""The live loop: frames from a source, readings out of it, one summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from ferkit.live.capture import Capture, Opener
from ferkit.live.predictor import EVERY, LivePredictor
from ferkit.live.records import Moment
from ferkit.live.summary import Summary
from ferkit.sources.video import check_every


class Watch:
    """Reads the expressions in a camera, stream, video, folder of pictures or drawn clip, frame by frame.

    Iterate over it for one ``Moment`` a frame. The source is freed when the loop ends, is left, or an error passes.

    Parameters
    ----------
    source : int, str or Path, default=0
        Camera number, file, address, folder of pictures, or ``"sample"``.
    model : Model, path or None, default=None
        By default the model that ships with ferkit.
    every : int, default=3
        The model reads the faces of every n-th frame; in between they are followed.
    max_seconds : float or None, default=None
        End after so many seconds: of the clock for a camera or stream, of the video for a file.
    tell : callable, default=does nothing
        Called with one sentence when something happened that the user should know.
    opener, live, retries, pause, stall
        See ``Capture``.
    began : float or None, default=None
        ``time.monotonic`` from which ``first_reading_s`` counts; by default when this object is made.
    **settings
        ``smallest, detector, tau, margin, threshold`` of ``LivePredictor``.

    Attributes
    ----------
    predictor : LivePredictor
        What reads the frames.
    summary : Summary
        What was seen so far.

    Examples
    --------
    >>> with_faces = [len(moment) for moment in Watch("sample", max_seconds=0.2)]
    >>> len(with_faces)
    4
    """

    def __init__(
        self,
        source: Any = 0,
        model: Any = None,
        *,
        every: int = EVERY,
        max_seconds: float | None = None,
        tell: Callable[[str], object] = lambda text: None,
        opener: Opener | None = None,
        began: float | None = None,
        live: bool | None = None,
        retries: int | None = None,
        pause: float | None = None,
        stall: float | None = None,
        **settings: Any,
    ) -> None:
        self._began = time.monotonic() if began is None else began
        check_every(every)
        limits = {"retries": retries, "pause": pause, "stall": stall}
        given: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
        self._capture = Capture(source, opener, live=live, tell=tell, max_seconds=max_seconds, **given)
        self.live = self._capture.live
        self.predictor = LivePredictor(model, every, **settings)
        self.summary = Summary(self.predictor.labels)

    def stop(self) -> None:
        """End the loop from another thread; it may then not be begun again."""
        self._capture.stop()

    def __iter__(self) -> Iterator[Moment]:
        self.predictor.warm_up()
        with self._capture as capture, closing(self.predictor):
            first = None
            for taken in capture:
                first = taken.arrived if first is None else first
                readings = self.predictor.read(taken.frame)
                now = time.monotonic()
                moment = Moment(taken.frame, readings, (now - taken.arrived) * 1000, capture.dropped)
                self.summary.add(moment, now - self._began, now - first)
                yield moment


def watch(source: Any = 0, model: Any = None, **settings: Any) -> Iterator[Moment]:
    """Readings of a camera, stream, video, folder of pictures or drawn clip, frame by frame.

    Parameters
    ----------
    source : int, str or Path, default=0
        Camera number, file, address, folder of pictures, or ``"sample"``.
    model : Model, path or None, default=None
        By default the model that ships with ferkit.
    **settings
        ``every``, ``max_seconds`` and the others of ``Watch``.

    Yields
    ------
    Moment
        One a frame; iterates over its faces, each a ``LiveReading``.

    Examples
    --------
    >>> for moment in watch(0):  # doctest: +SKIP
    ...     print([(face.track, face.label) for face in moment])
    """
    return iter(Watch(source, model, **settings))
