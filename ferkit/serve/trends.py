"""The store: readings over time, added up in the database."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field

from ferkit.errors import FerkitError, InputError
from ferkit.labels import NOT_SURE, ordered
from ferkit.serve.problems import Problem
from ferkit.sinks.sql import SqlSink, ready_table

STEPS = {"minute": 60, "hour": 3600, "day": 86400}
"""Seconds of the groups that readings are added up in."""

LEAST = 10
"""Readings below which a group is hidden."""

MOST_GROUPS = 3000
"""Groups that one answer may hold."""

SMILE = "happiness"
"""Expression that counts as a smile."""

_INDEX = ("at", "source", "label", "person")
_DAY = 86400


class Group(BaseModel):
    """Readings of one span of time, or of one camera. All but its name is empty where it is hidden."""

    start: float | None = Field(default=None, description="Seconds since 1970 at which the span begins")
    source: str | None = Field(default=None, description="Camera")
    hidden: bool = Field(description=f"Whether it holds fewer than {LEAST} readings and is not shown")
    n: int | None = Field(default=None, description="Readings")
    people: int | None = Field(default=None, description="People; one who leaves and returns counts again")
    smiles: float | None = Field(default=None, description=f"Share of {SMILE}, 0 to 1")
    not_sure: float | None = Field(default=None, description="Share of readings without a sure label, 0 to 1")
    counts: dict[str, int] | None = Field(default=None, description="Readings by expression")


class Trends(BaseModel):
    """Expressions over time."""

    start: float
    end: float
    step: str
    zone: str
    least: int = Field(default=LEAST, description="Smaller groups are hidden")
    hidden: int = Field(description="How many groups are hidden")
    labels: list[str]
    sources: list[str] = Field(description="All cameras in the store, for a filter")
    total: Group
    groups: list[Group] = Field(description="By time, in order; spans without a reading are left out")
    cameras: list[Group] = Field(description="By camera, in the order of names")


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes
    ----------
    start, end : float
        Seconds since 1970; the end is left out.
    step : str
        One of ``STEPS``.
    zone : str
        Time zone in which hours and days begin, such as ``Europe/Berlin``.
    sources : tuple of str
        Cameras; none means all.
    """

    start: float
    end: float
    step: str = "hour"
    zone: str = "UTC"
    sources: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise a 422 problem where it cannot be answered."""
        groups = (self.end - self.start) / STEPS[self.step]
        if not 0 < groups <= MOST_GROUPS:
            text = f"Got {max(0, round(groups))} groups of a {self.step}, expected 1 to {MOST_GROUPS}."
            raise Problem(422, "invalid", f"{text} Take another step or span.")
        _zone(self.zone)


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # known also where there are no files of zones
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Problem(422, "invalid", f"Got zone={name[:60]!r}, expected one such as Europe/Berlin.") from None


def offsets(start: float, end: float, zone: str) -> list[tuple[float, int]]:
    """Offsets from UTC in a span of time, as (until when, seconds); more than one where clocks change in it.

    Examples
    --------
    >>> summer = datetime(2025, 3, 30, 1, tzinfo=UTC).timestamp()
    >>> [(until - summer, offset) for until, offset in offsets(summer - 7200, summer + 7200, "Europe/Berlin")]
    [(0.0, 3600), (7200.0, 7200)]
    """
    where = _zone(zone)

    def offset(moment: float) -> int:
        found = datetime.fromtimestamp(moment, where).utcoffset()
        return 0 if found is None else round(found.total_seconds())

    parts, now = [], start
    while now < end:
        then = min(now + _DAY, end)
        if offset(then) != offset(now) and then < end + _DAY:
            low, high = now, then
            while high - low > 1:
                middle = float((low + high) // 2)
                low, high = (middle, high) if offset(middle) == offset(now) else (low, middle)
            parts.append((high, offset(now)))
            then = high
        now = then
    return [*parts, (end, offset(end - 1))]


def _parts(query: Query) -> list[tuple[float, int]]:
    """What is added to a time so that spans of a step begin at its multiples, as ``offsets`` says it.

    Days are local ones, of 23 or 25 hours where clocks change. Hours always have 60 minutes: the two that have one name
    where clocks go back stay two.
    """
    parts, step = offsets(query.start, query.end, query.zone), STEPS[query.step]
    return parts if query.step == "day" else [(query.end, parts[0][1] % step)]


@dataclass
class _Sum:
    """Readings of a group while they are added up."""

    counts: Counter[str] = field(default_factory=Counter)
    people: int = 0

    def group(self, labels: Sequence[str], **names: Any) -> Group:
        n = self.counts.total()
        if n < LEAST:
            return Group(hidden=True, **names)
        return Group(
            hidden=False,
            n=n,
            people=self.people,
            smiles=round(self.counts[SMILE] / n, 4),
            not_sure=round(self.counts[NOT_SURE] / n, 4),
            counts={label: self.counts[label] for label in labels},
            **names,
        )


class ReadingStore:
    """Table of readings that can be added up; thread-safe.

    Parameters
    ----------
    target : str
        Address of a database, such as ``sqlite:///readings.db``.
    columns : sequence of str
        Columns that rows have.
    retention_days : float or None
        Days after which readings are deleted.

    Raises
    ------
    FerkitError
        The database cannot be opened or written.
    """

    def __init__(self, target: str, columns: Sequence[str], retention_days: float | None = None) -> None:
        from sqlalchemy import Index
        from sqlalchemy.exc import SQLAlchemyError

        self._sink = SqlSink(target, columns)
        self.engine, self.retention_days = self._sink.engine, retention_days
        self.name = self.engine.url.render_as_string(hide_password=True)
        try:
            self._table = ready_table(self.engine, list(columns), {})
            index = Index("readings_by_time", *(self._table.c[name] for name in _INDEX))
            index.create(self.engine, checkfirst=True)
        except SQLAlchemyError as error:
            self.engine.dispose()
            reason = str(getattr(error, "orig", None) or error)
            raise InputError(f"Got store={self.name!r}, expected a database that can be written: {reason}.") from error

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows in one transaction."""
        self._sink.extend(rows)

    def close(self) -> None:
        """Free the connections."""
        self._sink.close()

    def forget(self) -> int:
        """Delete what is older than the retention allows; how many rows."""
        from sqlalchemy import delete
        from sqlalchemy.exc import SQLAlchemyError

        if self.retention_days is None:
            return 0
        before = time.time() - self.retention_days * _DAY
        try:
            with self.engine.begin() as connection:
                return int(connection.execute(delete(self._table).where(self._table.c.at < before)).rowcount)
        except SQLAlchemyError as error:
            raise FerkitError(f"Got store={self.name!r}, in which nothing can be deleted: {error}.") from error

    def rows(self, query: Query, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Rows of a span of time, by time, from the ``after``-th on."""
        from sqlalchemy import select

        found = select(self._table).where(*self._where(query)).order_by(self._table.c.at).offset(after).limit(limit)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(found).mappings()]

    def all_rows(self, query: Query, at_once: int = 1000) -> Iterator[dict[str, Any]]:
        """All rows of a span of time, by time, with no look at the database longer than a page takes.

        Rows that are deleted or written meanwhile shift no others.
        """
        while page := self.rows(query, limit=at_once):
            last = page[-1]["at"]
            if len(page) < at_once:
                yield from page
                return
            if page[0]["at"] < last:  # more rows of the last moment may follow
                yield from (row for row in page if row["at"] < last)
                query = replace(query, start=last)
            else:
                following = math.nextafter(last, math.inf)
                yield from self.rows(replace(query, end=following))
                query = replace(query, start=following)

    def span(self) -> tuple[float, float] | None:
        """Times of the first and the last reading; None where there are none."""
        from sqlalchemy import func, select

        with self.engine.connect() as connection:
            first = connection.execute(select(func.min(self._table.c.at))).scalar()
            last = connection.execute(select(func.max(self._table.c.at))).scalar()
        return None if first is None else (float(first), float(last))

    def sources(self) -> list[str]:
        """Names of all cameras."""
        from sqlalchemy import select

        with self.engine.connect() as connection:
            found = connection.execute(select(self._table.c.source).distinct()).scalars()
            return sorted(str(name) for name in found if name is not None)

    def trends(self, query: Query) -> Trends:
        """Readings added up by time and by camera."""
        query.check()
        times: dict[int, _Sum] = {}
        cameras: dict[str, _Sum] = {}
        total = _Sum()
        with ThreadPoolExecutor(3) as pool:  # the database lets go of Python's lock, so that each uses a core
            counted = pool.submit(self._counted, query)
            by_time = pool.submit(self._people_by_time, query)
            by_source = pool.submit(self._people_by_camera, query)
        for number, source, label, n in counted.result():
            for part in (times.setdefault(number, _Sum()), cameras.setdefault(source, _Sum()), total):
                part.counts[label] += n
        for number, people in by_time.result():
            if number in times:  # a reading may have come in between
                times[number].people = people
        for source, people in by_source.result():
            if source in cameras:
                cameras[source].people = people
                total.people += people
        labels = [*ordered(name for name in total.counts if name != NOT_SURE), NOT_SURE]
        shift = _parts(query)[0][1]
        groups = [times[i].group(labels, start=self._start(query, i, shift)) for i in sorted(times)]
        by_camera = [cameras[name].group(labels, source=name) for name in sorted(cameras)]
        return Trends(
            start=query.start,
            end=query.end,
            step=query.step,
            zone=query.zone,
            hidden=sum(group.hidden for group in (*groups, *by_camera)),
            labels=labels,
            sources=self.sources(),
            total=total.group(labels),
            groups=groups,
            cameras=by_camera,
        )

    def _where(self, query: Query) -> list[Any]:
        c = self._table.c
        within = [c.at >= query.start, c.at < query.end, c.label != "", c.source.is_not(None)]
        return [*within, c.source.in_(query.sources)] if query.sources else within

    def _number(self, query: Query) -> Any:
        """Expression for the number of the span that a row belongs to, in local time."""
        from sqlalchemy import Integer, case, cast, func, literal

        at, parts = self._table.c.at, _parts(query)
        offset: Any = literal(parts[-1][1])
        if len(parts) > 1:
            offset = case(*((at < until, seconds) for until, seconds in parts[:-1]), else_=parts[-1][1])
        local = (at + offset) / float(STEPS[query.step])
        return cast(local if self.engine.dialect.name == "sqlite" else func.floor(local), Integer)

    def _start(self, query: Query, number: int, shift: int) -> float:
        """Seconds since 1970 at which a span begins; ``shift`` is what spans shorter than a day are moved by."""
        local = number * STEPS[query.step]
        if query.step != "day":
            return local - shift
        plain = datetime.fromtimestamp(local, UTC).replace(tzinfo=_zone(query.zone))
        return plain.timestamp()

    def _counted(self, query: Query) -> list[tuple[int, str, str, int]]:
        from sqlalchemy import func, select

        c, number = self._table.c, self._number(query).label("number")
        found = select(number, c.source, c.label, func.count()).where(*self._where(query))
        with self.engine.connect() as connection:
            rows = connection.execute(found.group_by(number, c.source, c.label))
            return [(int(i), str(source), str(label), int(n)) for i, source, label, n in rows]

    def _people_by_time(self, query: Query) -> list[tuple[int, int]]:
        from sqlalchemy import func, select

        number = self._number(query).label("number")
        found = select(number, func.count(self._table.c.person.distinct())).where(*self._where(query))
        with self.engine.connect() as connection:
            return [(int(i), int(n)) for i, n in connection.execute(found.group_by(number))]

    def _people_by_camera(self, query: Query) -> list[tuple[str, int]]:
        from sqlalchemy import func, select

        c = self._table.c
        found = select(c.source, func.count(c.person.distinct())).where(*self._where(query)).group_by(c.source)
        with self.engine.connect() as connection:
            return [(str(source), int(n)) for source, n in connection.execute(found)]
