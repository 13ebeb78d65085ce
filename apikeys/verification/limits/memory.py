"""Limits of one worker that serves alone, in its memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from django.utils import timezone

from apikeys.verification.limits.base import (
    QuotaState,
    RateState,
    Use,
    counted_so_far,
    period_name,
    standing,
)
from apikeys.verification.verdicts import Pools, QuotaPool, RatePool, Standing

SWEEP_EVERY_SECONDS = 600


class _Window(NamedTuple):
    """The times of the uses of the last `seconds`."""

    seconds: int
    times: deque[float]


class LocalLimiter:
    """For one worker that serves alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[str, _Window] = {}
        self._swept = 0.0
        self._used: dict[tuple[str, str], int] = {}

    def take(self, uses: Sequence[Use]) -> list[Standing]:
        return [self._taken(use.pools, consume=use.consume) for use in uses]

    def _taken(self, pools: Pools, *, consume: bool) -> Standing:
        # All of it, or another thread could begin the next period between, and take this one's number away.
        with self._lock:
            now = timezone.now().timestamp()
            self._sweep(now)
            for quota in pools.quotas:
                self._begin(quota, pools.tenant_id, now)
            rates = [self._rate(pool, now) for pool in pools.rates]
            quotas = [QuotaState(quota, self._used[quota.subject, period_name(quota, now)]) for quota in pools.quotas]
            is_over = any(rate.blocking is not None for rate in rates) or any(not state.left for state in quotas)
            if consume and not is_over:
                for pool in pools.rates:
                    window = self._uses.get(pool.subject)
                    times = deque[float]() if window is None else window.times
                    times.append(now)
                    self._uses[pool.subject] = _Window(pool.window_seconds, times)
                rates = [self._rate(pool, now, consumed=True) for pool in pools.rates]
                for quota in pools.quotas:
                    self._used[quota.subject, period_name(quota, now)] += 1
                quotas = [QuotaState(state.pool, state.used + 1) for state in quotas]
        return standing(rates, quotas, now, is_over=consume and is_over)

    def _rate(self, pool: RatePool, now: float, *, consumed: bool = False) -> RateState:
        window = self._uses.get(pool.subject)
        uses = None if window is None else window.times
        while uses and uses[0] <= now - pool.window_seconds:
            uses.popleft()
        if not uses:
            self._uses.pop(pool.subject, None)
            return RateState(pool, 0, None, None)
        is_over = len(uses) >= pool.limit and not consumed
        return RateState(pool, len(uses), uses[0], uses[len(uses) - pool.limit] if is_over else None)

    def _sweep(self, now: float) -> None:
        """Forgets windows that nobody looked at since they emptied, such as those of deleted keys."""
        if self._swept <= now < self._swept + SWEEP_EVERY_SECONDS:
            return
        self._swept = now
        self._uses = {
            subject: window for subject, window in self._uses.items() if window.times[-1] > now - window.seconds
        }

    def _begin(self, pool: QuotaPool, tenant_id: str, now: float) -> None:
        """Starts the period's count at what the database has; forgets that of the periods before."""
        name = period_name(pool, now)
        if (pool.subject, name) in self._used:
            return
        counted = counted_so_far(pool, tenant_id, now)
        for key in [key for key in self._used if key[0] == pool.subject and key[1][0] == name[0]]:
            del self._used[key]
        self._used[pool.subject, name] = counted
