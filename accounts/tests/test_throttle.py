"""The throttle of sign-ins while Redis does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from accounts import throttle
from core.errors import TooMany
from core.setting_types import AuthRate

pytestmark = pytest.mark.embedded


class HungLimiter:
    """A limiter whose Redis does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    def hit(self, *arguments: Any) -> bool:
        self.asked += 1
        raise RedisTimeoutError


def test_attempt_waits_for_redis_once_and_is_counted_in_memory(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = HungLimiter()
    settings.REDIS_URL, settings.AUTH_RATE = "redis://redis.example:6379/0", AuthRate(per_account=2, per_address=100)
    monkeypatch.setattr(throttle, "_redis_limiter", lambda url: limiter)
    throttle._memory_limiter().storage.reset()

    for _ in range(2):
        throttle.attempt(account="alice", address="192.0.2.1")
    with pytest.raises(TooMany):
        throttle.attempt(account="alice", address="192.0.2.1")

    assert limiter.asked == 3
