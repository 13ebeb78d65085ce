"""The throttle of sign-ins: what counts together, from where an account's owner still gets in, and without Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis.exceptions import TimeoutError as RedisTimeoutError
from time_machine import travel

from accounts import throttle
from core.errors import TooMany
from core.setting_types import AuthRate

pytestmark = pytest.mark.embedded
HOME, AWAY = "192.0.2.1", "198.51.100.1"


@pytest.fixture(autouse=True)
def _in_memory(settings: Any) -> Iterator[None]:
    settings.REDIS_URL, settings.AUTH_RATE = None, AuthRate(per_account=2, per_address=100)
    throttle._memory_limiter().storage.reset()
    yield
    throttle._memory_limiter().storage.reset()


def passes(account: str, address: str) -> bool:
    try:
        throttle.attempt(account=account, address=address)
    except TooMany:
        return False
    return True


def guess_from_everywhere(account: str) -> int:
    """Try the account from ten addresses, and return how many attempts passed."""
    return sum(passes(account, f"203.0.113.{host}") for host in range(10))


def test_guesses_from_one_address_do_not_lock_the_owner_out() -> None:
    assert [passes("alice", AWAY) for _ in range(5)] == [True, True, False, False, False]

    assert passes("Alice", HOME)


def test_guesses_from_everywhere_are_limited_together() -> None:
    assert guess_from_everywhere("alice") == 3 * 2

    assert not passes("alice", HOME)
    assert passes("bob", HOME), "another account is not affected"


def test_owner_gets_in_from_an_address_of_earlier_sign_ins_while_others_guess() -> None:
    throttle.remember_address(account="ALICE", address="2001:db8:1:2::3")
    guess_from_everywhere("alice")

    assert passes("alice", "2001:db8:1:2::4"), "the same network"
    assert not passes("alice", HOME)


def test_guesses_from_a_known_address_are_limited_too() -> None:
    throttle.remember_address(account="alice", address=HOME)

    assert [passes("alice", HOME) for _ in range(4)] == [True, True, False, False]


def test_clock_that_was_set_back_refuses_nobody() -> None:
    now = timezone.now()
    with travel(now + timedelta(hours=1), tick=False):
        assert [passes("alice", HOME) for _ in range(3)] == [True, True, False]

    with travel(now, tick=False):
        assert [passes("alice", HOME) for _ in range(3)] == [True, True, False]


def test_first_burst_after_a_start_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowStorage(throttle._Storage):
        """A storage whose making takes so long that every thread of the burst asks for it."""

        def __init__(self) -> None:
            time.sleep(0.05)
            super().__init__()

    monkeypatch.setattr(throttle, "_Storage", SlowStorage)
    throttle._memory_limiter.cache_clear()

    with ThreadPoolExecutor(6) as pool:
        passed = sum(pool.map(lambda _number: passes("alice", HOME), range(6)))

    assert passed == 2


class HungLimiter:
    """A limiter whose Redis does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    def hit(self, *arguments: Any) -> bool:
        self.asked += 1
        raise RedisTimeoutError


def test_attempt_waits_for_redis_once_and_is_counted_in_memory(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = HungLimiter()
    settings.REDIS_URL = "redis://redis.example:6379/0"
    monkeypatch.setattr(throttle, "_redis_limiter", lambda url: limiter)

    for _ in range(2):
        throttle.attempt(account="alice", address="192.0.2.1")
    with pytest.raises(TooMany):
        throttle.attempt(account="alice", address="192.0.2.1")

    assert limiter.asked == 3
