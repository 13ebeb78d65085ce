"""Migrated databases for real servers: copies of the first one of their kind, which is often that of the tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_sqlite: list[bytes] = []
_mysql: dict[str, list[Table]] = {}  # by the server's version, because versions differ in collations

Table = tuple[str, str, list[tuple[Any, ...]]]  # its name, its definition, its rows


def keep_migrated(connection: Any) -> None:
    """Keep what is in a database that was just migrated, given a connection of Django's, for those that are made."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        _sqlite.append(connection.connection.serialize())
    else:
        with closing(connection.connection.cursor()) as cursor:
            _mysql[_version(cursor)] = list(_tables(cursor))


def make_migrated(url: str, migrate: Callable[[], object]) -> None:
    """Fill an empty database like `migrate`, in a fraction of its two seconds.

    A database with tables is left to `migrate`.
    """
    if url.startswith("sqlite"):
        _make_file(Path(url.removeprefix("sqlite:///")), migrate)
    else:
        _make_database(url, migrate)


def _make_file(file: Path, migrate: Callable[[], object]) -> None:
    if file.exists():
        migrate()
    elif _sqlite:
        file.write_bytes(_sqlite[0])
        with closing(sqlite3.connect(file)) as copy:
            copy.execute("PRAGMA journal_mode = WAL")  # as in a file of maim's; one in memory has none
    else:
        migrate()
        _sqlite.append(file.read_bytes())  # complete, because the last connection has written the log back


def _make_database(url: str, migrate: Callable[[], object]) -> None:
    import MySQLdb  # only where the run is on MariaDB

    parts = urlsplit(url)
    with closing(
        MySQLdb.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path.strip("/"),
            charset="utf8mb4",
        )
    ) as connection:
        cursor = connection.cursor()
        version = _version(cursor)
        if _rows(cursor, "SHOW TABLES"):
            migrate()
        elif version in _mysql:
            _write(cursor, _mysql[version])
            connection.commit()
        else:
            migrate()
            _mysql[version] = list(_tables(cursor))


def _version(cursor: Any) -> str:
    return str(_rows(cursor, "SELECT version()")[0][0])


def _tables(cursor: Any) -> Iterable[Table]:
    for (name,) in _rows(cursor, "SHOW TABLES"):
        [(_name, definition)] = _rows(cursor, f"SHOW CREATE TABLE `{name}`")
        yield name, definition, _rows(cursor, f"SELECT * FROM `{name}`")


def _write(cursor: Any, tables: list[Table]) -> None:
    cursor.execute("SET foreign_key_checks = 0")  # a table may refer to a later one
    for name, definition, rows in tables:
        cursor.execute(definition)
        if rows:
            cursor.executemany(f"INSERT INTO `{name}` VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


def _rows(cursor: Any, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    return list(cursor.fetchall())
