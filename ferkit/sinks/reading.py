"""Rows back from where a sink put them."""

from __future__ import annotations

from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from ferkit.errors import FerkitError, InputError, missing
from ferkit.sinks.sql import TABLE, TEXT, is_url, open_engine

_TEXTS = dict.fromkeys(TEXT, str)
_EMPTY = {"keep_default_na": False, "na_values": [""]}


def read_readings(path: str | Path) -> Any:
    """Readings that ``predict``, ``live`` or ``serve`` wrote, as a pandas frame.

    Parameters
    ----------
    path : str or Path
        File of CSV (``.csv``) or JSON lines (``.jsonl``, ``.ndjson``), SQLite file (``.db``, ``.sqlite``), or the
        address of a database, such as ``sqlite:///readings.db``.

    Returns
    -------
    pandas.DataFrame
        One row a reading.

    Raises
    ------
    MissingExtraError
        pandas (or, for databases, SQLAlchemy) is not installed.
    InputError
        The name says none of these forms.
    FerkitError
        There is no such file, or it holds no readings.

    Examples
    --------
    >>> import tempfile
    >>> from ferkit.sinks import CsvSink
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CsvSink(f"{folder}/faces.csv") as sink:
    ...         sink.append({"source": "a.jpg", "label": "fear"})
    ...     read_readings(f"{folder}/faces.csv").label.tolist()
    ['fear']
    """
    from ferkit.sinks import format_of

    form = format_of(path)
    if form not in ("csv", "jsonl", "sql"):
        raise InputError(f"Got path={str(path)!r}, expected a .csv, .jsonl or .db file or an address (sqlite:///...).")
    try:
        import pandas as pd
    except ImportError:
        raise missing("pandas", "tables") from None
    if not is_url(path) and not Path(path).is_file():
        raise FerkitError(f"Got path={str(path)!r}, which does not exist, expected a file of readings.")
    try:
        if form == "csv":
            return _labels_kept(pd.read_csv(path, dtype=_TEXTS, **_EMPTY))
        if form == "sql":
            return _from_table(pd, path)
        return _from_lines(pd, Path(path))
    except (ValueError, OSError) as error:
        raise FerkitError(f"Got path={str(path)!r} ({error}), expected readings.") from error


def _from_lines(pd: Any, path: Path) -> Any:
    """Rows of JSON lines, without a last one that a full disk or a killed process has cut off."""
    read = partial(pd.read_json, lines=True, precise_float=True, dtype=_TEXTS)
    try:
        return read(path)
    except ValueError:
        whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
        if not (whole and torn):
            raise
        return read(StringIO(whole))


def _labels_kept(frame: Any) -> Any:
    """Empty labels, of frames without a face, stay empty text, as in the other forms."""
    there = [name for name in ("label", "smooth_label") if name in frame]
    return frame.fillna(dict.fromkeys(there, ""))


def _from_table(pd: Any, path: str | Path) -> Any:
    from sqlalchemy.exc import SQLAlchemyError

    engine = open_engine(path)
    try:
        _check_there(engine)
        return pd.read_sql_table(TABLE, engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error)
        raise FerkitError(f"Got path={str(path)!r} ({reason}), expected a database of readings.") from error
    finally:
        engine.dispose()


def _check_there(engine: Any) -> None:
    """SQLite would make a file that is missing."""
    name = engine.url.database
    if engine.dialect.name == "sqlite" and not (name and Path(name).is_file()):
        raise FerkitError(f"Got path={name!r}, which does not exist, expected a file of readings.")
