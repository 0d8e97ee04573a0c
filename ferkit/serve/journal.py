"""Readings on their way to the store: a bounded buffer, and one thread that writes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

CAPACITY = 100_000
"""Readings that wait while the store fails; then the oldest are lost."""

EVERY = 0.5
"""Seconds between writes: what a killed server loses at most."""

_BATCH = 5000
_LONGEST_PAUSE = 10.0
_TIDY, _TIDY_AGAIN = 3600.0, 60.0

log = logging.getLogger("ferkit.serve")


class Store(Protocol):
    """What the journal writes to."""

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write all rows, or none and raise FerkitError."""


@dataclass(frozen=True)
class Status:
    """How the journal does.

    Attributes
    ----------
    written, waiting, lost : int
        Readings in the store, in the buffer, and dropped because the buffer was full.
    failing : str or None
        Why the last write failed.
    """

    written: int
    waiting: int
    lost: int
    failing: str | None


class Journal:
    """Takes readings at once and writes them soon.

    While the store fails, readings wait and are written when it works again. Beyond ``capacity`` the oldest are
    dropped, counted and logged.

    Parameters
    ----------
    store : Store
    capacity : int, default=100,000
        Readings that may wait.
    every : float, default=0.5
        Seconds between writes.
    tidy : callable or None, default=None
        Called at the start and then once an hour, to delete what is too old; a minute after it failed.

    Examples
    --------
    >>> from ferkit.sinks import SqlSink
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SqlSink(f"{folder}/readings.db") as store:
    ...     journal = Journal(store)
    ...     journal.start()
    ...     journal.add([{"source": "entrance", "label": "happiness"}])
    ...     journal.close()
    ...     journal.status().written
    1
    """

    def __init__(
        self,
        store: Store,
        capacity: int = CAPACITY,
        every: float = EVERY,
        tidy: Callable[[], object] | None = None,
    ) -> None:
        self._store, self._capacity, self._every, self._tidy = store, capacity, every, tidy
        self._rows: deque[Mapping[str, Any]] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._written = self._lost = 0
        self._failing: str | None = None
        self._tidy_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="ferkit-journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows; never waits for the store."""
        with self._lock:
            self._rows.extend(rows)
            self._cut()

    def status(self) -> Status:
        """How it does."""
        with self._lock:
            return Status(self._written, len(self._rows), self._lost, self._failing)

    def close(self, patience: float = 5.0) -> None:
        """Write what waits, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        if waiting := self.status().waiting:
            log.error("%d readings could not be written.", waiting)

    def _cut(self) -> None:
        over = len(self._rows) - self._capacity
        for _ in range(over):
            self._rows.popleft()
        if over > 0:
            if not self._lost:
                log.error("The store fails and the buffer is full: the oldest readings are being lost.")
            self._lost += over

    def _run(self) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            written = self._write()
            pause = self._every if written else min(_LONGEST_PAUSE, 2 * pause)
            self._tidy_up()
        self._write()

    def _write(self) -> bool:
        """Write what waits; whether that went well."""
        while batch := self._taken():
            try:
                self._store.extend(batch)
            except Exception as error:  # whatever a driver raises, the writer goes on
                self._put_back(batch, " ".join(str(error).split()))
                return False
            self._note(len(batch))
        return True

    def _taken(self) -> list[Mapping[str, Any]]:
        with self._lock:
            return [self._rows.popleft() for _ in range(min(_BATCH, len(self._rows)))]

    def _note(self, count: int) -> None:
        with self._lock:
            self._written += count
            if self._failing:
                log.warning("The store works again; %d readings wait, %d were lost.", len(self._rows), self._lost)
            self._failing = None

    def _put_back(self, batch: list[Mapping[str, Any]], reason: str) -> None:
        with self._lock:
            self._rows.extendleft(reversed(batch))
            if self._failing is None:
                log.error("%s %d readings wait.", reason, len(self._rows))
            self._failing = reason
            self._cut()

    def _tidy_up(self) -> None:
        if self._tidy is None or time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _TIDY
        try:
            self._tidy()
        except Exception as error:  # whatever a driver raises, the writer goes on
            self._tidy_at = time.monotonic() + _TIDY_AGAIN
            log.error("Old readings could not be deleted: %s", " ".join(str(error).split()))
