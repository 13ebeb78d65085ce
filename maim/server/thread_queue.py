"""The threads of a surface, and the bounded queue of requests in front of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from core.http.surfaces import Surface
from core.waiting import belong_to
from maim.server.exchange import ClientGone

MAX_WAIT_SECONDS = 2.0
# A request that would most likely wait for longer is refused at once.
MAX_EXPECTED_SECONDS = 1.0
MAX_WAITING = 1000
# The weight of the newest interval in the average of the intervals between two ends, and the longest that is counted:
# a machine that stood still for half a second says little of how fast the requests after it end.
_WEIGHT = 0.1
_LONGEST_INTERVAL = 0.1

# The threads that may always run: one computes while the database answers the other.
FEWEST_THREADS = 2
ADJUST_EVERY_SECONDS = 0.02
# The part of a core that this process may use before fewer threads run. Below it they mostly wait for others, and more
# of them serve more requests.
MAX_UTILIZATION = 0.7
# While the event loop is late by more than this, threads leave it too little of the interpreter.
MAX_LAG_SECONDS = 0.03

P = ParamSpec("P")
T = TypeVar("T")


class Overloaded(Exception):
    """Too many requests: no thread became free in time, or most likely none would."""


class _Call(NamedTuple):
    """A function to be called in a thread, and its result on the event loop."""

    function: Callable[[], Any]
    # Of asyncio alone, because one of concurrent.futures chained to it costs as much again as the whole hand-over.
    result: asyncio.Future[Any]

    def run(self) -> None:
        end = self.result.get_loop().call_soon_threadsafe
        try:
            value = self.function()
        except BaseException as error:  # noqa: BLE001  # raised again by the result
            end(self._end, self.result.set_exception, error)
        else:
            end(self._end, self.result.set_result, value)

    def _end(self, settle: Callable[[Any], None], outcome: Any) -> None:
        if not self.result.cancelled():
            settle(outcome)


class ThreadQueue:
    """The threads of a surface, on one event loop. Requests that find none free wait in order.

    A thread that ends a request begins the next by itself, because the event loop of a busy worker would be slow to
    hand it one. Threads that compute compete for the interpreter with each other and with the event loop, and many of
    them serve fewer requests than two. So more are used only while requests wait and the process computes little, as it
    does when its threads wait for the database. Those that say that they wait (core.waiting) are not counted.
    """

    def __init__(self, surface: Surface) -> None:
        self._most = surface.threads
        self._threads = ThreadPoolExecutor(surface.threads, surface.name, belong_to, (self,))
        self._lock = threading.Lock()  # of the limit, the numbers, the queue and the times, which threads change, too
        self._limit = min(FEWEST_THREADS, surface.threads)
        self._running = 0
        self._blocked = 0  # the threads that wait
        self._waiting: deque[_Call] = deque()
        self._reserved = 0  # used by the event loop alone
        # While requests wait: the average time between two ends, and the time of the last.
        self._interval = 0.0
        self._last_end = time.monotonic()
        # The next adjustment of the limit, and this process' seconds of the processor at the last one.
        self._adjustment: asyncio.TimerHandle | None = None
        self._cpu_seconds = 0.0

    @property
    def room(self) -> int:
        """The number of requests that may come now before one must be expected to wait for MAX_EXPECTED_SECONDS."""
        waiting = len(self._waiting) + self._reserved
        if not self._waiting or self._running + self._blocked + waiting < self._most:
            return MAX_WAITING  # soon there is a thread for each, however long those before it take
        # A hang shows in the time since the last end, before any interval is known.
        seconds = MAX_EXPECTED_SECONDS - (time.monotonic() - self._last_end)
        if seconds <= 0:
            return 0
        served_by_then = seconds / self._interval if self._interval else MAX_WAITING
        return max(0, int(min(MAX_WAITING, served_by_then)) - waiting)

    @property
    def is_overloaded(self) -> bool:
        """True if there is no room for a request that comes now."""
        return self.room == 0

    def reserve(self) -> None:
        """Count a request as waiting that comes to `run` in the next turn of the event loop.

        Otherwise the hundreds of requests that are read in one turn would all find the queue as it was before.
        """
        if not self._reserved:
            asyncio.get_running_loop().call_soon(self._end_reservations)
        self._reserved += 1

    def _end_reservations(self) -> None:
        self._reserved = 0

    async def run(
        self, client_gone: Callable[[], Awaitable[None]], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the result of `function` in a thread.

        Raise Overloaded if none becomes free within MAX_WAIT_SECONDS, or most likely would not, and ClientGone if
        `client_gone` returns before. The function is then not called.
        """
        if self.is_overloaded:
            raise Overloaded
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = _Call(partial(function, *args, **kwargs), result)
        if not self._begin(call):
            gone = asyncio.ensure_future(client_gone())
            try:
                first: set[asyncio.Future[Any]] = {result, gone}
                await asyncio.wait(first, timeout=MAX_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                is_gone = gone.done()
                gone.cancel()
                is_withdrawn = not result.done() and self._withdraw(call)
            if is_withdrawn:
                raise ClientGone if is_gone else Overloaded
        return await result

    def close(self) -> None:
        """Wait for the requests that are running."""
        if self._adjustment is not None:
            self._adjustment.cancel()
        self._threads.shutdown()

    def leave(self) -> None:
        """Begin another request while the thread that calls waits (core.waiting)."""
        with self._lock:
            self._blocked += 1
            self._running -= 1
            call = None
            if self._running < self._limit and self._is_free():
                self._running += 1
                self._note_end()  # as good as one for those that wait
                call = self._take()
        if call is not None:
            self._threads.submit(self._work, call)

    def come_back(self) -> None:
        """Count a thread again that has waited, also beyond the limit."""
        with self._lock:
            self._blocked -= 1
            self._running += 1

    def _is_free(self) -> bool:
        """Return whether there is a thread that neither runs a request nor waits in one."""
        return self._running + self._blocked < self._most

    def _begin(self, call: _Call) -> bool:
        """Begin a call in a free thread, or let it wait behind others. Return whether it has begun."""
        if self._running >= FEWEST_THREADS:
            self._adjust_later()
        with self._lock:
            if self._waiting or self._running >= self._limit or not self._is_free():
                self._waiting.append(call)
                return False
            self._running += 1
            self._last_end = time.monotonic()
        self._threads.submit(self._work, call)
        return True

    def _work(self, call: _Call | None) -> None:
        """Run a call in a thread, and then those that wait."""
        while call is not None:
            call.run()
            with self._lock:
                call = self._next()

    def _next(self) -> _Call | None:
        """Return the next call for the thread that has ended one, or None if it is to rest."""
        self._note_end()
        if self._running > self._limit:
            self._running -= 1
            return None
        return self._take()

    def _take(self) -> _Call | None:
        """Return the call that has waited longest. If none waits, count the calling thread as free and return None."""
        if not self._waiting:
            self._running -= 1
            return None
        return self._waiting.popleft()

    def _note_end(self) -> None:
        """Measure how fast requests end, if others wait for that."""
        if self._waiting:
            now = time.monotonic()
            newest = min(now - self._last_end, _LONGEST_INTERVAL)
            self._interval += (newest - self._interval) * _WEIGHT
            self._last_end = now

    def _withdraw(self, call: _Call) -> bool:
        """Let a call wait no longer. Return False if a thread has taken it."""
        with self._lock:
            try:
                self._waiting.remove(call)
            except ValueError:
                return False
            return True

    def _adjust_later(self) -> None:
        """Adjust the limit every now and then until few threads run and nothing waits."""
        if self._adjustment is None:
            loop = asyncio.get_running_loop()
            due = loop.time() + ADJUST_EVERY_SECONDS
            self._cpu_seconds = time.process_time()
            self._adjustment = loop.call_at(due, self._adjust, loop, due)

    def _adjust(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Let fewer threads run if they compute, or if the event loop is late, and else more if requests wait.

        Then begin the requests that may run.
        """
        lag = loop.time() - due
        utilization = (time.process_time() - self._cpu_seconds) / (ADJUST_EVERY_SECONDS + lag)
        begun: list[_Call] = []
        with self._lock:
            if lag > MAX_LAG_SECONDS:
                self._limit = min(self._limit, self._running) // 2
            elif utilization > MAX_UTILIZATION:
                self._limit -= 1
            elif self._waiting:
                self._limit += 1
            self._limit = min(max(FEWEST_THREADS, self._limit), self._most)
            # One begins beyond the limit, too, if none has ended: threads that only wait shall not keep all others
            # waiting. It says nothing of how fast requests end, so it is not measured.
            has_none_ended = self._last_end < due - ADJUST_EVERY_SECONDS
            while self._waiting and self._is_free() and (self._running < self._limit or (has_none_ended and not begun)):
                self._running += 1
                begun.append(self._waiting.popleft())
            is_quiet = self._running <= FEWEST_THREADS and not self._waiting
        for call in begun:
            self._threads.submit(self._work, call)
        self._adjustment = None
        if not is_quiet:
            self._adjust_later()
