"""Readings as rows of the store: which are kept, and what they hold. Pictures are never kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ferkit.labels import canonical
from ferkit.live.records import LiveReading
from ferkit.predict import columns as reading_columns
from ferkit.records import Reading
from ferkit.serve.problems import Problem

EVERY = 1.0
"""Seconds between two rows of one person."""

_PEOPLE = 1_000_000


def columns(labels: Sequence[str]) -> list[str]:
    """Columns of the store: when, who (a number), then those of ``Reading.row``."""
    return ["at", "person", *reading_columns(list(labels))]


_GONE = 5.0
"""Seconds after which a person who was lost does not come back under the same number."""


class Sampler:
    """Picks rows out of what a camera shows: at most one a second and person.

    Parameters
    ----------
    source : str
        Name under which the rows are kept.
    every : float
        Seconds between two rows of one person.
    """

    def __init__(self, source: str, every: float = EVERY) -> None:
        self.source, self.every = source, every
        self._session = secrets.randbits(32)
        self._last: dict[int, float] = {}

    def rows(self, readings: Iterable[LiveReading], at: float) -> list[dict[str, Any]]:
        """Rows that are due.

        Parameters
        ----------
        readings : iterable of LiveReading
            Faces of one frame.
        at : float
            Seconds since 1970.
        """
        faces = list(readings)
        due = [one for one in faces if at - self._last.get(one.track, -1e18) >= self.every]
        self._last = {track: seen for track, seen in self._last.items() if at - seen < max(self.every, _GONE)}
        self._last |= {one.track: at for one in due}
        return [self._row(one, at) for one in due]

    def _row(self, one: LiveReading, at: float) -> dict[str, Any]:
        seen = one.reading
        steady = Reading(
            self.source, seen.frame, seen.time, seen.face, seen.box_xyxy, one.label, one.confidence, one.smooth
        )
        return {"at": round(at, 3), "person": self._session * _PEOPLE + one.track} | steady.row()


class PostedReading(BaseModel):
    """One reading that another program made."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=200, description="Name of the camera or place", examples=["entrance"])
    label: str = Field(
        min_length=1,
        max_length=60,
        description="Expression, in any spelling that data sets have, or 'not sure'",
        examples=["happiness"],
    )
    confidence: float | None = Field(default=None, ge=0, le=1)
    at: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Seconds since 1970; now, where left out"
    )
    person: int | None = Field(default=None, ge=0, lt=2**53, description="Number that stays while a person is followed")
    probabilities: dict[str, float] = Field(default_factory=dict, max_length=50)


class Accepted(BaseModel):
    """How many readings were taken."""

    accepted: int


def posted_rows(readings: Sequence[PostedReading], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of posted readings; raises a 422 problem where a probability or a time cannot be."""
    now = time.time()
    rows = []
    for one in readings:
        unknown = [name for name in one.probabilities if name not in labels]
        if unknown:
            text = f"Got probabilities of {unknown[:5]}, expected those of the server's model: {list(labels)}."
            raise Problem(422, "invalid", text)
        if not all(0 <= p <= 1 for p in one.probabilities.values()):
            raise Problem(422, "invalid", "Got a probability outside 0 to 1, expected 0 to 1.")
        if one.at is not None and one.at > now + 86400:
            raise Problem(422, "invalid", f"Got at={one.at:g}, more than a day ahead, expected seconds since 1970.")
        box = (0.0, 0.0, 0.0, 0.0)
        label = one.label if one.label in labels else canonical(one.label)
        reading = Reading(one.source, 0, None, 0, box, label, one.confidence or 0.0, one.probabilities)
        row = reading.row() | {"confidence": one.confidence, "x1": None, "y1": None, "x2": None, "y2": None}
        rows.append({"at": now if one.at is None else one.at, "person": one.person} | row)
    return rows
