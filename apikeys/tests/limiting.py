"""Limits, uses of them, and what limiters are tested with."""

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

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from time_machine import travel

from apikeys.verification.limits import Limiter, RedisLimiter, Use
from apikeys.verification.verdicts import Limits, LimitStatus, Quota, RateLimit
from core.limits import Period

WAIT = 30
MINUTE = 60
needs_redis = pytest.mark.skipif(not django_settings.REDIS_URL, reason="no REDIS_URL")


def redis_limiter() -> RedisLimiter:
    """A limiter in the Redis of this run, with a connection of its own."""
    assert django_settings.REDIS_URL
    return RedisLimiter(django_settings.REDIS_URL)


class Stored:
    """What a limiter keeps in Redis of one subject."""

    def __init__(self, limiter: RedisLimiter, subject: str) -> None:
        self._redis = _commands(limiter)
        self._keys: list[bytes] = self._redis.keys(f"*{subject}*")

    def seconds_left(self) -> list[int]:
        """How much longer each of its keys is kept, the shortest first."""
        return sorted(self._redis.ttl(key) for key in self._keys)

    def add_an_older_use(self, *, seconds: int) -> None:
        """Adds a use to its window, so long before the oldest that is there."""
        (window,) = self._keys
        self._redis.lpush(window, int(self._redis.lindex(window, 0)) - seconds * 1_000_000)

    def lose(self) -> None:
        """Loses all of it."""
        self._redis.delete(*self._keys)


def break_connection(limiter: RedisLimiter) -> None:
    """Has Redis close the connection that a limiter holds."""
    _commands(redis_limiter()).client_kill_filter(_id=_commands(limiter).client_id())


def _commands(limiter: RedisLimiter) -> Any:
    """The commands of a limiter's Redis. redis-py's types say of each that its answer may have to be awaited."""
    return limiter._redis


def fresh(kind: str = "key") -> str:
    """The id of something that no limiter has seen."""
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
    """One use."""
    (status,) = limiter.take([Use(limits(*several), consume)])
    return status


def passes(limiter: Limiter, *several: RateLimit | Quota, of: int) -> int:
    """How many of so many uses pass."""
    return sum(not take(limiter, *several).is_exceeded for _ in range(of))


def left(status: LimitStatus) -> tuple[int | None, int | None]:
    """What is left of the strictest rate limit and quota."""
    return (
        None if status.rate_limit is None else status.rate_limit.remaining,
        None if status.quota is None else status.quota.remaining,
    )


@contextmanager
def later(limiter: Limiter, *, seconds: float) -> Iterator[None]:
    """So long after now: at once where our clock counts, and in real time where Redis' does."""
    if isinstance(limiter, RedisLimiter):
        time.sleep(seconds)
    with travel(timezone.now() + timedelta(seconds=seconds), tick=False):
        yield


def in_threads(number: int, function: Callable[[], Any]) -> list[Any]:
    """Runs the function in so many threads at once, each on a connection of its own; the results."""
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
def a_deaf_server() -> Iterator[tuple[int, list[socket.socket]]]:
    """A port that takes connections and says nothing; its number, and the connections so far."""
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
