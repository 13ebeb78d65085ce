"""Durations of verifications, counted in memory until they are written."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence

from apikeys.durations import BOUNDS


class DurationCounts:
    """The numbers of verifications by bucket of apikeys.durations, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count a verification that took so long."""
        bucket = bisect_left(BOUNDS, seconds)
        with self._lock:
            self._numbers[bucket] += 1

    def take(self) -> list[int]:
        """Return what was counted since the last time, for writing; an empty list for nothing."""
        with self._lock:
            taken, self._numbers = self._numbers, [0] * (len(BOUNDS) + 1)
        return taken if any(taken) else []

    def put_back(self, numbers: Sequence[int]) -> None:
        """Keep what could not be written for the next time. It will count for the time when it is written."""
        with self._lock:
            for bucket, number in enumerate(numbers):
                self._numbers[bucket] += number
