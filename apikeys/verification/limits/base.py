"""What a limiter is asked and says: uses, and how things stand after them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple, Protocol

from apikeys import usage
from apikeys.verification.verdicts import Pools, QuotaPool, RatePool, Room, Standing
from core.db import from_primary


class LimiterUnavailable(Exception):
    """Limits cannot be counted at this moment."""


class Use(NamedTuple):
    """A use to count against pools; without `consume`, only how things stand is asked."""

    pools: Pools
    consume: bool


class Limiter(Protocol):
    """Counts uses against limits."""

    def take(self, uses: Sequence[Use]) -> list[Standing]:
        """How things stand after each use, one after the other; what would be over is not consumed.

        Raises LimitsAway, and then some may have been consumed.
        """


@dataclass(frozen=True, slots=True)
class RateState:
    """A rate limit's window: how many uses are in it, the oldest of them, and the one that must leave first
    before there is room. Times are in seconds; None where there is none."""

    pool: RatePool
    used: int
    oldest: float | None
    blocking: float | None

    @property
    def left(self) -> int:
        """How many more uses there is room for."""
        return max(0, self.pool.limit - self.used)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota's period: how many uses are in it."""

    pool: QuotaPool
    used: int

    @property
    def left(self) -> int:
        """How many more uses there is room for."""
        return max(0, self.pool.limit - self.used)


def standing(rates: Sequence[RateState], quotas: Sequence[QuotaState], now: float, *, is_over: bool) -> Standing:
    """The strictest of each kind, and how long until none is over."""
    moment = datetime.fromtimestamp(now, UTC)
    rate = min(rates, key=attrgetter("left"), default=None)
    quota = min(quotas, key=attrgetter("left"), default=None)
    waits = [state.blocking + state.pool.window_seconds - now for state in rates if state.blocking is not None]
    for state in quotas:
        if not state.left:
            end = state.pool.period.end(moment)
            waits.append(math.inf if end is None else end.timestamp() - now)
    longest = max(waits, default=0.0)
    return Standing(
        rate_limit=None if rate is None else Room(rate.pool.limit, rate.left, _reset(rate)),
        quota=None if quota is None else Room(quota.pool.limit, quota.left, quota.pool.period.end(moment)),
        is_over=is_over,
        retry_after=max(1, math.ceil(longest)) if is_over and not math.isinf(longest) else None,
    )


def _reset(rate: RateState) -> datetime | None:
    leaving = rate.oldest if rate.blocking is None else rate.blocking
    return None if leaving is None else datetime.fromtimestamp(math.ceil(leaving + rate.pool.window_seconds), UTC)


def period_name(pool: QuotaPool, now: float) -> str:
    """The quota's period around a Unix time, as a part of a key."""
    start = pool.period.start(datetime.fromtimestamp(now, UTC))
    return "all" if start is None else f"{pool.period.value}-{start:%Y%m%d}"


def counted_so_far(pool: QuotaPool, tenant_id: str, now: float) -> int:
    """What the database has counted in the quota's period; raises a database error."""
    start = pool.period.start(datetime.fromtimestamp(now, UTC))
    return from_primary(usage.total_since)(pool.subject, tenant_id, None if start is None else start.date())
