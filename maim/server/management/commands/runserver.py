from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import CommandError

from core.http.surfaces import PUBLIC, SURFACES, surface_of_port


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
        super().run(**options)
