"""The process that adds committed audit entries to the audit chain."""

from __future__ import annotations

import logging
import time

from django.db import connection

from core import reveals
from core.audit_chain.chainer import CannotChain, Chainer
from core.db import DATABASE_ERRORS
from maim.server.background import BackgroundProcess

_COUNTED_EVERY_SECONDS = 60.0


class Auditor(BackgroundProcess):
    """A loop that chains entries less than a second after their commit, and writes those of counted reads."""

    log = logging.getLogger("maim.audit")
    poll_seconds = 0.4

    def __init__(self) -> None:
        super().__init__()
        self._chainer = Chainer()
        self._counted_at = float("-inf")

    def work(self) -> str | None:
        try:
            self._chainer.chain_all()
            if time.monotonic() > self._counted_at + _COUNTED_EVERY_SECONDS:
                reveals.record_counted()
                self._counted_at = time.monotonic()
        except CannotChain as error:
            return str(error)
        except DATABASE_ERRORS as error:
            connection.close()
            return f"audit entries wait for the database to be chained: {type(error).__name__}"
        return None
