"""Limits, and helpers for tests of limiters."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from time_machine import travel

from apikeys.verification.limits import Limiter, RedisLimiter, Use
from apikeys.verification.verdicts import Limits, LimitStatus, Quota, RateLimit
from core.limits import Period
from tests.support.instances import WAIT

MINUTE = 60


def redis_limiter() -> RedisLimiter:
    """Return a limiter in the Redis of this run, with a connection of its own."""
    assert django_settings.REDIS_URL
    return RedisLimiter(django_settings.REDIS_URL)


class Stored:
    """The keys in Redis that a limiter has for one subject."""

    def __init__(self, limiter: RedisLimiter, subject: str) -> None:
        self._redis = _commands(limiter)
        self._keys: list[bytes] = self._redis.keys(f"*{subject}*")

    def seconds_left(self) -> list[int]:
        """Return the seconds until each key expires, in ascending order."""
        return sorted(self._redis.ttl(key) for key in self._keys)

    def add_an_older_use(self, *, seconds: int) -> None:
        """Add a use to its window, so long before the oldest that is there."""
        (window,) = self._keys
        self._redis.lpush(window, int(self._redis.lindex(window, 0)) - seconds * 1_000_000)

    def shift(self, *, seconds: int) -> None:
        """Shift the uses of its window, as a step of Redis' clock the other way does."""
        (window,) = self._keys
        uses = [int(use) + seconds * 1_000_000 for use in self._redis.lrange(window, 0, -1)]
        self._redis.delete(window)
        self._redis.rpush(window, *uses)

    def lose(self) -> None:
        """Delete all of them."""
        self._redis.delete(*self._keys)


def break_connection(limiter: RedisLimiter) -> None:
    """Make Redis close the connection that a limiter holds."""
    _commands(redis_limiter()).client_kill_filter(_id=_commands(limiter).client_id())


def _commands(limiter: RedisLimiter) -> Any:
    """Return a limiter's Redis client as Any, because redis-py's types say that its replies may have to be awaited."""
    return limiter._redis


def fresh(kind: str = "key") -> str:
    """Return the id of something that no limiter has seen."""
    return f"{kind}_{uuid4().hex[:12]}"


def rate(limit: int, window_seconds: int = MINUTE, subject: str | None = None) -> RateLimit:
    return RateLimit(subject or fresh(), limit, window_seconds)


def quota(limit: int, period: Period = Period.DAY, subject: str | None = None) -> Quota:
    return Quota(subject or fresh(), limit, period)


def limits(*several: RateLimit | Quota, tenant_id: str = "tenant_1") -> Limits:
    """Return the limits of a key."""
    return Limits(
        tenant_id,
        tuple(limit for limit in several if isinstance(limit, RateLimit)),
        tuple(limit for limit in several if isinstance(limit, Quota)),
    )


def take(limiter: Limiter, *several: RateLimit | Quota, consume: bool = True) -> LimitStatus:
    """Count one use."""
    (status,) = limiter.take([Use(limits(*several), consume)])
    return status


def passes(limiter: Limiter, *several: RateLimit | Quota, of: int) -> int:
    """Return how many of so many uses pass."""
    return sum(not take(limiter, *several).is_exceeded for _ in range(of))


def left(status: LimitStatus) -> tuple[int | None, int | None]:
    """Return the remaining uses of the strictest rate limit and quota."""
    return (
        None if status.rate_limit is None else status.rate_limit.remaining,
        None if status.quota is None else status.quota.remaining,
    )


@contextmanager
def later(limiter: Limiter, *, seconds: float) -> Iterator[None]:
    """Run the block so many seconds later: at once by our clock, or in real time if Redis' clock counts."""
    if isinstance(limiter, RedisLimiter):
        time.sleep(seconds)
    with travel(timezone.now() + timedelta(seconds=seconds), tick=False):
        yield


def in_threads(number: int, function: Callable[[], Any]) -> list[Any]:
    """Run the function in so many threads at once, each with a connection of its own, and return the results."""
    ready = threading.Barrier(number, timeout=WAIT)

    def run() -> Any:
        try:
            ready.wait()
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return [future.result(WAIT) for future in [threads.submit(run) for _ in range(number)]]


@contextmanager
def silent_server() -> Iterator[tuple[int, list[socket.socket]]]:
    """Open a port that accepts connections and never answers. Yield its number and the connections so far."""
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connections.append(listener.accept()[0])

    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], connections
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT)
            for each in connections:
                stack.enter_context(each)
