"""A process that does something again and again beside those that serve."""

from __future__ import annotations

import logging
import signal
import time
from abc import ABC, abstractmethod
from types import FrameType

from maim.server.worker import STOP_SIGNALS, end_with_parent

LONGEST_PAUSE_SECONDS = 60.0
_STEP_SECONDS = 0.1


class BackgroundProcess(ABC):
    """A loop that works until SIGTERM. What is under way is finished first. Pauses grow while it fails."""

    log: logging.Logger
    poll_seconds = 1.0

    def __init__(self) -> None:
        self._is_stopping = False
        self._pause = self.poll_seconds

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        end_with_parent()
        while not self._is_stopping:
            problem = self.work()
            if problem is None:
                self._pause = self.poll_seconds
            else:
                self.log.warning("%s", problem)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            self._sleep()

    @abstractmethod
    def work(self) -> str | None:
        """Do what is due. Return a sentence for the log if it has to wait."""

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _sleep(self) -> None:
        # No Event, which deadlocks when a signal handler sets it during a wait.
        until = time.monotonic() + self._pause
        while not self._is_stopping and time.monotonic() < until:
            time.sleep(_STEP_SECONDS)
