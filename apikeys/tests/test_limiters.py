"""Rate limits and quotas: exact, all or nothing, and the same in memory and in Redis."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from time_machine import travel

from apikeys.models import DailyUse
from apikeys.tests.limiting import (
    MINUTE,
    fresh,
    in_threads,
    later,
    left,
    limits,
    passes,
    quota,
    rate,
    redis_limiter,
    take,
)
from apikeys.verification.limits import InMemoryLimiter, Limiter, Use
from apikeys.verification.verdicts import RateLimit
from core.limits import Period
from tests.support.instances import WAIT

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.needs_redis)])
def limiter(request: pytest.FixtureRequest) -> Limiter:
    """Each limiter in turn."""
    return InMemoryLimiter() if request.param == "local" else redis_limiter()


class TestRateLimits:
    def test_uses_pass_up_to_the_limit(self, limiter: Limiter) -> None:
        limit = rate(3)

        statuses = [take(limiter, limit) for _ in range(5)]

        assert [status.is_exceeded for status in statuses] == [False] * 3 + [True] * 2
        assert [left(status) for status in statuses] == [(2, None), (1, None), (0, None), (0, None), (0, None)]
        assert all(status.rate_limit and status.rate_limit.limit == 3 for status in statuses)

    def test_each_subject_has_its_own_limit(self, limiter: Limiter) -> None:
        one, two = rate(2), rate(2)

        assert passes(limiter, one, of=5) == 2
        assert passes(limiter, two, of=5) == 2

    def test_request_for_the_status_consumes_nothing(self, limiter: Limiter) -> None:
        limit = rate(2)

        asked = [take(limiter, limit, consume=False) for _ in range(5)]

        assert [left(status) for status in asked] == [(2, None)] * 5
        assert asked[0].rate_limit is not None
        assert asked[0].rate_limit.reset is None, "there is nothing to wait for"
        assert passes(limiter, limit, of=5) == 2

    def test_request_for_the_status_never_exceeds_the_limit(self, limiter: Limiter) -> None:
        limit = rate(1)
        take(limiter, limit)

        status = take(limiter, limit, consume=False)

        assert (status.is_exceeded, status.retry_after, left(status)) == (False, None, (0, None))

    def test_rejected_use_is_not_counted(self, limiter: Limiter) -> None:
        """Otherwise a client that keeps trying would be rejected for ever."""
        limit = rate(1, window_seconds=1)
        take(limiter, limit)
        with later(limiter, seconds=0.6):
            assert take(limiter, limit).is_exceeded
        with later(limiter, seconds=1.1):
            assert not take(limiter, limit).is_exceeded

    def test_lowered_limit_takes_effect_at_once(self, limiter: Limiter) -> None:
        subject = fresh()
        assert passes(limiter, rate(10, subject=subject), of=8) == 8

        status = take(limiter, rate(3, subject=subject))

        assert (status.is_exceeded, left(status)) == (True, (0, None))
        assert take(limiter, rate(10, subject=subject)).is_exceeded is False

    def test_raised_limit_takes_effect_at_once(self, limiter: Limiter) -> None:
        subject = fresh()
        assert passes(limiter, rate(2, subject=subject), of=5) == 2

        assert passes(limiter, rate(5, subject=subject), of=5) == 3

    def test_retry_after_a_lowered_limit_waits_for_enough_uses_to_leave(self) -> None:
        limiter, subject = InMemoryLimiter(), fresh()
        for second in range(5):
            with travel(NOON + timedelta(seconds=second), tick=False):
                take(limiter, rate(5, subject=subject))

        with travel(NOON + timedelta(seconds=10), tick=False):
            status = take(limiter, rate(2, subject=subject))
        # The fourth of the five, of 3 s after noon, is to leave first.
        assert status.retry_after == MINUTE + 3 - 10
        assert status.rate_limit is not None
        assert status.rate_limit.reset == NOON + timedelta(seconds=MINUTE + 3)

        with travel(NOON + timedelta(seconds=MINUTE + 2.9), tick=False):
            assert take(limiter, rate(2, subject=subject)).is_exceeded
        with travel(NOON + timedelta(seconds=MINUTE + 3), tick=False):
            assert not take(limiter, rate(2, subject=subject)).is_exceeded

    def test_retry_after_and_reset_follow_the_oldest_use(self) -> None:
        limiter, limit = InMemoryLimiter(), rate(2)
        for seconds in (0.0, 10.5):
            with travel(NOON + timedelta(seconds=seconds), tick=False):
                status = take(limiter, limit)
                assert status.retry_after is None
                assert status.rate_limit is not None
                assert status.rate_limit.reset == NOON + timedelta(seconds=MINUTE)

        for seconds, retry_after in ((10.5, 50), (59.001, 1), (59.999, 1)):
            with travel(NOON + timedelta(seconds=seconds), tick=False):
                assert take(limiter, limit).retry_after == retry_after
        with travel(NOON + timedelta(seconds=MINUTE), tick=False):
            status = take(limiter, limit)
            assert (status.is_exceeded, left(status)) == (False, (0, None))
            assert status.rate_limit is not None
            assert status.rate_limit.reset == NOON + timedelta(seconds=71), "in whole seconds, and not too early"


class TestSeveralLimits:
    def test_use_consumes_all_limits_or_none(self, limiter: Limiter) -> None:
        narrow, wide, day = rate(1), rate(10), quota(10)

        assert passes(limiter, narrow, wide, day, of=5) == 1

        assert left(take(limiter, wide, consume=False)) == (9, None)
        assert left(take(limiter, day, consume=False)) == (None, 9)

    def test_used_up_quota_consumes_no_rate_limit(self, limiter: Limiter) -> None:
        wide, day = rate(10), quota(1)

        assert passes(limiter, wide, day, of=5) == 1

        assert left(take(limiter, wide, consume=False)) == (9, None)

    def test_status_shows_the_strictest_limit_of_each_kind(self, limiter: Limiter) -> None:
        key, agent, tenant = rate(5), rate(3), rate(4)
        day, month = quota(9, Period.DAY), quota(8, Period.MONTH)

        status = take(limiter, key, agent, tenant, day, month)

        assert left(status) == (2, 7)
        assert status.rate_limit is not None
        assert status.quota is not None
        assert (status.rate_limit.limit, status.quota.limit) == (3, 8)

    def test_keys_of_one_agent_share_its_limit(self, limiter: Limiter) -> None:
        agent, one, two = rate(3, subject=fresh("agent")), rate(2), rate(2)

        assert passes(limiter, one, agent, of=5) == 2
        assert passes(limiter, two, agent, of=5) == 1

        assert left(take(limiter, two, consume=False)) == (1, None), "what the agent refused, the key did not use"

    def test_retry_after_is_that_of_the_longest_wait(self) -> None:
        limiter, minute, ten_minutes = InMemoryLimiter(), rate(1, MINUTE), rate(1, 600)
        with travel(NOON, tick=False):
            take(limiter, minute)
            take(limiter, ten_minutes)

        with travel(NOON + timedelta(seconds=30), tick=False):
            assert take(limiter, minute, ten_minutes).retry_after == 570
            assert take(limiter, minute, rate(5)).retry_after == 30

    def test_several_uses_are_taken_in_order(self, limiter: Limiter) -> None:
        limit, other = limits(rate(2), quota(5)), limits(rate(1))
        uses = [
            Use(limit, True),
            Use(other, True),
            Use(limit, False),
            Use(limit, True),
            Use(limit, True),
            Use(other, True),
        ]

        statuses = limiter.take(uses)

        assert [status.is_exceeded for status in statuses] == [False, False, False, False, True, True]
        assert [left(status) for status in statuses] == [(1, 4), (0, None), (1, 4), (0, 3), (0, 3), (0, None)]

    def test_no_uses_have_no_statuses(self, limiter: Limiter) -> None:
        assert limiter.take([]) == []


class TestQuotas:
    def test_uses_pass_up_to_the_limit(self, limiter: Limiter) -> None:
        day = quota(3)

        statuses = [take(limiter, day) for _ in range(5)]

        assert [status.is_exceeded for status in statuses] == [False] * 3 + [True] * 2
        assert [left(status)[1] for status in statuses] == [2, 1, 0, 0, 0]

    @pytest.mark.parametrize(
        ("period", "moment", "refill"),
        [
            (Period.DAY, NOON, datetime(2026, 2, 1, tzinfo=UTC)),
            (Period.MONTH, NOON, datetime(2026, 2, 1, tzinfo=UTC)),
            (Period.MONTH, datetime(2027, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)),
            (Period.DAY, datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)),
        ],
    )
    def test_quota_refills_when_the_next_period_begins(
        self, limiter: Limiter, period: Period, moment: datetime, refill: datetime
    ) -> None:
        limit = quota(2, period)
        with travel(moment, tick=False):
            assert passes(limiter, limit, of=5) == 2
        with travel(refill - timedelta(microseconds=1), tick=False):
            assert take(limiter, limit).is_exceeded
        with travel(refill, tick=False):
            assert passes(limiter, limit, of=5) == 2

    def test_total_quota_never_refills(self, limiter: Limiter) -> None:
        limit = quota(2, Period.TOTAL)
        with travel(NOON, tick=False):
            assert passes(limiter, limit, of=5) == 2
        with travel(NOON + timedelta(days=365), tick=False):
            status = take(limiter, limit)

        assert (status.is_exceeded, status.retry_after) == (True, None), "to wait does not help"
        assert status.quota is not None
        assert status.quota.reset is None

    def test_retry_after_and_reset_are_the_end_of_the_period(self) -> None:
        limiter, day = InMemoryLimiter(), quota(1)
        with travel(NOON, tick=False):
            first, second = take(limiter, day), take(limiter, day)

        midnight = datetime(2026, 2, 1, tzinfo=UTC)
        assert first.quota is not None
        assert second.quota is not None
        assert (first.quota.reset, second.quota.reset) == (midnight, midnight)
        assert (first.retry_after, second.retry_after) == (None, 12 * 3600)

    def test_used_up_total_quota_has_no_retry_after(self) -> None:
        limiter, minute, total = InMemoryLimiter(), rate(1), quota(1, Period.TOTAL)

        assert passes(limiter, minute, total, of=2) == 1
        assert take(limiter, minute, total).retry_after is None

    @pytest.mark.parametrize(
        ("period", "counted"),
        [(Period.DAY, 3), (Period.MONTH, 3 + 20), (Period.TOTAL, 3 + 20 + 100)],
    )
    def test_quota_starts_at_what_the_database_has_counted(
        self, limiter: Limiter, period: Period, counted: int
    ) -> None:
        limit = quota(1000, period)
        for day, uses in ((NOON, 3), (NOON.replace(day=1), 20), (NOON - timedelta(days=31), 100)):
            DailyUse.unscoped.create(subject=limit.subject, day=day.date(), tenant_id="tenant_1", uses=uses)
        DailyUse.unscoped.create(subject=fresh(), day=NOON.date(), tenant_id="tenant_1", uses=5000)

        with travel(NOON, tick=False):
            assert left(take(limiter, limit, consume=False)) == (None, 1000 - counted)
            assert left(take(limiter, limit)) == (None, 1000 - counted - 1)

    def test_uses_written_later_are_not_counted_twice(self, limiter: Limiter) -> None:
        limit = quota(10)
        with travel(NOON, tick=False):
            take(limiter, limit)
            DailyUse.unscoped.create(subject=limit.subject, day=NOON.date(), tenant_id="tenant_1", uses=1)

            assert left(take(limiter, limit)) == (None, 8)

    def test_quota_lowered_below_its_uses_is_exceeded(self, limiter: Limiter) -> None:
        limit = quota(10)
        passes(limiter, limit, of=8)

        status = take(limiter, quota(5, subject=limit.subject))

        assert (status.is_exceeded, left(status)) == (True, (None, 0))

    def test_each_of_several_quotas_starts_by_itself(self, limiter: Limiter) -> None:
        key, agent = quota(10), quota(20, Period.MONTH)
        take(limiter, key)
        with travel(NOON, tick=False):
            for subject, uses in ((key.subject, 4), (agent.subject, 6)):
                DailyUse.unscoped.create(subject=subject, day=NOON.date(), tenant_id="tenant_1", uses=uses)

            assert left(take(limiter, agent, consume=False)) == (None, 14)
            assert left(take(limiter, key, agent)) == (None, 5)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_exactly_the_limit_passes_in_many_threads(self, limiter: Limiter) -> None:
        limits = (rate(30), quota(50), rate(40, subject=fresh("agent")))

        assert sum(in_threads(8, lambda: passes(limiter, *limits, of=20))) == 30

    def test_quota_starts_once_in_many_threads(self, limiter: Limiter) -> None:
        limit = quota(30)
        DailyUse.unscoped.create(subject=limit.subject, day=timezone.now().date(), tenant_id="tenant_1", uses=10)

        assert sum(in_threads(8, lambda: passes(limiter, limit, of=10))) == 20

    def test_period_may_begin_while_another_thread_is_in_the_previous_one(self) -> None:
        """The period ends between two steps of one use."""
        limiter, key, agent = InMemoryLimiter(), quota(5), quota(5)
        midnight = datetime(2026, 2, 1, tzinfo=UTC)
        with travel(midnight - timedelta(seconds=1), tick=False):
            take(limiter, key)
        others: list[threading.Thread] = []

        def midnight_passes(execute: Callable[..., Any], *arguments: Any) -> Any:
            if not others:
                clock.move_to(midnight)
                others.append(threading.Thread(target=other_use))
                others[0].start()
                others[0].join(0.3)
            return execute(*arguments)

        def other_use() -> None:
            try:
                take(limiter, key)
            finally:
                connection.close()

        with travel(midnight - timedelta(seconds=1), tick=False) as clock, connection.execute_wrapper(midnight_passes):
            status = take(limiter, key, agent)
            others[0].join(WAIT)

        assert not status.is_exceeded


TIMES = st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=60)


@given(steps=TIMES, limits=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 20)), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_every_window_has_exactly_the_limit(steps: list[tuple[int, bool]], limits: list[tuple[int, int]]) -> None:
    """Compare with the simplest way to count: keep the times of all uses, and count those in each window."""
    limiter = InMemoryLimiter()
    rates = [RateLimit(f"subject_{number}", limit, window) for number, (limit, window) in enumerate(limits)]
    passed: list[datetime] = []
    moment = NOON
    for tenths, consume in steps:
        moment += timedelta(seconds=tenths / 10)
        remaining = [
            pool.limit - sum(used > moment - timedelta(seconds=pool.window_seconds) for used in passed)
            for pool in rates
        ]
        with travel(moment, tick=False):
            status = take(limiter, *rates, consume=consume)
        assert status.is_exceeded == (consume and min(remaining) == 0)
        if consume and not status.is_exceeded:
            passed.append(moment)
            remaining = [left_over - 1 for left_over in remaining]
        assert status.rate_limit is not None
        assert status.rate_limit.remaining == min(remaining)
        if status.is_exceeded:
            assert status.retry_after is not None
            assert status.retry_after == max(1, math.ceil(seconds_until_room(rates, passed, moment)))


def seconds_until_room(rates: list[RateLimit], passed: list[datetime], moment: datetime) -> float:
    """Return the seconds until every window has room at once."""
    leaving = sorted({used + timedelta(seconds=pool.window_seconds) for pool in rates for used in passed})
    return next(
        (then - moment).total_seconds()
        for then in leaving
        if then > moment
        and all(
            sum(used > then - timedelta(seconds=pool.window_seconds) for used in passed) < pool.limit for pool in rates
        )
    )
