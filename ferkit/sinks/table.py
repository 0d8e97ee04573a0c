"""Rows as aligned text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

from ferkit.sinks.base import TextSink


class TableSink(TextSink):
    """Aligned text. Column widths are set by the header and the first row, because rows are shown as they come.

    Parameters
    ----------
    target : path, text stream or None, default=None
        File to write; ``"-"`` or None for standard output.
    columns : sequence of str or None, default=None
        Columns, in order; by default those of the first row.
    width : int or None, default=None
        Letters that a line may have. Columns that do not fit are left out, which the header shows by ``…``, and long
        text is cut at its start. By default lines are as long as they need to be.

    Examples
    --------
    >>> with TableSink() as sink:
    ...     sink.append({"source": "a.jpg", "face": 0, "label": "happiness", "confidence": 0.91})
    source                 face  label      confidence
    a.jpg                     0  happiness        0.91
    """

    name: ClassVar[str] = "table"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    def __init__(
        self,
        target: str | Path | TextIO | None = None,
        columns: Sequence[str] | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__(target, columns)
        self.width = width
        self._widths: dict[str, int] = {}
        self._text: set[str] = set()

    def _measure(self, row: Mapping[str, Any]) -> None:
        self._text = {name for name, value in row.items() if isinstance(value, str)}
        for name in self.columns or ():
            least = 20 if name == "source" else 9 if name in self._text else 5
            self._widths[name] = max(least, len(name), len(_cell(row.get(name))))
        if self.width is not None:
            self._widths = _fitting(self._widths, self.width)

    def _header(self, row: Mapping[str, Any]) -> str:
        if not self._widths:
            self._measure(row)
        cells = [self._aligned(name, name) for name in self._widths]
        return "  ".join(cells).rstrip() + (" …" if len(cells) < len(self.columns or ()) else "") + "\n"

    def _line(self, row: Mapping[str, Any]) -> str:
        if not self._widths:
            self._measure(row)
        return "  ".join(self._aligned(name, _cell(row.get(name))) for name in self._widths).rstrip() + "\n"

    def _aligned(self, name: str, cell: str) -> str:
        width = self._widths[name]
        if self.width is not None and len(cell) > width:
            cell = "…" + cell[len(cell) - width + 1 :]
        return cell.ljust(width) if name in self._text else cell.rjust(width)


def _fitting(widths: Mapping[str, int], total: int) -> dict[str, int]:
    """Columns from the left that fit; the first is always kept, and narrowed to a third of the line."""
    first, *others = widths
    kept = {first: min(widths[first], max(total // 3, len(first)))}
    for name in others:
        if sum(kept.values()) + widths[name] + 2 * len(kept) + 2 > total:
            break
        kept[name] = widths[name]
    return kept


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
