"""The threads of a surface, and the bounded queue of requests in front of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from core.http.surfaces import Surface

MAX_WAIT_SECONDS = 2.0
MAX_WAITING = 1000
# The weight of the newest interval in the average of the intervals between two ends.
_WEIGHT = 0.1

P = ParamSpec("P")
T = TypeVar("T")


class Overloaded(Exception):
    """Too many requests: no thread became free in time, or most likely none would."""


class ClientGone(Exception):
    """A client that closed its connection before a thread was free for its request."""


class ThreadQueue:
    """The threads of a surface, on one event loop. Requests that find none free wait in order."""

    def __init__(self, surface: Surface) -> None:
        self._threads = ThreadPoolExecutor(surface.threads, thread_name_prefix=surface.name)
        self._free = surface.threads
        self._waiting: deque[asyncio.Future[None]] = deque()
        # While every thread is busy: the average time between two ends, and the time of the last.
        self._interval = 0.0
        self._last_end = time.monotonic()

    @property
    def _is_overloaded(self) -> bool:
        """True if a request that comes now would most likely wait for longer than MAX_WAIT_SECONDS."""
        if not self._waiting:
            return False
        # A hang shows in the time since the last end, before any interval is known.
        interval = max(self._interval, time.monotonic() - self._last_end)
        return len(self._waiting) >= MAX_WAITING or len(self._waiting) * interval > MAX_WAIT_SECONDS

    async def run(
        self, client_gone: Callable[[], Awaitable[None]], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the result of `function` in a thread.

        Raise Overloaded if none becomes free within MAX_WAIT_SECONDS, or most likely would not, and ClientGone if
        `client_gone` returns before. The function is then not called.
        """
        if self._is_overloaded:
            raise Overloaded
        if self._free:
            self._free -= 1
            if not self._free:
                self._last_end = time.monotonic()
        else:
            await self._wait(client_gone)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))
        finally:
            self._release()

    def close(self) -> None:
        """Wait for the requests that are running."""
        self._threads.shutdown()

    async def _wait(self, client_gone: Callable[[], Awaitable[None]]) -> None:
        """Return when a thread is this request's."""
        turn = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(client_gone())
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn, gone}, timeout=MAX_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_gone = gone.done()
            gone.cancel()
        if turn.done():
            if not is_gone:
                return
            self._release()
        else:
            self._waiting.remove(turn)
        raise ClientGone if is_gone else Overloaded

    def _release(self) -> None:
        """Give a thread to the next request that waits."""
        if not self._waiting:
            self._free += 1
            return
        now = time.monotonic()
        self._interval += (now - self._last_end - self._interval) * _WEIGHT
        self._last_end = now
        self._waiting.popleft().set_result(None)
