"""The process that records this server as running, and measures the gauges of the dashboard."""

from __future__ import annotations

import logging

from django.db import connection

from core.db import DATABASE_ERRORS
from core.servers import NOTED_EVERY, ThisServer
from dashboard import gauges
from maim.server.background import BackgroundProcess


class Reporter(BackgroundProcess):
    """A loop that renews this server's row (RunningServer), and measures the gauges that are due."""

    log = logging.getLogger("maim.server")
    poll_seconds = NOTED_EVERY.total_seconds()
    server: ThisServer  # set before the fork, so that a restarted process reports the same server

    def run(self) -> None:
        super().run()
        try:
            self.server.leave()
        except DATABASE_ERRORS:
            connection.close()  # the row counts as lost soon, and is swept

    def work(self) -> str | None:
        try:
            self.server.note()
            gauges.measure_due()
        except DATABASE_ERRORS as error:
            connection.close()
            return f"figures wait for the database: {type(error).__name__}"
        return None
