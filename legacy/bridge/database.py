"""The old database of a bridge: its tables, reads in short statements, and writes in transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from legacy.parsing import Row
from legacy.sources import Source, SourceError, connect_mysql, require_mysql

REQUIRED = ("tenants", "agents", "api_keys")
_VALUES_PER_QUERY = 200
_TIMEOUT_SECONDS = 5  # for a lock, and on MySQL for a statement
# MySQL errors about the server, the connection or a lock. All others are about the written values.
_UNAVAILABLE = frozenset(
    {1040, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1129, 1130, 1152, 1153, 1158, 1159, 1160, 1161, 1203, 1205, 1213,
     1226, 1290, 1317, 1792, 1836, 1927, 3024, 3100, 4031}
)  # fmt: skip


class DatabaseUnavailable(Exception):
    """The old database does not answer, or is busy. It may answer later."""


class WriteRefused(Exception):
    """The old database refuses a write."""


class Column(NamedTuple):
    is_nullable: bool
    length: int | None = None  # characters; None where the database does not bound them


class Action(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


class Write(NamedTuple):
    """A write of one row. `values` are ready for the database and do not include `id`."""

    action: Action
    table: str
    row_id: Any
    values: Row = {}


class LegacyDatabase:
    """An open old database."""

    def __init__(self, connection: Any, *, is_mysql: bool) -> None:
        self._connection = connection
        self._is_mysql = is_mysql
        self._placeholder, self._quote = ("%s", "`") if is_mysql else ("?", '"')
        self.tables = self._describe_tables()

    def select(self, table: str, column: str, values: Collection[Any], *, unless: str | None = None) -> list[Row]:
        """Return the rows that have one of these values in a column, and none in the column `unless`.

        Raise DatabaseUnavailable.
        """
        if table not in self.tables:
            return []
        condition = f" AND ({self._quoted(unless)} IS NULL OR {self._quoted(unless)} = '')" if unless else ""
        all_values, rows = list(values), list[Row]()
        for start in range(0, len(all_values), _VALUES_PER_QUERY):
            part = all_values[start : start + _VALUES_PER_QUERY]
            placeholders = ", ".join([self._placeholder] * len(part))
            query = f"SELECT * FROM {self._quoted(table)} WHERE {self._quoted(column)} IN ({placeholders}){condition}"
            rows += self._fetch(query, part)
        return rows

    def select_greater(self, table: str, column: str, value: Any) -> list[Row]:
        """Return the rows with a greater value in a column. Raise DatabaseUnavailable."""
        if table not in self.tables:
            return []
        return self._fetch(
            f"SELECT * FROM {self._quoted(table)} WHERE {self._quoted(column)} > {self._placeholder}", [value]
        )

    def write(self, writes: Sequence[Write]) -> None:
        """Make all writes in one transaction, or none. Raise DatabaseUnavailable or WriteRefused."""
        with self._translated_errors(), closing(self._connection.cursor()) as cursor:
            cursor.execute("START TRANSACTION" if self._is_mysql else "BEGIN IMMEDIATE")
            try:
                for write in writes:
                    cursor.execute(*self._statement(write))
                cursor.execute("COMMIT")
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        """Roll back a transaction that was not committed. Do nothing after a commit."""
        with suppress(sqlite3.Error, *_mysql_errors()):  # the connection was lost, and the transaction with it
            self._connection.rollback()

    def _statement(self, write: Write) -> tuple[str, list[Any]]:
        table, row_id = self._quoted(write.table), f"{self._quoted('id')} = {self._placeholder}"
        names = [self._quoted(column) for column in write.values]
        if write.action == Action.DELETE:
            return f"DELETE FROM {table} WHERE {row_id}", [write.row_id]
        if write.action == Action.UPDATE:
            changes = ", ".join(f"{name} = {self._placeholder}" for name in names)
            return f"UPDATE {table} SET {changes} WHERE {row_id}", [*write.values.values(), write.row_id]
        placeholders = ", ".join([self._placeholder] * (1 + len(names)))
        columns = ", ".join([self._quoted("id"), *names])
        return f"INSERT INTO {table} ({columns}) VALUES ({placeholders})", [write.row_id, *write.values.values()]

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[Row]:
        try:
            with self._translated_errors(), closing(self._connection.cursor()) as cursor:
                cursor.execute(query, parameters)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, map(_text, row), strict=True)) for row in cursor.fetchall()]
        except WriteRefused as error:  # a missing grant or column is not the fault of an object
            raise DatabaseUnavailable(str(error)) from error

    def _describe_tables(self) -> dict[str, dict[str, Column]]:
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

    def _quoted(self, name: str) -> str:
        return f"{self._quote}{name.replace(self._quote, self._quote * 2)}{self._quote}"

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        with _translated_errors(is_mysql=self._is_mysql):
            yield


@contextmanager
def open_database(source: Source) -> Iterator[LegacyDatabase]:
    """Open a database until the block ends. Raise SourceError for a wrong database, or DatabaseUnavailable."""
    with _translated_errors(is_mysql=source.is_mysql):
        connection = _mysql(source) if source.is_mysql else _sqlite(source)
    with closing(connection):
        database = LegacyDatabase(connection, is_mysql=source.is_mysql)
        for table in REQUIRED:
            if table not in database.tables:
                raise SourceError(f"{source}: there is no table {table} in it; is it the right database?")
        yield database


def _mysql(source: Source) -> Any:
    require_mysql(source)
    return connect_mysql(
        source,
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=2 * _TIMEOUT_SECONDS,
        write_timeout=2 * _TIMEOUT_SECONDS,
        autocommit=True,
        init_command=f"SET sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={_TIMEOUT_SECONDS}",
    )


def _sqlite(source: Source) -> sqlite3.Connection:
    uri = f"file:{quote(os.fspath(source.path.resolve()))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_SECONDS, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


@contextmanager
def _translated_errors(*, is_mysql: bool) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(str(error)) from error
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise WriteRefused(str(error)) from error
    except _mysql_errors() as error:
        code = error.args[0] if error.args else None
        is_client_error = isinstance(code, int) and 2000 <= code < 3000
        if not is_mysql or code in _UNAVAILABLE or is_client_error or not isinstance(code, int) or code == 0:
            raise DatabaseUnavailable(": ".join(map(str, error.args))) from error
        raise WriteRefused(": ".join(map(str, error.args))) from error


def _mysql_errors() -> tuple[type[Exception], ...]:
    try:
        import MySQLdb
    except ImportError:
        return ()
    return (MySQLdb.Error,)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
