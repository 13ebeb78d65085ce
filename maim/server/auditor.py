"""The process that adds committed audit entries to the audit chain."""

from __future__ import annotations

import logging

from django.db import connection

from core.audit_chain.chainer import Chainer, FormerKey
from core.db import DATABASE_ERRORS
from maim.server.background import BackgroundProcess


class Auditor(BackgroundProcess):
    """A loop that chains entries less than a second after their commit."""

    log = logging.getLogger("maim.audit")
    poll_seconds = 0.4

    def __init__(self) -> None:
        super().__init__()
        self._chainer = Chainer()

    def work(self) -> str | None:
        try:
            self._chainer.chain_all()
        except FormerKey:
            return "audit entries are not chained: the chain goes on under a key that is not in MAIM_KEY_PEPPERS here"
        except DATABASE_ERRORS as error:
            connection.close()
            return f"audit entries wait for the database to be chained: {type(error).__name__}"
        return None
