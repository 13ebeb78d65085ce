"""The interface of limiters, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple, Protocol

from apikeys import usage
from apikeys.verification.verdicts import Limits, LimitStatus, NearQuota, Quota, RateLimit, Remaining
from core.db import from_primary

# Shares of a quota that its tenant is told when they are used, the greatest first.
TOLD_PERCENT = (100, 80)


class LimiterUnavailable(Exception):
    """Limits cannot be counted at this moment."""


class Use(NamedTuple):
    """A use to count against limits. Without `consume` only their state is requested."""

    limits: Limits
    consume: bool


class Limiter(Protocol):
    """A counter of uses against limits."""

    def take(self, uses: Sequence[Use]) -> list[LimitStatus]:
        """Consume uses one after the other, and return the state of the limits after each.

        A use that would exceed a limit is not consumed. Raise LimiterUnavailable, possibly after consuming some.
        """


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """A rate limit's window: the number of uses in it, the oldest, and the one that must leave before the next use.

    Times are in seconds. They are None where there is no such use.
    """

    rate_limit: RateLimit
    used: int
    oldest: float | None
    blocking: float | None

    @property
    def remaining(self) -> int:
        return max(0, self.rate_limit.limit - self.used)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota's period: the number of uses in it."""

    quota: Quota
    used: int

    @property
    def remaining(self) -> int:
        return max(0, self.quota.limit - self.used)


def limit_status(
    rate_limits: Sequence[RateLimitState], quotas: Sequence[QuotaState], now: float, *, is_exceeded: bool
) -> LimitStatus:
    """Return the strictest limit of each kind, and the time until none is exceeded."""
    moment = datetime.fromtimestamp(now, UTC)
    rate_limit = min(rate_limits, key=attrgetter("remaining"), default=None)
    quota = min(quotas, key=attrgetter("remaining"), default=None)
    waits = [
        state.blocking + state.rate_limit.window_seconds - now for state in rate_limits if state.blocking is not None
    ]
    for state in quotas:
        if not state.remaining:
            end = state.quota.period.end(moment)
            waits.append(math.inf if end is None else end.timestamp() - now)
    longest = max(waits, default=0.0)
    return LimitStatus(
        rate_limit=None
        if rate_limit is None
        else Remaining(rate_limit.rate_limit.limit, rate_limit.remaining, _reset(rate_limit)),
        quota=None if quota is None else Remaining(quota.quota.limit, quota.remaining, quota.quota.period.end(moment)),
        is_exceeded=is_exceeded,
        retry_after=max(1, math.ceil(longest)) if is_exceeded and not math.isinf(longest) else None,
        near=_near_quotas(quotas, now),
    )


def _near_quotas(quotas: Sequence[QuotaState], now: float) -> tuple[NearQuota, ...]:
    """Return the quotas of which a share that is told is used."""
    return tuple(
        NearQuota(state.quota, period_name(state.quota, now), percent)
        for state in quotas
        if (percent := next((share for share in TOLD_PERCENT if state.used * 100 >= share * state.quota.limit), 0))
    )


def _reset(state: RateLimitState) -> datetime | None:
    leaving = state.oldest if state.blocking is None else state.blocking
    return (
        None if leaving is None else datetime.fromtimestamp(math.ceil(leaving + state.rate_limit.window_seconds), UTC)
    )


def period_name(quota: Quota, now: float) -> str:
    """Return a name of the quota's period around a Unix time, for use in a key."""
    start = quota.period.start(datetime.fromtimestamp(now, UTC))
    return "all" if start is None else f"{quota.period.value}-{start:%Y%m%d}"


def counted_so_far(quota: Quota, tenant_id: str, now: float) -> int:
    """Return the uses that the database has counted in the quota's period. Raise database errors."""
    start = quota.period.start(datetime.fromtimestamp(now, UTC))
    return from_primary(usage.total_since)(quota.subject, tenant_id, None if start is None else start.date())
