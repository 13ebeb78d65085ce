from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections

from core.migration_lock import LockLost, MigrationLock


class Command(MigrateCommand):
    """Django's command, which waits for another one on the same MySQL or MariaDB database to end."""

    _lock: MigrationLock | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        changes_nothing = options["plan"] or options["check_unapplied"]
        if changes_nothing or connections[options["database"]].vendor != "mysql":
            super().handle(*args, **options)
            return
        with MigrationLock(options["database"], self._report) as self._lock:
            super().handle(*args, **options)

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
