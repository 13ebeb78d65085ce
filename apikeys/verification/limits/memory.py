"""A limiter in the memory of the only worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from django.utils import timezone

from apikeys.verification.limits.base import (
    QuotaState,
    RateLimitState,
    Use,
    counted_so_far,
    limit_status,
    period_name,
)
from apikeys.verification.verdicts import Limits, LimitStatus, Quota, RateLimit

SWEEP_EVERY_SECONDS = 600


class _Window(NamedTuple):
    """The times of the uses of the last `seconds`."""

    seconds: int
    times: deque[float]


class InMemoryLimiter:
    """A limiter for one worker that serves alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}
        self._swept_at = 0.0
        self._used: dict[tuple[str, str], int] = {}

    def take(self, uses: Sequence[Use]) -> list[LimitStatus]:
        return [self._take(use.limits, consume=use.consume) for use in uses]

    def _take(self, limits: Limits, *, consume: bool) -> LimitStatus:
        # One lock around everything, or another thread could begin the next period and remove this one's number.
        with self._lock:
            now = timezone.now().timestamp()
            self._sweep(now)
            for quota in limits.quotas:
                self._begin_period(quota, limits.tenant_id, now)
            rate_limits = [self._rate_limit_state(rate_limit, now) for rate_limit in limits.rate_limits]
            quotas = [QuotaState(quota, self._used[quota.subject, period_name(quota, now)]) for quota in limits.quotas]
            is_exceeded = any(state.blocking is not None for state in rate_limits) or any(
                not state.remaining for state in quotas
            )
            if consume and not is_exceeded:
                self._consume(limits, now)
                rate_limits = [self._rate_limit_state(each, now, consumed=True) for each in limits.rate_limits]
                quotas = [QuotaState(state.quota, state.used + 1) for state in quotas]
        return limit_status(rate_limits, quotas, now, is_exceeded=consume and is_exceeded)

    def _consume(self, limits: Limits, now: float) -> None:
        for rate_limit in limits.rate_limits:
            window = self._windows.get(rate_limit.subject)
            times = deque[float]() if window is None else window.times
            times.append(now)
            self._windows[rate_limit.subject] = _Window(rate_limit.window_seconds, times)
        for quota in limits.quotas:
            self._used[quota.subject, period_name(quota, now)] += 1

    def _rate_limit_state(self, rate_limit: RateLimit, now: float, *, consumed: bool = False) -> RateLimitState:
        window = self._windows.get(rate_limit.subject)
        times = None if window is None else window.times
        if times and times[-1] > now:
            _shift(times, now - times[-1])
        while times and times[0] <= now - rate_limit.window_seconds:
            times.popleft()
        if not times:
            self._windows.pop(rate_limit.subject, None)
            return RateLimitState(rate_limit, 0, None, None)
        is_exceeded = len(times) >= rate_limit.limit and not consumed
        blocking = times[len(times) - rate_limit.limit] if is_exceeded else None
        return RateLimitState(rate_limit, len(times), times[0], blocking)

    def _sweep(self, now: float) -> None:
        """Remove windows that nobody looked at since they emptied, such as those of deleted keys."""
        if self._swept_at <= now < self._swept_at + SWEEP_EVERY_SECONDS:
            return
        self._swept_at = now
        self._windows = {
            subject: window for subject, window in self._windows.items() if window.times[-1] > now - window.seconds
        }

    def _begin_period(self, quota: Quota, tenant_id: str, now: float) -> None:
        """Start the period's count at that of the database, and remove those of earlier periods."""
        name = period_name(quota, now)
        if (quota.subject, name) in self._used:
            return
        counted = counted_so_far(quota, tenant_id, now)
        for key in [key for key in self._used if key[0] == quota.subject and key[1][0] == name[0]]:
            del self._used[key]
        self._used[quota.subject, name] = counted


def _shift(times: deque[float], seconds: float) -> None:
    """Shift the times of uses after the clock was set back, as if no time had passed since the last of them."""
    shifted = [moment + seconds for moment in times]
    times.clear()
    times.extend(shifted)
