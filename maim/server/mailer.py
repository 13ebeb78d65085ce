"""The process that sends queued mails."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType

from django.db import connection

from accounts.mail.sender import reason, send_due
from core.db import DATABASE_ERRORS
from maim.server.worker import STOP_SIGNALS, end_with_parent

log = logging.getLogger("maim.mail")
POLL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
_STEP_SECONDS = 0.1


class Mailer:
    """A loop that sends the mails that are due, until SIGTERM. A mail under way is finished first."""

    def __init__(self) -> None:
        self._is_stopping = False
        self._pause = POLL_SECONDS

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        end_with_parent()
        while not self._is_stopping:
            self._send()
            self._sleep()

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _send(self) -> None:
        try:
            send_due()
        except DATABASE_ERRORS as error:
            log.warning("mails wait for the database: %s", type(error).__name__)
            connection.close()
        except OSError as error:
            log.warning("mails wait for the mail server: %s", reason(error))
        else:
            self._pause = POLL_SECONDS
            return
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def _sleep(self) -> None:
        # No Event, which deadlocks when a signal handler sets it during a wait.
        until = time.monotonic() + self._pause
        while not self._is_stopping and time.monotonic() < until:
            time.sleep(_STEP_SECONDS)
