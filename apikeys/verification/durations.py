"""Durations of verifications, kept in memory until they are written."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from apikeys.durations import BOUNDS

# While nothing is written, the oldest of more are dropped.
MAX_WAITING = 100_000


class DurationCounts:
    """The seconds that verifications took, for any number of threads, and their numbers by bucket of apikeys.durations.

    `add` is `append` of a deque, which takes no lock. They are counted when they are taken, by the thread that writes.
    """

    def __init__(self) -> None:
        self._waiting: deque[float] = deque(maxlen=MAX_WAITING)
        self._kept = [0] * (len(BOUNDS) + 1)
        self.add = self._waiting.append

    def take(self) -> list[int]:
        """Return the numbers since the last time, for writing; an empty list for nothing."""
        numbers, self._kept = self._kept, [0] * (len(BOUNDS) + 1)
        next_one = self._waiting.popleft
        for _ in range(len(self._waiting)):
            numbers[bisect_left(BOUNDS, next_one())] += 1
        return numbers if any(numbers) else []

    def put_back(self, numbers: Sequence[int]) -> None:
        """Keep what could not be written for the next time. It will count for the time when it is written."""
        self._kept = [*numbers] or self._kept
