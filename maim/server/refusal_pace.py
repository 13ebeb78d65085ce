"""The pace at which an overloaded worker refuses requests."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

# Ten thousand a second, which take about a third of the event loop's time.
MAX_PER_TICK = 100
TICK_SECONDS = 0.01


class Pausable(Protocol):
    """A connection, whose requests can be left unread for a while."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class RefusalPace:
    """A limit of refusals on an event loop.

    Clients that are refused beyond it are paused for a while. Otherwise refusals would take the time in which the
    worker could serve, because clients in a hurry send their next request at once.
    """

    def __init__(self) -> None:
        self._number = 0  # in this tick
        self._paused: deque[Pausable] = deque()
        self._tick: asyncio.TimerHandle | None = None

    def count(self, connection: Pausable) -> None:
        """Count a refusal on a connection, and pause that for some ticks if there are too many."""
        self._number += 1
        if self._number > MAX_PER_TICK:
            connection.pause()
            self._paused.append(connection)
        self._start_tick()

    def _start_tick(self) -> None:
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(TICK_SECONDS, self._end_tick)

    def _end_tick(self) -> None:
        self._number, self._tick = 0, None
        for _ in range(min(MAX_PER_TICK, len(self._paused))):
            self._paused.popleft().resume()
        if self._paused:
            self._start_tick()
