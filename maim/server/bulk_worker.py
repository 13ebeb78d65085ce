"""The process that carries out bulk operations."""

from __future__ import annotations

import logging
from contextlib import suppress

from django.db import DatabaseError, connection

from core.db import DATABASE_ERRORS
from maim.server.background import BackgroundProcess
from operations.worker import Worker


class BulkWorker(BackgroundProcess):
    """A loop that changes chunk after chunk. A chunk under way is finished first."""

    log = logging.getLogger("maim.operations")

    def __init__(self) -> None:
        super().__init__()
        self._worker = Worker()

    def run(self) -> None:
        super().run()
        with suppress(*DATABASE_ERRORS):  # another worker goes on when the lease is over
            self._worker.release()

    def work(self) -> str | None:
        try:
            while self._worker.work():
                if self._is_stopping:
                    break
        except (*DATABASE_ERRORS, DatabaseError) as error:
            connection.close()
            return f"bulk operations wait for the database: {type(error).__name__}: {error}"
        except Exception:  # counted as a failure of the operation; those of others go on
            self.log.exception("a chunk of a bulk operation failed")
            return "bulk operations pause after a fault"
        return None
