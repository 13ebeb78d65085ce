"""The throttle of sign-ins, registrations, changed addresses, invitations, links in mails and reports of leaks.

MAIM_AUTH_RATE sets its rates, except those by the hour.

Attempts on an account are counted for each address first, so that somebody who guesses locks out their own address.
All addresses together have three times as many attempts. An address from which the account was signed in to lately is
not among them, so that its owner still gets in.

Attempts are counted in Redis if it is configured, so that all workers and machines count together, otherwise in the
worker's memory. While Redis is unavailable, each worker counts alone, so that nobody is locked out or unlimited.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from django.conf import settings
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from core import redis
from core.addresses import client_network
from core.errors import TooMany
from core.setting_types import AuthRate
from core.text import fold

log = logging.getLogger("maim.auth")


KNOWN_SECONDS = 30 * 24 * 3600
_CLOCK_STEP_SECONDS = 1
_ALL_ADDRESSES = 3  # how many addresses' attempts an account has in all
# So that nobody fills another's mailbox by inviting them again and again.
_INVITATIONS_AN_HOUR = 5
# So that nobody fills the audit log by failing to sign in to the admin.
_FAILURES_OF_OPERATOR_AN_HOUR, _OTHER_FAILURES_AN_HOUR = 10, 20

# One thread at a time makes or uses the limiter in memory: of two limiters, each would count for itself.
_memory_lock = threading.Lock()


class _Storage(MemoryStorage):
    """A storage in memory that is emptied when the clock is set back, or it would refuse for as long as that step."""

    def __init__(self) -> None:
        super().__init__()
        self._latest = time.time()

    def acquire_entry(self, *args: Any, **options: Any) -> bool:
        now = time.time()
        if now < self._latest - _CLOCK_STEP_SECONDS:
            self.reset()
        self._latest = now
        return super().acquire_entry(*args, **options)


@cache
def _memory_limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(_Storage())


@cache
def _redis_limiter(redis_url: str) -> MovingWindowRateLimiter:
    storage = RedisStorage(redis_url, connection_pool=redis.pool(redis_url, timeout=2), key_prefix="maim:auth")
    return MovingWindowRateLimiter(storage)


class _Attempt(NamedTuple):
    """An account and an address, as they are counted."""

    account: str
    address: str

    @staticmethod
    def of(account: str, address: str) -> _Attempt:
        return _Attempt(_digest(account), client_network(address, settings.AUTH_IPV6_PREFIX))

    @property
    def known_key(self) -> str:
        """The key under which the address is kept as one of the account's own."""
        return f"known/{self.account}/{self.address}"


def attempt(*, account: str, address: str) -> None:
    """Count one attempt on an account from an address. Raise TooMany if any of the rates is exceeded.

    IPv6 addresses of one network count together (MAIM_AUTH_IPV6_PREFIX).
    """
    rate = settings.AUTH_RATE
    if rate is not None:
        _with_limiter(partial(_count, _Attempt.of(account, address), rate))


def count_invitation(*, email: str) -> None:
    """Count one invitation of an e-mail address, whoever sends it. Raise TooMany after five within an hour."""
    if settings.AUTH_RATE is not None:
        item = RateLimitItemPerHour(_INVITATIONS_AN_HOUR)
        _with_limiter(lambda limiter: _hit(limiter, item, "invited", _digest(email)))


def count_failure(*, operator_id: str | None) -> bool:
    """Count a failed sign-in to the admin. Return False beyond the number an hour that is recorded.

    That is ten for each operator, and twenty for all other names together.
    """
    number = _OTHER_FAILURES_AN_HOUR if operator_id is None else _FAILURES_OF_OPERATOR_AN_HOUR
    item = RateLimitItemPerHour(number)
    try:
        _with_limiter(lambda limiter: _hit(limiter, item, "failed", operator_id or "others"))
    except TooMany:
        return False
    return True


def remember_address(*, account: str, address: str) -> None:
    """Keep the address as one of the account's own. Call it when the right password came from there."""
    if settings.AUTH_RATE is not None:
        key = _Attempt.of(account, address).known_key
        _with_limiter(lambda limiter: limiter.storage.incr(key, KNOWN_SECONDS))


def _with_limiter(act: Callable[[MovingWindowRateLimiter], object]) -> None:
    """Call `act` with the limiter in Redis, or with that in memory if there is no Redis or it does not answer."""
    if settings.REDIS_URL:
        try:
            act(_redis_limiter(settings.REDIS_URL))
        except RedisError as error:  # it is not asked again for the other limits, so that nobody waits twice
            log.warning("counting sign-ins without Redis: %s", error)
        else:
            return
    with _memory_lock:
        act(_memory_limiter())


def _count(tried: _Attempt, rate: AuthRate, limiter: MovingWindowRateLimiter) -> None:
    _hit(limiter, RateLimitItemPerMinute(rate.per_address), "address", tried.address)
    _hit(limiter, RateLimitItemPerMinute(rate.per_account), "account", tried.account, tried.address)
    if not limiter.storage.get(tried.known_key):
        _hit(limiter, RateLimitItemPerMinute(_ALL_ADDRESSES * rate.per_account), "account", tried.account)


def _digest(name: str) -> str:
    """Return a short, plain key for a name of any length and content."""
    return hashlib.sha256(fold(name).encode()).hexdigest()


def _hit(limiter: MovingWindowRateLimiter, item: RateLimitItem, *subject: str) -> None:
    if not limiter.hit(item, *subject):
        reset = limiter.get_window_stats(item, *subject).reset_time
        raise TooMany(retry_after=max(1, math.ceil(reset - time.time())))
