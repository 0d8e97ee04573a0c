"""What the live loop gives for each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.records import RESERVED, Frame, Reading


@dataclass(frozen=True)
class LiveReading:
    """One face in one frame.

    Parameters
    ----------
    reading : Reading
        Box in this frame, and what the model last read from the face, as ``predict`` gives it.
    track : int
        Number of the person, from 1; stays while the face is followed.
    label : str
        Steady label, or ``NOT_SURE``.
    smooth : dict of str to float
        Probabilities averaged over time; they sum to 1.
    fresh : bool
        Whether the model read the face in this very frame; else the probabilities are those of the last reading.
    crop : ndarray of shape (size, size), dtype uint8
        The face as the model last saw it.
    """

    reading: Reading
    track: int
    label: str
    smooth: dict[str, float]
    fresh: bool
    crop: NDArray[np.uint8] = field(repr=False, compare=False)

    @property
    def confidence(self) -> float:
        """Highest of the averaged probabilities."""
        return max(self.smooth.values())

    def row(self) -> dict[str, Any]:
        """Columns of ``Reading.row``, then ``track, fresh, smooth_label, smooth_confidence`` and ``smooth_<label>``.

        The column of a label that would be called like one of these is named ``smooth_p_<label>``.
        """
        steady = {"track": self.track, "fresh": int(self.fresh), "smooth_label": self.label}
        steady["smooth_confidence"] = round(self.confidence, 6)
        return self.reading.row() | steady | {_smooth_column(name): round(p, 6) for name, p in self.smooth.items()}


def _smooth_column(label: str) -> str:
    return f"smooth_p_{label}" if f"smooth_{label}".lower() in RESERVED else f"smooth_{label}"


@dataclass(frozen=True)
class Moment:
    """One frame and its faces; iterates over the faces.

    Parameters
    ----------
    frame : Frame
        The frame, with its time in seconds.
    readings : tuple of LiveReading
        Faces in sight, largest first.
    latency_ms : float
        Milliseconds from the frame's arrival to its readings.
    dropped : int
        Frames that a live source dropped so far.
    """

    frame: Frame
    readings: tuple[LiveReading, ...]
    latency_ms: float
    dropped: int = 0

    def __iter__(self) -> Iterator[LiveReading]:
        return iter(self.readings)

    def __len__(self) -> int:
        return len(self.readings)

    @property
    def time(self) -> float:
        """Seconds from the start of the video."""
        return self.frame.time or 0.0

    def rows(self) -> list[dict[str, Any]]:
        """One row a face; a frame without a face is one row with its source, number and time, and an empty label."""
        if self.readings:
            return [one.row() for one in self.readings]
        time = round(self.time, 4)
        return [{"source": self.frame.source, "frame": self.frame.index, "time": time, "label": "", "smooth_label": ""}]


def columns(labels: list[str]) -> list[str]:
    """Columns of ``Moment.rows`` for a model's labels."""
    shares = dict.fromkeys(labels, 0.0)
    reading = Reading("", 0, None, 0, (0, 0, 0, 0), "", 0.0, shares)
    return list(LiveReading(reading, 0, "", shares, False, np.empty((0, 0), np.uint8)).row())
