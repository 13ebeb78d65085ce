"""The running servers: each `serve`, on any machine, with its version.

A process of `serve` says every NOTED_EVERY that it runs. A `serve` that ends deletes its row; one that is killed counts
as running until LOST_AFTER, and its row is swept.
"""

from __future__ import annotations

import secrets
import socket
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from core.db import upsert_at_once
from core.models import RunningServer

NOTED_EVERY, LOST_AFTER = timedelta(seconds=10), timedelta(seconds=45)
# No page shows more.
MAX_SHOWN = 50


class ThisServer:
    """The `serve` that this process belongs to. Its processes are forked with one such object."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(16)
        self._host = socket.gethostname()[:80]
        self._started_at: datetime = timezone.now()

    def note(self) -> None:
        """Say that it runs."""
        row = RunningServer(
            id=self._id,
            host=self._host,
            version=settings.VERSION,
            started_at=self._started_at,
            seen_at=timezone.now(),
        )
        upsert_at_once([row], unique_fields=["id"], update_fields=["seen_at"])

    def leave(self) -> None:
        """Say that it has ended."""
        RunningServer.objects.filter(pk=self._id).delete()


def running() -> list[RunningServer]:
    """Return what runs, the latest start first."""
    rows = RunningServer.objects.filter(seen_at__gt=timezone.now() - LOST_AFTER).order_by("-seen_at")[:MAX_SHOWN]
    return sorted(rows, key=lambda row: row.started_at, reverse=True)


def sweep() -> int:
    """Delete the rows of what was killed, and return their number."""
    return RunningServer.objects.filter(seen_at__lt=timezone.now() - 2 * LOST_AFTER).delete()[0]
