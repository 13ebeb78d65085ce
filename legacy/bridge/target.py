"""The old database of a bridge: its tables, reads in short statements, and writes in transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from legacy.sources import Source, SourceError, connect_mysql, require_mysql
from legacy.values import Row

REQUIRED = ("tenants", "agents", "api_keys")
_IN_ONE_QUERY = 200
_SECONDS = 5  # for a lock, or for a statement on MySQL
# Errors of MySQL that are about the server, the connection or a lock. All others are about what was written.
_UNAVAILABLE = frozenset(
    {1040, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1129, 1130, 1152, 1153, 1158, 1159, 1160, 1161, 1203, 1205, 1213,
     1226, 1290, 1317, 1792, 1836, 1927, 3024, 3100, 4031}
)  # fmt: skip


class Unavailable(Exception):
    """The old database does not answer, or is busy; later it may."""


class Refused(Exception):
    """The old database does not take what was to be written."""


class Column(NamedTuple):
    is_nullable: bool
    length: int | None = None  # characters; None where the database does not bound them


class Action(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


class Write(NamedTuple):
    """One row to write. `values` are ready for the database; they have no `id`."""

    action: Action
    table: str
    row_id: Any
    values: Row = {}


class Target:
    """An open old database."""

    def __init__(self, connection: Any, *, is_mysql: bool) -> None:
        self._connection = connection
        self._is_mysql = is_mysql
        self._mark, self._quote = ("%s", "`") if is_mysql else ("?", '"')
        self.tables = self._described()

    def rows(self, table: str, column: str, values: Collection[Any], *, unless: str | None = None) -> list[Row]:
        """Return the rows that have one of these values in a column, and nothing in `unless`. Raise Unavailable."""
        if table not in self.tables:
            return []
        condition = f" AND ({self._name(unless)} IS NULL OR {self._name(unless)} = '')" if unless else ""
        listed, found = list(values), list[Row]()
        for start in range(0, len(listed), _IN_ONE_QUERY):
            part = listed[start : start + _IN_ONE_QUERY]
            marks = ", ".join([self._mark] * len(part))
            query = f"SELECT * FROM {self._name(table)} WHERE {self._name(column)} IN ({marks}){condition}"
            found += self._fetch(query, part)
        return found

    def rows_after(self, table: str, column: str, value: Any) -> list[Row]:
        """Return the rows that have more than this in a column. Raise Unavailable."""
        if table not in self.tables:
            return []
        return self._fetch(f"SELECT * FROM {self._name(table)} WHERE {self._name(column)} > {self._mark}", [value])

    def apply(self, writes: Sequence[Write]) -> None:
        """Make all writes in one transaction. Raise Unavailable or Refused, and nothing is written."""
        with self._errors(), closing(self._connection.cursor()) as cursor:
            cursor.execute("START TRANSACTION" if self._is_mysql else "BEGIN IMMEDIATE")
            try:
                for write in writes:
                    cursor.execute(*self._statement(write))
                cursor.execute("COMMIT")
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        """End a transaction that was not committed; after one that was, there is none."""
        with suppress(sqlite3.Error, *_mysql_errors()):  # the connection is gone, and the transaction with it
            self._connection.rollback()

    def _statement(self, write: Write) -> tuple[str, list[Any]]:
        table, row_id = self._name(write.table), f"{self._name('id')} = {self._mark}"
        names = [self._name(column) for column in write.values]
        if write.action == Action.DELETE:
            return f"DELETE FROM {table} WHERE {row_id}", [write.row_id]
        if write.action == Action.UPDATE:
            changes = ", ".join(f"{name} = {self._mark}" for name in names)
            return f"UPDATE {table} SET {changes} WHERE {row_id}", [*write.values.values(), write.row_id]
        marks = ", ".join([self._mark] * (1 + len(names)))
        columns = ", ".join([self._name("id"), *names])
        return f"INSERT INTO {table} ({columns}) VALUES ({marks})", [write.row_id, *write.values.values()]

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[Row]:
        try:
            with self._errors(), closing(self._connection.cursor()) as cursor:
                cursor.execute(query, parameters)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, map(_text, row), strict=True)) for row in cursor.fetchall()]
        except Refused as error:  # what cannot be read, for want of a grant or a column, is no fault of an object
            raise Unavailable(str(error)) from error

    def _described(self) -> dict[str, dict[str, Column]]:
        if self._is_mysql:
            query = (
                "SELECT table_name AS t, column_name AS c, is_nullable AS n, character_maximum_length AS l, data_type"
                " AS d FROM information_schema.columns WHERE table_schema = DATABASE()"
            )
        else:
            query = (
                "SELECT m.name AS t, p.name AS c, iif(p.\"notnull\", 'NO', 'YES') AS n, NULL AS l, NULL AS d"
                " FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
            )
        tables = dict[str, dict[str, Column]]()
        for row in self._fetch(query, []):
            length = int(row["l"]) if str(row["d"]).lower() in ("varchar", "char") else None
            tables.setdefault(row["t"], {})[row["c"]] = Column(row["n"] == "YES", length)
        return tables

    def _name(self, name: str) -> str:
        return f"{self._quote}{name.replace(self._quote, self._quote * 2)}{self._quote}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _errors_of(is_mysql=self._is_mysql):
            yield


@contextmanager
def opened(source: Source) -> Iterator[Target]:
    """Connect until the block ends. Raise SourceError for a database that cannot be the right one, or Unavailable."""
    with _errors_of(is_mysql=source.is_mysql):
        connection = _mysql(source) if source.is_mysql else _sqlite(source)
    with closing(connection):
        target = Target(connection, is_mysql=source.is_mysql)
        for table in REQUIRED:
            if table not in target.tables:
                raise SourceError(f"{source}: there is no table {table} in it; is it the right database?")
        yield target


def _mysql(source: Source) -> Any:
    require_mysql(source)
    return connect_mysql(
        source,
        connect_timeout=_SECONDS,
        read_timeout=2 * _SECONDS,
        write_timeout=2 * _SECONDS,
        autocommit=True,
        init_command=f"SET sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={_SECONDS}",
    )


def _sqlite(source: Source) -> sqlite3.Connection:
    uri = f"file:{quote(os.fspath(source.path.resolve()))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_SECONDS, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


@contextmanager
def _errors_of(*, is_mysql: bool) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(str(error)) from error
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise Refused(str(error)) from error
    except _mysql_errors() as error:
        code = error.args[0] if error.args else None
        is_client_error = isinstance(code, int) and 2000 <= code < 3000
        if not is_mysql or code in _UNAVAILABLE or is_client_error or not isinstance(code, int) or code == 0:
            raise Unavailable(": ".join(map(str, error.args))) from error
        raise Refused(": ".join(map(str, error.args))) from error


def _mysql_errors() -> tuple[type[Exception], ...]:
    try:
        import MySQLdb
    except ImportError:
        return ()
    return (MySQLdb.Error,)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
