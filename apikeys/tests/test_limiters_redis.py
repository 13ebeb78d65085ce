"""The limiter in Redis: by Redis' clock, over all workers, and while it is unavailable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client
from time_machine import travel

from apikeys.models import DailyUse
from apikeys.tests.facts import StoppedClock
from apikeys.tests.limiting import (
    MINUTE,
    Stored,
    break_connection,
    fresh,
    in_threads,
    left,
    limits,
    passes,
    quota,
    rate,
    redis_limiter,
    silent_server,
    take,
)
from apikeys.verification.limits import LimiterUnavailable, RedisLimiter, Use
from apikeys.verification.limits import redis as redis_limits
from apikeys.verification.verdicts import Quota, RateLimit
from core import redis as connections
from core.limits import Period
from tests.support.failover import RedisPair, redis_pair
from tests.support.instances import Redis, free_port, wait_until

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def limiter() -> RedisLimiter:
    return redis_limiter()


@pytest.mark.needs_redis
class TestRedis:
    def test_retry_after_and_reset_follow_the_oldest_use(self, limiter: RedisLimiter) -> None:
        limit = rate(1, window_seconds=MINUTE)
        before = datetime.now(UTC)

        first, second = take(limiter, limit), take(limiter, limit)

        assert (first.retry_after, second.retry_after) in {(None, MINUTE), (None, MINUTE - 1)}
        assert first.rate_limit is not None
        assert first.rate_limit.reset is not None
        assert timedelta(0) <= first.rate_limit.reset - before - timedelta(seconds=MINUTE) < timedelta(seconds=3)

    def test_every_window_has_exactly_the_limit(self, limiter: RedisLimiter) -> None:
        """By Redis' clock: no use passes beyond the limit, and none is rejected below it."""
        limit = rate(5, window_seconds=1)
        passed: list[tuple[float, float]] = []
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            sent = time.monotonic()
            is_exceeded = take(limiter, limit).is_exceeded
            answered = time.monotonic()
            surely_in = sum(answered - before < 1 for before, _after in passed)
            maybe_in = sum(sent - after < 1 for _before, after in passed)
            if is_exceeded:
                assert maybe_in >= 5, "refused though there was room"
            else:
                assert surely_in < 5, "let through though there was none"
                passed.append((sent, answered))
            time.sleep(0.003)
        assert 10 <= len(passed) <= 15

    def test_retry_after_a_lowered_limit_waits_for_enough_uses_to_leave(self, limiter: RedisLimiter) -> None:
        subject = fresh()
        take(limiter, rate(5, subject=subject))
        Stored(limiter, subject).add_an_older_use(seconds=30)

        status = take(limiter, rate(1, subject=subject))

        assert status.retry_after in (MINUTE, MINUTE - 1)
        assert status.rate_limit is not None
        assert status.rate_limit.reset is not None
        assert (status.rate_limit.reset - datetime.now(UTC)).total_seconds() > MINUTE - 10

    def test_full_window_empties_in_time_after_the_clock_was_set_back(self, limiter: RedisLimiter) -> None:
        subject = fresh()
        limit = rate(2, window_seconds=2, subject=subject)
        passes(limiter, limit, of=2)
        stored = Stored(limiter, subject)
        stored.shift(seconds=3600)

        refused = take(limiter, limit)

        assert refused.is_exceeded
        assert refused.retry_after in (1, 2)
        assert stored.seconds_left()[0] in (1, 2)
        wait_until(lambda: not take(limiter, limit).is_exceeded, "the window empties", 5)

    def test_workers_share_limits(self) -> None:
        limit, day = rate(20), quota(30)
        workers = [redis_limiter() for _ in range(4)]

        passed = in_threads(4, lambda: passes(workers.pop(), limit, day, of=20))

        assert sum(passed) == 20

    def test_keys_expire_with_their_window_and_period(self, limiter: RedisLimiter) -> None:
        subject = fresh()
        take(limiter, rate(5, MINUTE, subject), quota(5, Period.DAY, subject), quota(5, Period.TOTAL, fresh()))

        of_a_window, of_a_day = Stored(limiter, subject).seconds_left()
        assert of_a_window in (MINUTE, MINUTE - 1)
        assert 86_400 < of_a_day <= 2 * 86_400 + 1

    def test_script_that_redis_lost_is_loaded_again(self, limiter: RedisLimiter) -> None:
        limit = rate(3)
        take(limiter, limit)
        limiter._redis.script_flush()

        statuses = limiter.take([Use(limits(limit), True)] * 3)

        assert [left(status) for status in statuses] == [(1, None), (0, None), (0, None)]
        assert statuses[-1].is_exceeded

    def test_broken_idle_connection_is_replaced(self, limiter: RedisLimiter) -> None:
        limit = rate(3)
        take(limiter, limit)
        break_connection(limiter)

        assert left(take(limiter, limit)) == (1, None)

    def test_lost_quota_starts_again_at_what_the_database_has_counted(self, limiter: RedisLimiter) -> None:
        limit = quota(10)
        with travel(NOON, tick=False):
            passes(limiter, limit, of=4)
            DailyUse.unscoped.create(subject=limit.subject, day=NOON.date(), tenant_id="tenant_1", uses=4)
            Stored(limiter, limit.subject).lose()

            assert left(take(limiter, limit)) == (None, 5)


class TestRedisUnavailable:
    @pytest.fixture
    def stopped_clock(self, monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
        clock = StoppedClock()
        monkeypatch.setattr(redis_limits, "time", clock)
        return clock

    def test_limiter_is_unavailable(self) -> None:
        limiter = RedisLimiter(f"redis://127.0.0.1:{free_port()}/0")

        with pytest.raises(LimiterUnavailable):
            take(limiter, rate(1))

    def test_redis_is_not_tried_again_within_a_second(self, stopped_clock: StoppedClock) -> None:
        with silent_server() as (port, connections):
            limiter = RedisLimiter(f"redis://127.0.0.1:{port}/0")
            for moment, tried in ((0.0, 1), (0.5, 1), (0.999, 1), (1.0, 2), (1.5, 2), (2.0, 3)):
                stopped_clock.now = 1000 + moment
                with pytest.raises(LimiterUnavailable):
                    take(limiter, rate(1))
                wait_until(lambda: len(connections) >= tried, "a connection")  # noqa: B023  # awaited in this round
                assert len(connections) == tried, moment

    def test_silent_redis_blocks_only_briefly(self) -> None:
        with silent_server() as (port, _connections):
            limiter = RedisLimiter(f"redis://127.0.0.1:{port}/0")
            began = time.monotonic()

            with pytest.raises(LimiterUnavailable):
                take(limiter, rate(1))

            assert time.monotonic() - began < 4 * redis_limits.TIMEOUT_SECONDS

    @pytest.mark.skipif(bool(Redis.missing()), reason="no redis-server")
    def test_limiter_recovers_by_itself(self, tmp_path: Path, stopped_clock: StoppedClock) -> None:
        redis = Redis(tmp_path)
        redis.start()
        try:
            limiter, limit = RedisLimiter(redis.url), rate(5)
            take(limiter, limit)
            redis.kill()
            with pytest.raises(LimiterUnavailable):
                take(limiter, limit)
            redis.start()
            with pytest.raises(LimiterUnavailable):
                take(limiter, limit)
            stopped_clock.now += redis_limits.RETRY_SECONDS

            assert left(take(limiter, limit)) == (4, None)
        finally:
            redis.stop()


@pytest.mark.skipif(bool(Redis.missing()), reason="no redis-server")
@pytest.mark.embedded
class TestFailover:
    """The server that a limiter is connected to becomes a replica of another, which takes over."""

    @pytest.fixture
    def pair(self) -> Iterator[RedisPair]:
        with redis_pair() as pair:
            yield pair

    @pytest.fixture
    def limiters(self, pair: RedisPair) -> Iterator[list[RedisLimiter]]:
        limiters = [RedisLimiter(pair.url) for _ in range(2)]
        yield limiters
        for limiter in limiters:
            limiter._redis.close()

    @pytest.fixture
    def limiter(self, limiters: list[RedisLimiter]) -> RedisLimiter:
        return limiters[0]

    @pytest.mark.parametrize("consume", [True, False])
    def test_replica_is_not_used(self, pair: RedisPair, limiter: RedisLimiter, consume: bool) -> None:
        limit = rate(5)
        take(limiter, limit)
        pair.swap()

        with pytest.raises(LimiterUnavailable):
            take(limiter, limit, consume=consume)

    @pytest.mark.parametrize("limit", [rate(9), quota(9)])
    @pytest.mark.parametrize("consume", [True, False])
    def test_use_refused_by_a_replica_is_taken_to_the_primary(
        self, pair: RedisPair, limiter: RedisLimiter, limit: RateLimit | Quota, consume: bool
    ) -> None:
        statuses = limiter.take([Use(limits(limit), True)] * 3)
        pair.swap()
        pair.follow()

        statuses += limiter.take([Use(limits(limit), consume)] * 2)

        assert [max(left(each), key=lambda number: number or 0) for each in statuses] == (
            [8, 7, 6, 5, 4] if consume else [8, 7, 6, 6, 6]
        )

    def test_every_connection_pool_of_the_process_reconnects(
        self, pair: RedisPair, limiters: list[RedisLimiter]
    ) -> None:
        limit = rate(9)
        for limiter in limiters:
            take(limiter, limit)
        pair.swap()
        pair.follow()

        assert [left(take(limiter, limit))[0] for limiter in limiters] == [6, 5]

        assert refused_by(pair.replica) == 1

    def test_connection_is_replaced_at_its_maximum_age(
        self, pair: RedisPair, limiter: RedisLimiter, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        """A proxy has switched to another primary since, although the old one still takes writes."""
        stopped = StoppedClock()
        monkeypatch.setattr(connections, "time", stopped)
        limit = rate(9)
        take(limiter, limit)
        with Client(host="127.0.0.1", port=pair.primary.port) as client:
            client.set("after the use", 1)
            assert client.wait(1, 10_000) == 1, "the replica has the use, too"
        pair.switch.target = pair.replica.port
        pair.cut_off()

        stopped.now += settings.CONNECTION_MAX_AGE_SECONDS - 0.001
        assert left(take(limiter, limit)) == (7, None)
        stopped.now += 0.001
        assert left(take(limiter, limit)) == (7, None)


def refused_by(redis: Redis) -> int:
    """Return how many writes a server refused because it is a replica."""
    with Client(host="127.0.0.1", port=redis.port) as client:
        number: int = client.info("errorstats").get("errorstat_READONLY", {}).get("count", 0)
        return number
