from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

from core.http.surfaces import SURFACES
from maim.server import embedded_lock
from maim.server.supervisor import Supervisor, require_free


class Command(BaseCommand):
    help = "Serves both surfaces until SIGTERM."
    requires_system_checks = ()  # handle() runs them, with those of the database

    def handle(self, *args: Any, **options: Any) -> None:
        self._require_usable_database()
        for surface in SURFACES:
            try:
                require_free(surface)
            except OSError as error:
                address = f"{surface.bind.host}:{surface.bind.port}"
                raise CommandError(
                    f"The {surface.name} surface cannot listen on {address}: {error.strerror}"
                ) from error
        try:
            with embedded_lock.hold():
                Supervisor().run()
        except embedded_lock.AlreadyServed as error:
            raise CommandError(str(error)) from error

    def _require_usable_database(self) -> None:
        try:
            self.check(databases=[DEFAULT_DB_ALIAS])
            executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {error}") from error
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not up to date; run: manage.py migrate")
