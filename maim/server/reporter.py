"""The process that tells operators what runs, and counts what takes too long to count for a page."""

from __future__ import annotations

import logging

from django.db import connection

from core.db import DATABASE_ERRORS
from core.servers import NOTED_EVERY, ThisServer
from dashboard import gauges
from maim.server.background import BackgroundProcess


class Reporter(BackgroundProcess):
    """A loop that says that this `serve` runs, and takes the gauges that are due."""

    log = logging.getLogger("maim.server")
    poll_seconds = NOTED_EVERY.total_seconds()
    server: ThisServer  # set before the fork, so that a process that is started again tells the same

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
