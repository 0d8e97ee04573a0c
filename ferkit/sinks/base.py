"""What every sink does: take rows one by one, write each at once, close."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self, TextIO

from ferkit.errors import FerkitError, InputError


class Sink(Protocol):
    """A place that rows go to, used as a context manager."""

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; it is out of the process when this returns."""

    def close(self) -> None:
        """Finish and free what was opened."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class TextSink:
    """Base of the sinks that write lines of text; a subclass fills ``_line`` and, where it has one, ``_header``.

    A file is opened with the first row, or when the work ends well without one. So work that fails before it has
    anything to write leaves an older file as it was. Each row is flushed: a killed process loses at most the last one.

    Parameters
    ----------
    target : path, text stream or None, default=None
        File to write (replaced if it is there); ``"-"`` or None for standard output. Streams are left open.
    columns : sequence of str or None, default=None
        Columns, in order; by default those of the first row. They stay the same to the end.
    """

    name: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, target: str | Path | TextIO | None = None, columns: Sequence[str] | None = None) -> None:
        self.target = None if target == "-" else target
        self.columns = None if columns is None else tuple(columns)
        self._stream: TextIO | None = None
        self._closed = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and flush it.

        Parameters
        ----------
        row : mapping of str to values
            May leave out columns, but not bring new ones.

        Raises
        ------
        InputError
            The row has a column that was not there at the start.
        FerkitError
            The file cannot be written, for instance because the disk is full.
        """
        if self._closed:
            raise InputError("Got a row after the sink was closed, expected none.")
        if self.columns is None:
            self.columns = tuple(row)
        unknown = [name for name in row if name not in self.columns]
        if unknown:
            raise InputError(f"Got a row with columns {unknown}, expected only {list(self.columns)}.")
        line = self._line(row)
        self._write(self._start(row) + line)

    def close(self) -> None:
        """Write what is left (the header of a file without rows) and close the file."""
        if self._closed:
            return
        if self.columns is not None and (start := self._start({})):
            self._write(start)
        elif isinstance(self.target, (str, Path)):
            self._open()
        self._free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close() if kind is None else self._free()

    def _header(self, row: Mapping[str, Any]) -> str:
        """Text above the first row."""
        return ""

    def _line(self, row: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def _start(self, row: Mapping[str, Any]) -> str:
        return self._header(row) if self._stream is None else ""

    def _open(self) -> TextIO:
        if self._stream is None:
            if self.target is None:
                self._stream = sys.stdout
            elif isinstance(self.target, (str, Path)):
                self._stream = self._open_file(Path(self.target))
            else:
                self._stream = self.target
        return self._stream

    def _open_file(self, path: Path) -> TextIO:
        try:
            return path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise _unwritable(self.target, error) from error

    def _write(self, text: str) -> None:
        stream = self._open()
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            # File names may hold bytes that are no text, and a terminal may lack letters: neither may stop the work.
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self.target, error) from error

    def _free(self) -> None:
        stream, self._stream, self._closed = self._stream, None, True
        if stream is not None and isinstance(self.target, (str, Path)):
            try:
                stream.close()
            except OSError as error:
                raise _unwritable(self.target, error) from error


def _unwritable(target: object, error: OSError) -> FerkitError:
    return FerkitError(f"Got output={str(target)!r}, expected a file that can be written: {error.strerror or error}.")
