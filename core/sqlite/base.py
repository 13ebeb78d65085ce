"""The backend's DatabaseWrapper, under the name that Django looks for.

SQLite would make the file readable by everybody, and gives its `-wal` and `-shm` files the mode that it has. Writers of
one process take turns (core.sqlite.turns), because SQLite wakes those that wait in no order, and late.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.db.backends.sqlite3 import base

from core.sqlite.turns import Turns

_WRITE = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)

# By database. The child of a fork has no writers yet.
_turns: defaultdict[str, Turns] = defaultdict(Turns)
os.register_at_fork(after_in_child=_turns.clear)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that creates a missing database for its owner alone, and waits for its turn to write."""

    _turn: Turns | None = None  # that this connection has

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # SQLite explains why a file cannot be created, and a database in memory has none.
        with suppress(OSError):
            if not self.is_in_memory_db():
                os.close(os.open(conn_params["database"], os.O_CREAT | os.O_EXCL, 0o600))
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=partial(_Cursor, self))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take a turn for one statement that is a transaction by itself."""
        self._take_turn()
        try:
            yield
        finally:
            self._end_turn()

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # not in the stubs
        except BaseException:
            self._end_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]  # not in the stubs; if it fails, a rollback follows
        self._end_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]  # not in the stubs
        finally:
            self._end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # not in the stubs
        finally:
            self._end_turn()

    def _take_turn(self) -> None:
        """Wait for as long as SQLite would. Raise its error if no turn comes."""
        turns = _turns[str(self.settings_dict["NAME"])]
        if not turns.take(self.settings_dict["OPTIONS"].get("timeout", 5)):
            with self.wrap_database_errors:
                raise sqlite3.OperationalError("database is locked")
        self._turn = turns

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end()


class _Cursor(base.SQLiteCursorWrapper):
    """A cursor that takes a turn for each write outside of a transaction."""

    def __init__(self, wrapper: DatabaseWrapper, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction or not _WRITE.match(query):
            return super().execute(query, params)
        with self._wrapper.turn():
            return super().execute(query, params)
