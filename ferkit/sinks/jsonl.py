"""Rows as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ferkit.errors import InputError
from ferkit.sinks.base import TextSink


class JsonLinesSink(TextSink):
    """One JSON object a line, UTF-8; every column is in every line, ``null`` where a row has no value.

    Parameters
    ----------
    target : path, text stream or None, default=None
        File to write; ``"-"`` or None for standard output.
    columns : sequence of str or None, default=None
        Keys, in order; by default those of the first row.

    Examples
    --------
    >>> import io
    >>> out = io.StringIO()
    >>> with JsonLinesSink(out) as sink:
    ...     sink.append({"face": 0, "time": None})
    >>> out.getvalue()
    '{"face": 0, "time": null}\\n'
    """

    name: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def _line(self, row: Mapping[str, Any]) -> str:
        full = {name: _plain(row.get(name)) for name in self.columns or ()}
        try:
            return json.dumps(full, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise InputError(f"Got a row with {error}, expected text, finite numbers and None.") from error


def _plain(value: Any) -> Any:
    """Python number of a NumPy one."""
    return value.item() if hasattr(value, "item") else value
