"""How often somebody may try to sign in or register (MAIM_AUTH_RATE).

Counted in Redis where there is one, so that all workers and machines count together; else in the one
worker. Should Redis be away, the worker counts alone: nobody is locked out, nobody gets free rein.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from functools import cache

from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from core import redis
from core.errors import TooMany
from core.text import fold

log = logging.getLogger("maim.auth")


@cache
def _alone() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


@cache
def _together(redis_url: str) -> MovingWindowRateLimiter:
    storage = RedisStorage(redis_url, connection_pool=redis.pool(redis_url, timeout=2), key_prefix="maim:auth")
    return MovingWindowRateLimiter(storage)


def attempt(*, account: str, address: str) -> None:
    """Counts one attempt on an account from an address.

    Raises TooMany when either has had its share of this minute.
    """
    rate = settings.AUTH_RATE
    if rate is None:
        return
    # A digest, so that names of any length and content make short, plain keys.
    digest = hashlib.sha256(fold(account).encode()).hexdigest()
    _hit(RateLimitItemPerMinute(rate.per_address), "address", address)
    _hit(RateLimitItemPerMinute(rate.per_account), "account", digest)


def _hit(item: RateLimitItemPerMinute, *identifiers: str) -> None:
    limiter = _together(settings.REDIS_URL) if settings.REDIS_URL else _alone()
    try:
        admitted = limiter.hit(item, *identifiers)
    except RedisError as error:
        log.warning("counting sign-ins without Redis: %s", error)
        limiter = _alone()
        admitted = limiter.hit(item, *identifiers)
    if not admitted:
        reset = limiter.get_window_stats(item, *identifiers).reset_time
        raise TooMany(retry_after=max(1, math.ceil(reset - time.time())))
