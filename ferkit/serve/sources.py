"""Cameras that the server watches itself, each in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, Field

from ferkit.errors import FerkitError
from ferkit.live import Moment, Watch
from ferkit.serve.readings import Sampler
from ferkit.sources.video import is_address

PAUSE = 30.0
"""Seconds after which a camera that failed for good is tried again."""

log = logging.getLogger("ferkit.serve")


class SourceState(BaseModel):
    """How a watched camera does."""

    source: str
    state: str = Field(description="starting, watching, failed (it is tried again) or ended")
    reason: str | None = Field(default=None, description="Why it failed")
    frames: int = 0
    frames_a_second: float = 0.0
    people_now: int = 0
    seen_at: float | None = Field(default=None, description="Seconds since 1970 of the last frame")


def shown_name(source: str) -> str:
    """Name of a source: of a file its last part, of an address all but the password and the query.

    Examples
    --------
    >>> shown_name("rtsp://me:secret@cam/1"), shown_name("0"), shown_name("videos/hall.mp4")
    ('rtsp://cam/1', 'camera 0', 'hall.mp4')
    """
    if source.isdigit():
        return f"camera {source}"
    if not is_address(source):
        return Path(source).name or source
    parts = urlsplit(source)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def shown_names(sources: Sequence[str]) -> list[str]:
    """Names of sources, each its own: of those that look alike the second has " (2)" at its end, and so on.

    Examples
    --------
    >>> shown_names(["rtsp://cam/live?channel=1", "rtsp://cam/live?channel=2", "0"])
    ['rtsp://cam/live', 'rtsp://cam/live (2)', 'camera 0']
    """
    names: list[str] = []
    for source in sources:
        plain = shown_name(source)
        others = (f"{plain} ({number})" for number in count(2))
        names.append(plain if plain not in names else next(name for name in others if name not in names))
    return names


class Watcher(threading.Thread):
    """Watches one source until it ends or is told to stop.

    Parameters
    ----------
    source : str
        Camera number, file, folder, address, or ``"sample"``.
    model : Model
    keep : callable
        Takes rows for the store.
    pause : float, default=30
        Seconds before a source that failed is tried again.
    shown : str or None, default=None
        Name under which its readings are kept; by default its ``shown_name``.
    """

    def __init__(
        self,
        source: str,
        model: Any,
        keep: Callable[[list[dict[str, Any]]], object],
        pause: float = PAUSE,
        shown: str | None = None,
    ) -> None:
        self._shown = shown or shown_name(source)
        # a stuck camera may not keep the server alive
        super().__init__(name=f"ferkit-source-{self._shown}", daemon=True)
        self._source, self._model, self._keep, self._pause = source, model, keep, pause
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._clock = (0.0, 0)
        self._zero = 0.0
        self.state = SourceState(source=self._shown, state="starting")

    def stop(self) -> None:
        """Tell it to stop."""
        self._stopped.set()
        if self._watch is not None:
            self._watch.stop()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
                self._set(state="ended", people_now=0)
                return
            except Exception as error:  # one camera may not take the server down, whatever its driver raises
                reason = " ".join(str(error).split()) if isinstance(error, FerkitError) else type(error).__name__
                reason = self._without_secrets(reason)
                if self._is_file_begun():  # read again, its readings would be kept twice
                    self._set(state="ended", reason=reason, people_now=0)
                    log.error("%s: %s", self._shown, reason)
                    return
                self._set(state="failed", reason=reason, people_now=0)
                log.error("%s: %s Trying again in %g s.", self._shown, reason, self._pause)
            self._stopped.wait(self._pause)

    def _is_file_begun(self) -> bool:
        return self._watch is not None and not self._watch.live and self._watch.summary.frames > 0

    def _look(self) -> None:
        self._watch = Watch(self._source, self._model, tell=self._tell)
        self._sampler = Sampler(self._shown)  # its people are counted from 1 again
        self._zero, self._clock = time.time(), (time.monotonic(), self.state.frames)
        if self._stopped.is_set():
            return
        for moment in self._watch:
            self._note(moment, self._watch.live)

    def _note(self, moment: Moment, live: bool) -> None:
        """A file's frames count as shown at its own pace, from when it was begun."""
        at = time.time() if live else self._zero + moment.time
        if rows := self._sampler.rows(moment, at):
            self._keep(rows)
        frames, since = self.state.frames + 1, self._clock
        change: dict[str, Any] = {"frames": frames, "people_now": len(moment), "seen_at": round(time.time(), 3)}
        passed = time.monotonic() - since[0]
        if passed >= 1:
            change["frames_a_second"] = round((frames - since[1]) / passed, 1)
            self._clock = (time.monotonic(), frames)
        self._set(state="watching", reason=None, **change)

    def _tell(self, text: str) -> None:
        self._set(reason=self._without_secrets(text))

    def _without_secrets(self, text: str) -> str:
        """The shown name in place of the address; a camera's number stays, because other numbers look like it."""
        return text if self._source.isdigit() else text.replace(self._source, self._shown)

    def _set(self, **change: Any) -> None:
        self.state = self.state.model_copy(update=change)
