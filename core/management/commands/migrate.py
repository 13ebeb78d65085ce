from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import DEFAULT_DB_ALIAS, connections

from core import approvals
from core.migration_lock import LockLost, MigrationLock, locked_file
from core.models import Approval, Epoch


class Command(MigrateCommand):
    """Django's command, which waits for another one on the same database to end."""

    _lock: MigrationLock | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        if options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)  # changes nothing
            return
        alias = options["database"]
        with self._locked(alias):
            is_new = Epoch._meta.db_table not in connections[alias].introspection.table_names()
            super().handle(*args, **options)
            if alias == DEFAULT_DB_ALIAS:
                self._use_approvals(is_new)

    def _use_approvals(self, is_new: bool) -> None:
        """Let approvals count in a new database, because no worker of an earlier version can have a lease from it."""
        if Approval._meta.db_table not in connections[DEFAULT_DB_ALIAS].introspection.table_names():
            return  # migrated to an earlier state
        if is_new:
            approvals.use(True)
        elif not approvals.are_used() and self.verbosity:
            self.stdout.write("When no process of the version before runs any more: manage.py approvals on")

    def _locked(self, alias: str) -> AbstractContextManager[object]:
        """Return the lock of a database."""
        connection = connections[alias]
        if connection.vendor == "mysql":
            self._lock = MigrationLock(alias, self._report)
            return self._lock
        connection.ensure_connection()  # so that a file that cannot be opened is said to be the database's
        return locked_file(Path(f"{connection.settings_dict['NAME']}.migrating"), self._report)

    def migration_progress_callback(self, action: str, *args: Any, **options: Any) -> None:
        """Raise CommandError before a migration if this process was taken for dead meanwhile."""
        if self._lock is not None and action in ("apply_start", "unapply_start"):
            try:
                self._lock.require()
            except LockLost as error:
                raise CommandError("Another migrate has taken over, because this one did not get on") from error
        super().migration_progress_callback(action, *args, **options)

    def _report(self, holder: str) -> None:
        self.stderr.write(f"Another migrate is at work, {holder}; waiting for it to end")
