"""What a live session saw, in memory that does not grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.labels import NOT_SURE
from ferkit.live.records import Moment

_LONGEST = 1.0
"""Seconds that one frame may stand for at most: what a camera did not show was not seen."""

_MOST_PEOPLE = 64
"""People whose times are kept apart; of more, the briefly seen ones are added up as ``OTHERS``."""

OTHERS = 0
"""Track number under which people beyond those kept apart are added up."""

_BINS = 512


class Quantiles:
    """Quantiles of any number of durations, in bins that are 3 % wide.

    Examples
    --------
    >>> times = Quantiles()
    >>> for ms in (4.0, 5.0, 6.0):
    ...     times.add(ms)
    >>> round(times.quantile(0.5))
    5
    """

    _LOW, _HIGH = 1e-2, 1e5

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._step = np.log(self._HIGH / self._LOW) / _BINS

    def add(self, value: float) -> None:
        """Count one duration."""
        place = np.log(max(value, self._LOW) / self._LOW) / self._step
        self._counts[min(int(place), _BINS - 1)] += 1

    def quantile(self, share: float) -> float:
        """Duration that so large a share does not exceed; NaN where none was counted."""
        ends = np.cumsum(self._counts)
        if not ends[-1]:
            return float("nan")
        place = int(np.searchsorted(ends, share * ends[-1], side="left"))
        return float(self._LOW * np.exp((place + 0.5) * self._step))


class Timeline:
    """Which label each person showed when, in a fixed number of bins that grow with the session.

    Parameters
    ----------
    labels : list of str
        Labels, ``NOT_SURE`` last.
    bins : int, default=240
        Bins; an even number. When the session outgrows them, pairs are merged and each bin spans twice the time.
    span : float, default=0.25
        Seconds of a bin at the start.
    """

    def __init__(self, labels: list[str], bins: int = 240, span: float = 0.25) -> None:
        self.labels = labels
        self.span = span
        self.bins = bins
        self.seconds: dict[int, NDArray[np.float32]] = {}

    def add(self, track: int, label: str, time: float, seconds: float) -> None:
        """Someone showed a label for some seconds."""
        while time >= self.bins * self.span:
            self._halve()
        rows = self.seconds.setdefault(track, np.zeros((self.bins, len(self.labels)), np.float32))
        rows[int(time / self.span), self.labels.index(label)] += seconds

    def fold(self, track: int) -> None:
        """Add someone to ``OTHERS``."""
        rows = self.seconds.pop(track)
        if OTHERS in self.seconds:
            self.seconds[OTHERS] += rows
        else:
            self.seconds[OTHERS] = rows

    def shown(self, track: int) -> NDArray[np.intp]:
        """Position of the label that prevailed in each bin, -1 where the person was not seen."""
        rows = self.seconds[track]
        return np.where(rows.sum(axis=1) > 0, rows.argmax(axis=1), -1)

    @property
    def end(self) -> float:
        """Seconds up to the last bin in which anyone was seen."""
        used = [int(np.flatnonzero(rows.sum(axis=1)).max(initial=-1)) + 1 for rows in self.seconds.values()]
        return max(used, default=0) * self.span

    def _halve(self) -> None:
        self.span *= 2
        for track, rows in self.seconds.items():
            merged = np.zeros_like(rows)
            merged[: self.bins // 2] = rows.reshape(self.bins // 2, 2, -1).sum(axis=1)
            self.seconds[track] = merged


@dataclass
class Summary:
    """What a session saw. Grows with no frame.

    Attributes
    ----------
    frames, frames_with_face, frames_dropped : int
        Frames looked at, those of them with a face, and frames that a live source gave in vain.
    tracks : int
        People met; one who leaves for longer than two seconds and returns counts again.
    readings, fresh_readings : int
        Faces in frames, and how many of them the model read in that frame; the others were followed.
    first_reading_s : float or None
        Seconds from the start of the session to the first reading.
    elapsed_s : float
        Seconds of the clock from the first frame to the last.
    label_changes : int
        Times that the steady label of a face changed.
    raw_changes : int
        Times that the model's own label of a face changed from one fresh reading to the next.
    face_seconds : float
        Seconds of the video in which a face was followed, over all faces.
    latency : Quantiles
        Milliseconds from a frame's arrival to its readings.
    timeline : Timeline
        Who showed what when.
    """

    labels: list[str]
    frames: int = 0
    frames_with_face: int = 0
    frames_dropped: int = 0
    tracks: int = 0
    readings: int = 0
    fresh_readings: int = 0
    first_reading_s: float | None = None
    elapsed_s: float = 0.0
    label_changes: int = 0
    raw_changes: int = 0
    face_seconds: float = 0.0
    latency: Quantiles = field(default_factory=Quantiles, repr=False)

    def __post_init__(self) -> None:
        self.timeline = Timeline([*self.labels, NOT_SURE])
        self._seconds: dict[int, NDArray[np.float64]] = {}
        self._shown: dict[int, tuple[str, str]] = {}
        self._time: float | None = None

    @property
    def frames_per_second(self) -> float:
        """Frames a second of the clock."""
        return (self.frames - 1) / self.elapsed_s if self.frames > 1 and self.elapsed_s > 0 else 0.0

    @property
    def seconds(self) -> dict[int, dict[str, float]]:
        """Seconds of each label by track, longest first; labels that were not shown are left out."""
        names = self.timeline.labels
        return {
            track: {names[i]: float(row[i]) for i in np.argsort(-row) if row[i] > 0}
            for track, row in sorted(self._seconds.items())
        }

    def add(self, moment: Moment, since_start: float, elapsed: float) -> None:
        """Count one frame.

        Parameters
        ----------
        moment : Moment
        since_start : float
            Seconds since the session was started.
        elapsed : float
            Seconds since its first frame.
        """
        passed = 0.0 if self._time is None else min(max(moment.time - self._time, 0.0), _LONGEST)
        self._time = moment.time
        self.frames += 1
        self.frames_with_face += bool(moment.readings)
        self.frames_dropped = moment.dropped
        self.elapsed_s = elapsed
        self.latency.add(moment.latency_ms)
        if moment.readings and self.first_reading_s is None:
            self.first_reading_s = since_start
        for one in moment.readings:
            self.readings += 1
            self.fresh_readings += one.fresh
            self.tracks = max(self.tracks, one.track)
            self._add_label(one.track, one.label, moment.time, passed)
        self._count_changes(moment)

    def as_dict(self) -> dict[str, Any]:
        """The whole as plain numbers, for JSON; durations that were not measured are None."""
        counts = ("frames", "frames_with_face", "frames_dropped", "tracks", "readings", "fresh_readings")
        median, high = (self.latency.quantile(share) if self.frames else None for share in (0.5, 0.95))
        return {name: getattr(self, name) for name in counts} | {
            "frames_per_second": round(self.frames_per_second, 2),
            "latency_ms_median": None if median is None else round(median, 2),
            "latency_ms_95": None if high is None else round(high, 2),
            "first_reading_s": None if self.first_reading_s is None else round(self.first_reading_s, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            "label_changes": self.label_changes,
            "raw_label_changes": self.raw_changes,
            "face_seconds": round(self.face_seconds, 3),
            "seconds": {
                "others" if track == OTHERS else str(track): {name: round(s, 3) for name, s in row.items()}
                for track, row in self.seconds.items()
            },
        }

    def lines(self) -> list[str]:
        """The summary for people, a line each."""
        said = [
            f"{self.frames} frames, {self.frames_with_face} with a face, {self.frames_dropped} dropped, "
            f"{self.frames_per_second:.1f} a second; {self.tracks} {'person' if self.tracks == 1 else 'people'}."
        ]
        for track, row in self.seconds.items():
            who = "others" if track == OTHERS else f"person {track}"
            parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in row.items())
            said.append(f"  {who}: {parts}")
        return said

    def _add_label(self, track: int, label: str, time: float, passed: float) -> None:
        self.face_seconds += passed
        if track not in self._seconds and len(self._seconds) > _MOST_PEOPLE:
            self._fold()
        row = self._seconds.setdefault(track, np.zeros(len(self.timeline.labels)))
        row[self.timeline.labels.index(label)] += passed
        self.timeline.add(track, label, time, passed)

    def _fold(self) -> None:
        """Add the person who was seen for the shortest time to the others."""
        brief = min((t for t in self._seconds if t not in (OTHERS, *self._shown)), key=self._total, default=None)
        if brief is not None:
            row = self._seconds.pop(brief)
            self._seconds[OTHERS] = self._seconds.get(OTHERS, np.zeros_like(row)) + row
            self.timeline.fold(brief)

    def _total(self, track: int) -> float:
        return float(self._seconds[track].sum())

    def _count_changes(self, moment: Moment) -> None:
        before, self._shown = self._shown, {}
        for one in moment.readings:
            steady, raw = before.get(one.track, (one.label, one.reading.label))
            self.label_changes += steady != one.label
            self.raw_changes += raw != one.reading.label
            self._shown[one.track] = (one.label, one.reading.label)
