"""The throttle of sign-ins and registrations (MAIM_AUTH_RATE).

Attempts are counted in Redis if it is configured, so that all workers and machines count together, otherwise in the
worker's memory. While Redis is unavailable, each worker counts alone, so that nobody is locked out or unlimited.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from core import redis
from core.addresses import client_network
from core.errors import TooMany
from core.text import fold

log = logging.getLogger("maim.auth")


@cache
def _memory_limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


@cache
def _redis_limiter(redis_url: str) -> MovingWindowRateLimiter:
    storage = RedisStorage(redis_url, connection_pool=redis.pool(redis_url, timeout=2), key_prefix="maim:auth")
    return MovingWindowRateLimiter(storage)


class _Hit(NamedTuple):
    """A limit, and what an attempt counts against in it."""

    item: RateLimitItemPerMinute
    kind: str
    subject: str


def attempt(*, account: str, address: str) -> None:
    """Count one attempt on an account from an address. Raise TooMany if either exceeds its rate.

    IPv6 addresses of one network count together (MAIM_AUTH_IPV6_PREFIX).
    """
    rate = settings.AUTH_RATE
    if rate is None:
        return
    # A digest makes short, plain keys from names of any length and content.
    digest = hashlib.sha256(fold(account).encode()).hexdigest()
    hits = (
        _Hit(RateLimitItemPerMinute(rate.per_address), "address", client_network(address, settings.AUTH_IPV6_PREFIX)),
        _Hit(RateLimitItemPerMinute(rate.per_account), "account", digest),
    )
    if settings.REDIS_URL:
        try:
            _count(_redis_limiter(settings.REDIS_URL), hits)
        except RedisError as error:  # it is not asked again for the other limit, so that nobody waits twice
            log.warning("counting sign-ins without Redis: %s", error)
        else:
            return
    _count(_memory_limiter(), hits)


def _count(limiter: MovingWindowRateLimiter, hits: Iterable[_Hit]) -> None:
    for item, *identifiers in hits:
        if not limiter.hit(item, *identifiers):
            reset = limiter.get_window_stats(item, *identifiers).reset_time
            raise TooMany(retry_after=max(1, math.ceil(reset - time.time())))
