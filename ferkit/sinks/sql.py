"""Rows in an SQL table, through SQLAlchemy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from ferkit.errors import FerkitError, InputError, missing

TABLE = "readings"
"""Table that rows go to."""

TEXT = ("source", "label", "smooth_label")
_WHOLE = ("frame", "face", "track", "fresh", "person")


def is_url(target: object) -> bool:
    """Whether a target is the address of a database, such as ``sqlite:///faces.db``."""
    return isinstance(target, str) and "://" in target


class SqlSink:
    """Rows of an SQL table. Rows are added to those that are there; new columns are added to the table.

    Each row gets the column ``at``, seconds since 1970 (UTC): when it was written, unless it says so itself.
    A row is committed when ``append`` returns, so a killed process loses none.

    Parameters
    ----------
    target : str or Path
        Address of a database as SQLAlchemy takes it (``sqlite:///faces.db``), or an SQLite file.
    columns : sequence of str or None, default=None
        Columns, in order; by default those of the first row. They stay the same to the end.

    Raises
    ------
    MissingExtraError
        SQLAlchemy is not installed.
    FerkitError
        The database cannot be opened or written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SqlSink(f"{folder}/faces.db") as sink:
    ...     sink.append({"source": "a.jpg", "label": "fear", "confidence": 0.9})
    """

    name: ClassVar[str] = "sql"
    suffixes: ClassVar[tuple[str, ...]] = (".db", ".sqlite", ".sqlite3")

    def __init__(self, target: str | Path, columns: Sequence[str] | None = None) -> None:
        self.engine = open_engine(target)
        self.columns = None if columns is None else tuple(dict.fromkeys(("at", *columns)))
        self._table: Any = None
        self._closed = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and commit it."""
        self.extend([row])

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows in one transaction: all of them or, with an error, none.

        Parameters
        ----------
        rows : iterable of mappings
            May leave out columns, but not bring new ones.

        Raises
        ------
        InputError
            A row has a column that was not there at the start.
        FerkitError
            The database cannot be written, for instance because the disk is full or another program locks it.
        """
        from sqlalchemy import insert
        from sqlalchemy.exc import SQLAlchemyError

        if self._closed:
            raise InputError("Got a row after the sink was closed, expected none.")
        kept = [self._full(row) for row in rows]
        if not kept:
            return
        try:
            if self._table is None:
                self._table = ready_table(self.engine, self.columns or (), kept[0])
            with self.engine.begin() as connection:
                connection.execute(insert(self._table), kept)
        except SQLAlchemyError as error:
            raise _unwritable(self.engine, error) from error

    def close(self) -> None:
        """Free the connections; a table without rows is made all the same where the columns are known."""
        from sqlalchemy.exc import SQLAlchemyError

        if self._closed:
            return
        self._closed = True
        try:
            if self._table is None and self.columns:
                ready_table(self.engine, self.columns, {})
        except SQLAlchemyError as error:
            raise _unwritable(self.engine, error) from error
        finally:
            self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._closed = True
            self.engine.dispose()

    def _full(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Every column of a row, NumPy numbers as Python's."""
        if self.columns is None:
            self.columns = tuple(dict.fromkeys(("at", *row)))
        unknown = [name for name in row if name not in self.columns]
        if unknown:
            raise InputError(f"Got a row with columns {unknown}, expected only {list(self.columns)}.")
        full = {name: _plain(row.get(name)) for name in self.columns}
        if full["at"] is None:
            full["at"] = time.time()
        return full


def open_engine(target: str | Path) -> Any:
    """SQLAlchemy engine of a database; a file of SQLite is written ahead, so that it can be read meanwhile.

    Parameters
    ----------
    target : str or Path
        Address, or an SQLite file.

    Raises
    ------
    MissingExtraError
        SQLAlchemy is not installed.
    FerkitError
        The address is not one or keeps nothing, or its driver is not installed.
    """
    try:
        from sqlalchemy import URL, create_engine, event, make_url
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError:
        raise missing("sqlalchemy", "tables") from None
    try:
        url = make_url(str(target)) if is_url(target) else URL.create("sqlite", database=str(target))
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise FerkitError(f"Got an address ({error}), expected a database like sqlite:///readings.db.") from error
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise InputError(
                f"Got the address {str(target)!r}, a database in memory that would be gone with this process, expected "
                "a file like sqlite:///readings.db."
            )
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def ready_table(engine: Any, columns: Sequence[str], row: Mapping[str, Any]) -> Any:
    """The table, made where it is missing, with all columns, added where they are missing.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    columns : sequence of str
    row : mapping
        A row, whose values say what type a column has that ferkit does not know.

    Returns
    -------
    sqlalchemy.Table
        As it is in the database.
    """
    from sqlalchemy import Column, MetaData, Table, inspect

    wanted = [Column(name, _type_of(name, row.get(name))) for name in columns]
    table = Table(TABLE, MetaData(), *wanted)
    _unless_there(lambda: table.create(engine, checkfirst=True), lambda: inspect(engine).has_table(TABLE))
    there = _names(engine)
    for column in (column for column in table.columns if column.name not in there):
        _unless_there(partial(_add, engine, column), partial(_has, engine, column.name))
    return Table(TABLE, MetaData(), autoload_with=engine)


def _unless_there(make: Callable[[], object], is_there: Callable[[], bool]) -> None:
    """Make what is missing; another process that writes to the same database may do so at the same moment."""
    from sqlalchemy.exc import SQLAlchemyError

    if is_there():
        return
    try:
        make()
    except SQLAlchemyError:
        if not is_there():
            raise


def _add(engine: Any, column: Any) -> None:
    from sqlalchemy.schema import CreateColumn

    spec = CreateColumn(column).compile(dialect=engine.dialect)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {TABLE} ADD COLUMN {spec}")


def _names(engine: Any) -> set[str]:
    from sqlalchemy import inspect

    return {column["name"] for column in inspect(engine).get_columns(TABLE)}


def _has(engine: Any, name: str) -> bool:
    return name in _names(engine)


def _type_of(name: str, value: Any) -> Any:
    from sqlalchemy import BigInteger, Float, Text

    if name in TEXT or isinstance(value, str):
        return Text()
    if name in _WHOLE or (isinstance(value, int) and name != "at"):
        return BigInteger()
    return Float(53)


def _prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("busy_timeout=3000", "journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _plain(value: Any) -> Any:
    """Python number of a NumPy one."""
    return value.item() if hasattr(value, "item") else value


def _unwritable(engine: Any, error: Exception) -> FerkitError:
    where = engine.url.render_as_string(hide_password=True)
    reason = str(getattr(error, "orig", None) or error)
    return FerkitError(f"Got output={where!r}, expected a database that can be written: {reason}.")
