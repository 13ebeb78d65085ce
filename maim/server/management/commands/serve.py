from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from core import approvals
from core.http.surfaces import SURFACES
from maim.server import database, embedded_lock
from maim.server.supervisor import Supervisor, require_free

log = logging.getLogger("maim.server")


class Command(BaseCommand):
    help = "Serves both surfaces until SIGTERM."
    requires_system_checks = ()  # handle() runs them, with those of the database

    def handle(self, *args: Any, **options: Any) -> None:
        wait_seconds = self._require_database()
        for surface in SURFACES:
            try:
                require_free(surface)
            except OSError as error:
                address = f"{surface.bind.host}:{surface.bind.port}"
                raise CommandError(
                    f"The {surface.name} surface cannot listen on {address}: {error.strerror}"
                ) from error
        try:
            with embedded_lock.hold() as is_alone:
                if is_alone and not approvals.are_used():
                    approvals.use(True)  # no worker of the version before runs any more
                Supervisor().run(wait_seconds)
        except embedded_lock.AlreadyServed as error:
            raise CommandError(str(error)) from error

    def _require_database(self) -> int:
        """Return 0, or the seconds to wait for a database that does not answer yet. Raise CommandError."""
        try:
            database.require_usable()
        except database.Unreachable as error:
            seconds: int = settings.ENV.MAIM_WAIT_FOR_DATABASE
            if not error.may_come or not seconds:
                raise CommandError(str(error)) from error
            log.warning("%s; waiting for it up to %d seconds", error, seconds)
            return seconds
        return 0
