"""A private copy of the old databases, each as of one moment.

The old system may go on writing, because everything is read from this copy. The old system waits for maim no longer
than the copying takes. The copy is an SQLite database without a name. SQLite keeps it in a file that is unlinked as
soon as it is open (https://www.sqlite.org/inmemorydb.html). The copy holds keys in clear, so nothing of it may stay,
even after a kill.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from legacy.configs import CONFIG_TABLES
from legacy.parsing import Row
from legacy.sources import Source, SourceError, connect_mysql, require_mysql

BATCH = 1000
BUSY_TIMEOUT_SECONDS = 60  # to wait until the old service does not write
# The copied tables, with the columns that each must have.
TABLES = {
    "tenants": ("id", "tenant_name", "owner_id", "created_at"),
    "agents": ("id", "tenant_id", "name", "created_at"),
    "api_keys": ("id", "tenant_id", "agent_id", "name", "api_key", "created_at"),
    "plugin_settings": ("id", "tenant_id", "agent_id", "plugin_name", "updated_at"),
    "agent_active_states": ("agent_id", "tenant_id", "expires_at"),
    **dict.fromkeys(CONFIG_TABLES, ("id", "agent_id", "created_at")),
}
USER_COLUMNS = ("id", "username", "email", "created_at")
_INDEXES = {
    "people": ("id",),
    "tenants": ("id",),
    "web_tenants": ("id",),
    "agents": ("id", "tenant_id"),
    "api_keys": ("tenant_id", "api_key"),
    "plugin_settings": ("tenant_id",),
    "agent_active_states": ("tenant_id",),
    **dict.fromkeys(CONFIG_TABLES, ("agent_id",)),
}


class Snapshot:
    """A copy of the old databases.

    The table `people` has the users, from the web service's database if there are two. `tenants` has the config
    service's tenants, `web_tenants` the web service's, and `tenant_ids` the ids of both.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Yield the rows of a query."""
        cursor = self._connection.execute(query, parameters)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    def fetch_number(self, query: str, parameters: Sequence[Any] = ()) -> int:
        """Return the single number that a query selects."""
        number: int = self._connection.execute(query, parameters).fetchone()[0]
        return number


@contextmanager
def take_snapshot(config: Source, web: Source | None = None) -> Iterator[Snapshot]:
    """Copy the databases, and yield the copy until the block ends. Raise SourceError."""
    with closing(sqlite3.connect("", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        copied = {name: name for name in TABLES}
        # The config service first: the users that it refers to are in the web service's database by then.
        tables = copied if web else {**copied, "users": "people"}
        _copy(connection, config, tables, required=("tenants", "agents", "api_keys"))
        if web is not None:
            _copy(connection, web, {"users": "people", "tenants": "web_tenants"}, required=("users", "tenants"))
        _complete(connection)
        yield Snapshot(connection)


def _copy(into: sqlite3.Connection, source: Source, tables: dict[str, str], *, required: Sequence[str]) -> None:
    """Copy the tables that exist, under their new names. Raise SourceError if a required one does not."""
    copy = _copy_mysql if source.is_mysql else _copy_sqlite
    present = copy(into, source, tables)
    for table in required:
        if table not in present:
            raise SourceError(f"{source}: there is no table {table} in it; is it the right database?")


def _copy_sqlite(into: sqlite3.Connection, source: Source, tables: dict[str, str]) -> set[str]:
    path = source.path
    if not path.is_file():
        raise SourceError(f"{source}: there is no such file (an absolute path has four slashes)")
    try:
        into.execute("ATTACH ? AS source", (f"file:{quote(os.fspath(path.resolve()))}?mode=ro",))
        # In one transaction, so that all tables are as of one moment.
        into.execute("BEGIN")
        present = {name for (name,) in into.execute("SELECT name FROM source.sqlite_master WHERE type = 'table'")}
        for name in tables.keys() & present:
            into.execute(f'CREATE TABLE main."{tables[name]}" AS SELECT * FROM source."{name}"')
        into.execute("COMMIT")
        into.execute("DETACH source")
    except sqlite3.Error as error:
        raise SourceError(f"{source}: {error}") from error
    return present


def _copy_mysql(into: sqlite3.Connection, source: Source, tables: dict[str, str]) -> set[str]:
    require_mysql(source)
    import MySQLdb
    from MySQLdb.cursors import SSCursor

    try:
        with closing(connect_mysql(source, cursorclass=SSCursor)) as connection:
            cursor = connection.cursor()
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
            present = {name for (name,) in cursor.fetchall()}
            for name in tables.keys() & present:
                cursor.execute(f"SELECT * FROM `{name}`")
                columns = ", ".join(f'"{column[0]}"' for column in cursor.description)
                placeholders = ", ".join("?" for _column in cursor.description)
                into.execute(f'CREATE TABLE main."{tables[name]}" ({columns})')
                into.execute("BEGIN")
                while rows := cursor.fetchmany(BATCH):
                    into.executemany(
                        f'INSERT INTO main."{tables[name]}" VALUES ({placeholders})',
                        ([_plain(value) for value in row] for row in rows),
                    )
                into.execute("COMMIT")
    except MySQLdb.Error as error:
        raise SourceError(f"{source}: {error}") from error
    return present


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _complete(connection: sqlite3.Connection) -> None:
    """Create missing tables and the indexes, so that one set of queries reads every copy.

    Bytes are converted to text, because SQLite may hold them in place of text in any column.
    """
    present = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
    needed = {**TABLES, "people": USER_COLUMNS, "web_tenants": TABLES["tenants"]}
    for table, columns in needed.items():
        if table not in present:
            connection.execute(f'CREATE TABLE "{table}" ({", ".join(columns)})')
        has = {column[1] for column in connection.execute(f'PRAGMA table_info("{table}")')}
        if missing := [column for column in columns if column not in has]:
            raise SourceError(f"the old table {table} has no column {missing[0]}; is it the right database?")
        is_blob = {column: f"typeof(\"{column}\") = 'blob'" for column in has}
        texts = [f'"{column}" = iif({is_blob[column]}, CAST("{column}" AS TEXT), "{column}")' for column in has]
        connection.execute(f'UPDATE "{table}" SET {", ".join(texts)} WHERE {" OR ".join(is_blob.values())}')
    for table, columns in _INDEXES.items():
        for column in columns:
            connection.execute(f'CREATE INDEX "{table}_{column}" ON "{table}" ("{column}")')
    connection.execute("CREATE TABLE tenant_ids (id PRIMARY KEY)")
    connection.execute(
        "INSERT INTO tenant_ids SELECT id FROM tenants WHERE id <> '' UNION SELECT id FROM web_tenants WHERE id <> ''"
    )
