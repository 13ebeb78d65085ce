from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import CommandError
from django.db import connection

from core.http.surfaces import PUBLIC, SURFACES, surface_of_port
from maim.server import embedded_lock


class Command(RunserverCommand):
    """Django's development server, for the one surface whose port it is given."""

    default_port = str(PUBLIC.bind.port)
    port: str  # set by Django's handle()

    def get_handler(self, *args: Any, **options: Any) -> Any:
        # The dispatcher serves the static files itself.
        return super(RunserverCommand, self).get_handler(*args, **options)

    def run(self, **options: Any) -> None:
        if surface_of_port(self.port) is None:
            ports = " or ".join(f"{surface.bind.port} ({surface.name})" for surface in SURFACES)
            raise CommandError(f"Port {self.port} belongs to no surface; use {ports}")
        connection.ensure_connection()  # before the reloader, which would show a traceback and go on
        connection.close()
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        # Only a warning, because there is a `runserver` for each surface, and developers know what they run.
        if holder := embedded_lock.holder():
            self.stderr.write(f"This database is being served by {holder}, too; each counts limits for itself.")
        super().inner_run(*args, **options)
