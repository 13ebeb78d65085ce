"""The database that `serve` needs: whether it may be served, and the wait for one that does not answer yet."""

from __future__ import annotations

import multiprocessing
import signal
import time
from multiprocessing.connection import Connection

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from core.db import DATABASE_ERRORS
from maim.server.worker import end_with_parent

# Short, because a database that came without migrations is served for so long.
RETRY_SECONDS = 0.1

# MariaDB and MySQL: access denied (three kinds), and no such database. Waiting would not help.
_REFUSALS = frozenset({1044, 1045, 1698, 1049})

_fork = multiprocessing.get_context("fork")


class Unreachable(Exception):
    """A database that does not answer. `may_come` is true if it may answer later."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"The database does not answer: {error}")
        is_server = connections[DEFAULT_DB_ALIAS].vendor == "mysql"
        self.may_come = is_server and not (error.args and error.args[0] in _REFUSALS)


def require_usable() -> None:
    """Raise Unreachable, and CommandError for a failed system check or missing migrations."""
    try:
        BaseCommand().check(databases=[DEFAULT_DB_ALIAS])
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    except DATABASE_ERRORS as error:
        connections[DEFAULT_DB_ALIAS].close()
        raise Unreachable(error) from error
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is not up to date; run: manage.py migrate")


class Wait:
    """A wait for a database that does not answer yet.

    A process of its own tries again and again, because an attempt may block for longer than the supervisor may take to
    stop.
    """

    def __init__(self, seconds: int) -> None:
        self._reason, reason = multiprocessing.Pipe(duplex=False)
        self._process = _fork.Process(target=_wait, args=(seconds, reason), name="maim-database", daemon=True)
        self._process.start()

    def is_over(self) -> bool:
        """Return whether the database is usable now. Raise CommandError if it is not going to be."""
        if self._process.is_alive():
            return False
        if self._process.exitcode:
            raise CommandError(self._reason.recv() if self._reason.poll() else "The wait for the database was killed")
        return True


def _wait(seconds: int, reason: Connection) -> None:
    """Return when the database is usable. Otherwise send the reason, and exit with 1."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    deadline = time.monotonic() + seconds
    while True:
        try:
            return require_usable()
        except (Unreachable, CommandError) as error:
            is_worth_waiting = isinstance(error, Unreachable) and error.may_come
            if not is_worth_waiting or time.monotonic() > deadline:
                reason.send(str(error))
                raise SystemExit(1) from None
        time.sleep(RETRY_SECONDS)
