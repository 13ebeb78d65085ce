"""The locks that let one `migrate` alone change a database.

On MySQL and MariaDB, GET_LOCK holds on one node of Galera only, and core.locks needs a table that the first migration
makes. So the lock is the row of a table that is created here, and holds whichever node a process reaches. Clocks of
machines are not compared: the holder counts up, and whoever waits takes the lock over when the count stood still in
many readings.

On SQLite it is an flock on a file beside the database, which ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from django.db import Error, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

BEAT_SECONDS = 2.0
POLL_SECONDS = 0.5
# Readings with the same count, and so at least half a minute. A reading that had to wait for the cluster is one only.
READINGS_UNTIL_GONE = 60

_CONFLICT = 1213  # on Galera: another node has written the row at the same time

_CREATE = """
    CREATE TABLE IF NOT EXISTS maim_migration_lock
    (id INTEGER PRIMARY KEY, holder VARCHAR(150) NOT NULL, beats INTEGER NOT NULL)"""
_INSERT = "INSERT IGNORE INTO maim_migration_lock (id, holder, beats) VALUES (1, %s, 0)"
_READ = "SELECT holder, beats FROM maim_migration_lock WHERE id = 1"
_BEAT = "UPDATE maim_migration_lock SET beats = beats + 1 WHERE holder = %s"
_TAKE_OVER = "UPDATE maim_migration_lock SET holder = %s, beats = 0 WHERE holder = %s AND beats = %s"
_DELETE = "DELETE FROM maim_migration_lock WHERE holder = %s"


class LockLost(Exception):
    """A lock that another process has taken over."""


class _Row(NamedTuple):
    holder: str
    beats: int


class MigrationLock:
    """The lock of one database, held in a `with` block, which waits for it. `report` is told of another holder."""

    def __init__(self, alias: str, report: Callable[[str], object]) -> None:
        self._alias, self._report = alias, report
        # With a random part, because the first process of every container has the same id.
        self._holder = f"{socket.gethostname()[:80]} process {os.getpid()} ({secrets.token_hex(4)})"
        self._ended = threading.Event()
        self._counting = threading.Thread(target=self._count, name="migration-lock", daemon=True)

    def __enter__(self) -> Self:
        self._run(_CREATE)
        self._take()
        self._counting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._counting.join()
        self._run(_DELETE, self._holder)

    def require(self) -> None:
        """Raise LockLost if another process has taken the lock over."""
        found = self._read()
        if found is None or found.holder != self._holder:
            raise LockLost

    def _take(self) -> None:
        seen, readings = None, 0
        while not self._run(_INSERT, self._holder):
            found = self._read()
            if found is not None and (seen is None or found.holder != seen.holder):
                self._report(found.holder)
            seen, readings = found, readings + 1 if found == seen else 1
            if found and readings >= READINGS_UNTIL_GONE and self._run(_TAKE_OVER, self._holder, *found):
                return
            time.sleep(POLL_SECONDS)

    def _read(self) -> _Row | None:
        with self._connection.cursor() as cursor:
            cursor.execute(_READ)
            row = cursor.fetchone()
        return None if row is None else _Row(*row)

    def _run(self, statement: str, *parameters: str | int) -> bool:
        """Run a statement, and return whether it has changed a row."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return bool(cursor.rowcount)
        except OperationalError as error:
            if error.args[0] != _CONFLICT:
                raise
            return False

    def _count(self) -> None:
        """Count up until the block has ended, on this thread's own connection."""
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._run(_BEAT, self._holder)
            except Error:  # the migration meets the same error, and the next count has a new connection
                self._connection.close()
        self._connection.close()

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]


@contextmanager
def locked_file(path: Path, report: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock that this file is, and wait for it. `report` is told of another holder."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            report(file.read().strip() or "another process")  # one that has only just locked it
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
