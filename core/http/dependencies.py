"""Checks of the database and of Redis, for probes. Each is asked once at a time, however many callers wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from core import primary
from core.db import retry_if_disconnected
from core.http.problems import NOT_REACHABLE

log = logging.getLogger("maim.http")
T = TypeVar("T")


class SingleFlight(Generic[T]):
    """A function that runs once at a time, in a thread of its own. Calls that come meanwhile share the run."""

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        self._function = function
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._run: Future[T] | None = None

    def start(self) -> Future[T]:
        """Return the run that is under way, or a new one."""
        with self._lock:
            if self._run is None or self._run.done():
                self._run = self._thread.submit(self._function)
            return self._run


def _database_works() -> bool:
    """Return whether the database answers and takes writes."""
    try:
        retry_if_disconnected(primary.current_value)("SELECT 1")
    except NOT_REACHABLE as error:
        log.warning("the database does not answer or takes no writes: %s", error)
        return False
    return True


def _cache_works() -> bool:
    """Return whether Redis answers and takes a write, which a replica refuses."""
    try:
        return bool(get_redis_connection().set("maim:ready", 1, ex=60))
    except RedisError as error:
        log.warning("Redis does not answer or takes no writes: %s", error)
        return False


database = SingleFlight("database-probe", _database_works)
_cache = SingleFlight("cache-probe", _cache_works)


def database_works(seconds: float) -> bool:
    """Return whether the database answers within this time and takes writes."""
    try:
        return database.start().result(seconds)
    except TimeoutError:
        return False


def check_all(seconds: float) -> dict[str, bool]:
    """Return for each dependency whether it answers within this time and takes writes."""
    checks = {"database": database.start()}
    if settings.REDIS_URL:
        checks["cache"] = _cache.start()
    done, _pending = wait(checks.values(), seconds)
    return {name: check in done and check.result() for name, check in checks.items()}
