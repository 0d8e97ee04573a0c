"""Rows as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, ClassVar

from ferkit.sinks.base import TextSink


class CsvSink(TextSink):
    """Comma-separated values in UTF-8 with one header line; empty where a row has no value.

    Parameters
    ----------
    target : path, text stream or None, default=None
        File to write; ``"-"`` or None for standard output.
    columns : sequence of str or None, default=None
        Columns, in order; by default those of the first row.

    Examples
    --------
    >>> import io
    >>> out = io.StringIO()
    >>> with CsvSink(out, ["source", "label"]) as sink:
    ...     sink.append({"source": "a, b.jpg", "label": "fear"})
    >>> out.getvalue()
    'source,label\\n"a, b.jpg",fear\\n'
    """

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def _header(self, row: Mapping[str, Any]) -> str:
        return _joined(self.columns or ())

    def _line(self, row: Mapping[str, Any]) -> str:
        return _joined([row.get(name) for name in self.columns or ()])


def _joined(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
