"""The levels of quotas that a worker has seen and not told yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from apikeys.notices import QuotaLevel

# Beyond so many levels the worker forgets which ones it has noted. The database knows which were told.
MAX_KNOWN = 10_000


class QuotaNotes:
    """The levels of quotas, each noted once, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[QuotaLevel] = set()
        self._waiting: list[QuotaLevel] = []

    def note(self, levels: Iterable[QuotaLevel]) -> None:
        """Note levels that are new to this worker."""
        with self._lock:
            for level in levels:
                if level not in self._known:
                    if len(self._known) >= MAX_KNOWN:
                        self._known.clear()
                    self._known.add(level)
                    self._waiting.append(level)

    def take(self) -> list[QuotaLevel]:
        """Return the levels noted since the last time, for telling."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def put_back(self, levels: Iterable[QuotaLevel]) -> None:
        """Keep levels that could not be told for the next time."""
        with self._lock:
            self._waiting = [*levels, *self._waiting][:MAX_KNOWN]
