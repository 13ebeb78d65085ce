"""Turns of the writers of one process before a SQLite database.

SQLite lets one writer in. The others ask again and again, after waits that grow, so that a newcomer often comes before
one who has waited for a second. Here they queue, and the next is woken at once.
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    def take(self, seconds: float) -> bool:
        """Wait for a turn, for at most so many seconds. Return whether it came."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(seconds):
            return True
        with self._lock:
            if mine.is_set():  # handed on at this moment
                return True
            self._waiting.remove(mine)
            return False

    def end(self) -> None:
        """Hand the turn on."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
