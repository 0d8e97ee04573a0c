"""The API of readings: posting, trends, watched cameras. Not there in public mode."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Request
from fastapi import Query as Parameter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from ferkit.labels import NOT_SURE
from ferkit.serve.api import state_of
from ferkit.serve.problems import Problem, described
from ferkit.serve.readings import Accepted, PostedReading, posted_rows
from ferkit.serve.sources import SourceState
from ferkit.serve.trends import LEAST, Group, Query, ReadingStore, Trends

router = APIRouter(tags=["readings"])

_DAY = 86400.0
_PAGE = 1000
_RISKY = ("=", "+", "-", "@", "\t", "\r")


class StoreState(BaseModel):
    """How the store does."""

    store: str
    written: int = Field(description="Readings written since the server was started")
    waiting: int = Field(description="Readings that are not written yet")
    lost: int = Field(description="Readings that were dropped because the store failed for too long")
    failing: str | None = Field(default=None, description="Why the last write failed")
    retention_days: float | None = None
    first: float | None = Field(default=None, description="Seconds since 1970 of the first reading")
    last: float | None = None


class Sources(BaseModel):
    """Cameras that the server watches, and its store."""

    sources: list[SourceState]
    store: StoreState | None


def query_of(
    start: Annotated[float | None, Parameter(ge=0, le=1e11, description="Seconds since 1970; a day ago")] = None,
    end: Annotated[float | None, Parameter(ge=0, le=1e11, description="Seconds since 1970; now")] = None,
    step: Annotated[Literal["minute", "hour", "day"], Parameter(description="Span of a group")] = "hour",
    zone: Annotated[str, Parameter(max_length=60, description="Time zone, such as Europe/Berlin")] = "UTC",
    source: Annotated[list[str] | None, Parameter(max_length=100, description="Cameras; all, where left out")] = None,
) -> Query:
    """Span, step and cameras of a request."""
    end = time.time() if end is None else end
    return Query(end - _DAY if start is None else start, end, step, zone, tuple(source or ()))


Asked = Annotated[Query, Depends(query_of)]


def _store(request: Request) -> ReadingStore:
    store = state_of(request).store
    if store is None:
        raise Problem(404, "no_store", "Got a server without a store, expected ferkit serve --store sqlite:///FILE.")
    return store


@router.post("/api/readings", status_code=202, responses=described(404, 422))
async def post_readings(request: Request, readings: Annotated[list[PostedReading], Body()]) -> Accepted:
    """Add readings that another program made. They are in the store within a second."""
    _store(request)
    state = state_of(request)
    most = state.settings.limits.rows
    if len(readings) > most:
        raise Problem(422, "invalid", f"Got {len(readings)} readings, expected at most {most}. Post them in parts.")
    assert state.journal is not None
    state.journal.add(posted_rows(readings, state.recogniser.labels))
    return Accepted(accepted=len(readings))


@router.get("/api/readings", responses=described(404, 422))
async def readings(
    request: Request,
    query: Asked,
    after: Annotated[int, Parameter(ge=0, le=10**9, description="How many to skip")] = 0,
    limit: Annotated[int, Parameter(ge=1, le=_PAGE)] = 100,
) -> list[dict[str, Any]]:
    """Single readings of a span of time, in order of time."""
    store = _store(request)
    return await state_of(request).queries.do(lambda: store.rows(query, after, limit))


@router.get("/api/readings.csv", responses=described(404, 422), response_class=StreamingResponse)
async def readings_csv(request: Request, query: Asked) -> StreamingResponse:
    """All readings of a span of time as CSV."""
    store = _store(request)
    return _csv(store.all_rows(query), "readings.csv")


@router.get("/api/trends", responses=described(404, 422))
async def trends(request: Request, query: Asked) -> Trends:
    """Expressions over time and by camera. Groups of fewer than 10 readings are hidden."""
    store = _store(request)
    return await state_of(request).queries.do(lambda: store.trends(query))


@router.get("/api/trends.csv", responses=described(404, 422), response_class=StreamingResponse)
async def trends_csv(request: Request, query: Asked) -> StreamingResponse:
    """The same over time as CSV."""
    store = _store(request)
    found = await state_of(request).queries.do(lambda: store.trends(query))
    return _csv((_trend_row(group, found.labels) for group in found.groups), "trends.csv")


@router.get("/api/sources")
async def sources(request: Request) -> Sources:
    """Cameras that the server watches, and how its store does."""
    state = state_of(request)
    return Sources(
        sources=[watcher.state for watcher in state.watchers],
        store=None if state.store is None else await state.queries.do(lambda: _store_state(request)),
    )


def _store_state(request: Request) -> StoreState:
    state, store = state_of(request), _store(request)
    assert state.journal is not None
    span = store.span() or (None, None)
    return StoreState(
        store=store.name.rpartition("/")[2],
        retention_days=store.retention_days,
        first=span[0],
        last=span[1],
        **asdict(state.journal.status()),
    )


def _trend_row(group: Group, labels: list[str]) -> dict[str, Any]:
    """One line; a hidden group says only that it is one."""
    counts = group.counts or {}
    row = {"start": group.start, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(group.start or 0))}
    row |= {"n": f"<{LEAST}" if group.hidden else group.n, "people": group.people, "smiles": group.smiles}
    return row | {"not_sure": group.not_sure} | {name: counts.get(name) for name in labels if name != NOT_SURE}


def _csv(rows: Iterator[dict[str, Any]], name: str) -> StreamingResponse:
    def lines() -> Iterator[str]:
        first = True
        for row in rows:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if first:
                writer.writerow(row)
                first = False
            writer.writerow([_safe(value) for value in row.values()])
            yield text.getvalue()

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is quoted, because others may have posted it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value
