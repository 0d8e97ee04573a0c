"""CSV files, plain or packed as gz or zip, known by their first bytes and their header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ferkit.errors import DataError

SUFFIXES = (".csv", ".tsv", ".txt", ".gz", ".zip")
"""Suffixes of the files in a folder whose header is looked at; a file that is named is always looked at."""

_HEADER_BYTES = 1 << 16


@contextmanager
def open_csv(path: Path) -> Iterator[IO[bytes]]:
    """Bytes of a CSV file in UTF-8, unpacked where it is gz or zip (its largest ``.csv``).

    UTF-16, as spreadsheets write "Unicode text", is known by its first two bytes and recoded.

    Raises
    ------
    DataError
        It cannot be read, is damaged, or is a zip without a CSV or of a kind that Python cannot unpack.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4)
            raw.seek(0)
            if start[:2] == b"\x1f\x8b":
                with gzip.open(raw) as unpacked:
                    yield unpacked  # type: ignore[misc]
            elif start == b"PK\x03\x04":
                with _unzipped(raw, path) as member:
                    yield member
            else:
                yield _recoded(raw, path) if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else raw
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"Got path={str(path)!r} ({error}), expected a whole, readable CSV, gz or zip file.") from error


def _recoded(raw: IO[bytes], path: Path) -> IO[bytes]:
    try:
        return io.BytesIO(raw.read().decode("utf-16").encode())
    except UnicodeError as error:
        raise DataError(
            f"Got path={str(path)!r} that starts like UTF-16 and is not ({error}), expected a CSV in UTF-8 or UTF-16. "
            "Save it again as CSV in UTF-8."
        ) from error


def _unzipped(raw: IO[bytes], path: Path) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(raw)
        return archive.open(_largest_csv(archive, path))
    except RuntimeError as error:  # a password, or another way of packing than Python knows
        raise DataError(
            f"Got path={str(path)!r} ({error}), expected a zip without a password, packed the usual way. "
            "Unpack it and name its folder."
        ) from error


def _largest_csv(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
    if not members:
        raise DataError(f"Got path={str(path)!r}, a zip without a CSV, expected one. Unpack it and name its folder.")
    return max(members, key=lambda info: info.file_size)


def header(path: Path) -> tuple[list[str], str]:
    """Column names in lower case and the delimiter; no columns where the file does not start like a CSV."""
    with open_csv(path) as file:
        line = file.readline(_HEADER_BYTES)
    if b"\0" in line or not line.strip():
        return [], ","
    text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
    delimiter = max(",;\t", key=text.count)
    try:
        columns = next(csv.reader([text], delimiter=delimiter))
    except csv.Error:
        return [], ","
    return [column.strip().lower() for column in columns], delimiter


def rows_of(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file, each with the number of its last line; letters that are no UTF-8 are replaced.

    Raises
    ------
    DataError
        It cannot be read, or has a stray quote: it would swallow the rows up to the next one.
    """
    last = 0
    with open_csv(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                yield (last := reader.line_num), row
        except csv.Error as error:
            raise _broken(path, last + 1, error) from error


def cells_of(line: bytes, path: Path, number: int, delimiter: str) -> list[bytes]:
    """Cells of one line, however long; only quoted lines need the (slow) csv module.

    Raises
    ------
    DataError
        A return stands in the middle of the line.
    """
    if b'"' not in line:
        return line.rstrip(b"\r\n").split(delimiter.encode())
    text = line.decode("utf-8", errors="replace")
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text)))  # a cell with the pixels of a picture is longer than csv's limit
    try:
        cells = next(csv.reader([text], delimiter=delimiter))
    except csv.Error as error:
        raise _broken(path, number, error) from error
    finally:
        csv.field_size_limit(limit)
    return [cell.encode() for cell in cells]


def _broken(path: Path, line: int, error: csv.Error) -> DataError:
    return DataError(
        f"Got line {line} of {str(path)!r}, from which on it cannot be read ({error}), expected a CSV. "
        "Look for a stray quote there."
    )


def column(columns: list[str], *names: str) -> int | None:
    """Position of the first of these columns that there is."""
    return next((columns.index(name) for name in names if name in columns), None)


def csvs_in(folder: Path) -> list[tuple[Path, list[str]]]:
    """CSV files directly in a folder with their columns, sorted by name; damaged ones are left out.

    Raises
    ------
    DataError
        The folder cannot be read.
    """
    found = []
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"Got path={str(folder)!r} ({error.strerror}), expected a readable folder. Check its permissions."
        ) from error
    for path in paths:
        if os.path.isfile(path) and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            try:
                columns, _ = header(path)
            except DataError:
                continue
            if columns:
                found.append((path, columns))
    return found
