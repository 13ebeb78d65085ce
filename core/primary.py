"""Reads that only the primary may answer: a server that takes writes, not one that was demoted.

`current_value` and `fetch_all` check this in the round trip of the query itself. `require` is for reads by the
ORM. SQLite has one server, so all of this costs nothing there.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.db import OperationalError, connection

if TYPE_CHECKING:
    from core.mysql.base import DatabaseWrapper

# A connection's server is trusted to be the primary for so long, and only under the process's lease (`trust`).
PROVEN_SECONDS = 0.25

# Errors of a write on a server that takes none; nothing was applied. MariaDB and MySQL: ER_OPTION_PREVENTS_STATEMENT
# (read_only), ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE; Galera: ER_UNKNOWN_COM_ERROR (not prepared).
READ_ONLY = 1290
REFUSED_WRITES = frozenset({READ_ONLY, 1792, 1836, 1047})

# Since and until when proofs may be relied on.
_trusted = float("inf"), float("-inf")


def refuses_writes(error: Exception) -> bool:
    """Return whether a database error says that the server takes no writes, and so has applied nothing."""
    return isinstance(error, OperationalError) and bool(error.args) and error.args[0] in REFUSED_WRITES


def server() -> Hashable:
    """Return an identity of the server of this thread's connection; None on SQLite."""
    mysql = _mysql()
    return None if mysql is None else mysql.server


def drop_obsolete_connection() -> None:
    """Close this thread's connection where it is older than CONN_MAX_AGE, or a newer one is to another server.

    Threads that serve no requests call this, which Django does between requests. Inside a transaction it does nothing.
    """
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def trust(since: float, until: float) -> None:
    """Let `require` rely, until a time, on proofs that were sent since another. Both are of the monotonic clock.

    A process may rely on them while it has a lease (core.epoch), and on those that are newer than what it knows of
    changes: a change on a primary that took over is answered only when this process has read its epoch, or has no
    lease. A proof of the former primary is older than that.
    """
    global _trusted  # noqa: PLW0603  # one lease in a process
    _trusted = since, until


def current_value(query: str, params: Sequence[Any] = ()) -> Any:
    """Return the value of a query that has one row of one column, or none (None).

    Raise OperationalError where the server takes no writes; the connection to it is closed.
    """
    sent = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({query}), {_is_writable_sql()}", params)
        value, is_writable = cursor.fetchone()
    _accept(is_writable, sent)
    return value


def fetch_all(query: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a query.

    Raise OperationalError where the server takes no writes; the connection to it is closed.
    """
    sent = time.monotonic()
    with connection.cursor() as cursor:
        mysql = _mysql()
        if mysql is None:
            cursor.execute(query, params)
            return list(cursor.fetchall())
        # Two statements, because a UNION would change the types of columns. The second holds for the first as well.
        cursor.execute(f"{query}; SELECT {mysql.is_writable_sql}", params)
        rows = list(cursor.fetchall())
        cursor.nextset()
        (is_writable,) = cursor.fetchone()
    _accept(is_writable, sent)
    return rows


def require() -> None:
    """Raise OperationalError unless this thread's server takes writes, or did so PROVEN_SECONDS ago or later.

    The connection to another one is closed. A process without a lease asks each time.
    """
    mysql = _mysql()
    if mysql is None:
        return
    mysql.ensure_connection()
    now = time.monotonic()
    since, until = _trusted
    if now >= until or mysql.proven_at < max(since, now - PROVEN_SECONDS):
        _accept(mysql.is_usable(), now)


def _accept(is_writable: int, sent: float) -> None:
    mysql = _mysql()
    if is_writable:
        if mysql is not None:
            mysql.proven_at = sent
        return
    if not connection.in_atomic_block:
        connection.close()
    raise OperationalError(READ_ONLY, "The database server takes no writes: it is read-only or not in its cluster")


def _is_writable_sql() -> str:
    mysql = _mysql()
    return "1" if mysql is None else mysql.is_writable_sql


def _mysql() -> DatabaseWrapper | None:
    return cast("DatabaseWrapper", connection) if connection.vendor == "mysql" else None
