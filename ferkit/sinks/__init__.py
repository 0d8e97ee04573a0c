"""Places that rows go to: CSV, JSON lines, SQL, a table for people.

Each sink is a context manager with ``append(row)``. To add one, write a class with that method and put it into
``SINKS``; its ``suffixes`` are the file endings that choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ferkit.errors import InputError
from ferkit.sinks.base import Sink, TextSink
from ferkit.sinks.delimited import CsvSink
from ferkit.sinks.jsonl import JsonLinesSink
from ferkit.sinks.reading import read_readings
from ferkit.sinks.sql import SqlSink, is_url
from ferkit.sinks.table import TableSink

SINKS: dict[str, type[Any]] = {sink.name: sink for sink in (TableSink, CsvSink, JsonLinesSink, SqlSink)}
"""Sinks by the name that ``--format`` takes."""


def format_of(path: str | Path) -> str | None:
    """Name of the sink that a file's ending or a database's address asks for, or None.

    Examples
    --------
    >>> format_of("out.csv"), format_of("sqlite:///out.db"), format_of("out")
    ('csv', 'sql', None)
    """
    if is_url(path):
        return SqlSink.name
    suffix = Path(path).suffix.lower()
    return next((name for name, sink in SINKS.items() if suffix in getattr(sink, "suffixes", ())), None)


def make(
    name: str, target: str | Path | TextIO | None = None, columns: Sequence[str] | None = None, **options: Any
) -> Sink:
    """Sink by name.

    Parameters
    ----------
    name : str
        One of ``SINKS``.
    target : path, address, text stream or None, default=None
        Where the rows go; ``"-"`` or None for standard output, an address such as ``sqlite:///faces.db`` for SQL.
    columns : sequence of str or None, default=None
        Columns, in order; by default those of the first row.
    **options
        Passed on to the sink, such as the table's ``width``.

    Raises
    ------
    InputError
        There is no sink of that name.
    """
    if name not in SINKS:
        raise InputError(f"Got format={name!r}, expected one of {sorted(SINKS)}.")
    sink: Sink = SINKS[name](target, columns, **options)
    return sink


__all__ = [
    "SINKS",
    "CsvSink",
    "JsonLinesSink",
    "Sink",
    "SqlSink",
    "TableSink",
    "TextSink",
    "format_of",
    "is_url",
    "make",
    "read_readings",
]
