"""Verification while the database or Redis is unavailable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from django.db import connection
from time_machine import travel

from apikeys import keyformat
from apikeys.models import ApiKey
from apikeys.tests.worker import Data, Worker, counts_away, database_away, queries
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    UNAVAILABLE,
    VALID,
    Verdict,
    VerificationRequest,
)
from core.epoch import LEASE_SECONDS
from tests.support.instances import free_port

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEVER_ISSUED = keyformat.generate("tenant_000000000000", "agent_000000000000")
A_DAY = {"limit": 100, "period": "day"}


class TestDatabaseUnavailable:
    def test_verdict_is_unavailable_until_the_database_answers(self, worker: Worker, data: Data) -> None:
        with database_away():
            assert worker.code(data.secret) == UNAVAILABLE
            assert worker.code(NEVER_ISSUED) == UNAVAILABLE, "not that it is unknown"
        assert worker.code(data.secret) == VALID

    def test_cached_verdict_is_served_until_the_lease_expires(self, worker: Worker, data: Data) -> None:
        worker.code(data.secret)

        with database_away():
            assert worker.code(data.secret) == VALID
            worker.clock.now += LEASE_SECONDS
            assert worker.code(data.secret) == UNAVAILABLE

    def test_database_is_not_queried_once_the_lease_is_lost(self, worker: Worker, data: Data) -> None:
        worker.code(data.secret)
        worker.lose()

        with queries(0):
            assert worker.code(data.secret) == UNAVAILABLE
            assert worker.code(NEVER_ISSUED) == UNAVAILABLE
            assert worker.engine.verify_cached(VerificationRequest(data.secret)) == Verdict(UNAVAILABLE)
        worker.renew()
        assert worker.code(data.secret) == VALID

    @pytest.mark.parametrize("method", ["verify_all", "verify_cached"])
    def test_last_verdict_is_served_as_stale_within_the_setting(
        self, worker: Worker, data: Data, settings: Any, method: str
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(data.secret)

        def verdict() -> Verdict | None:
            request = VerificationRequest(data.secret)
            return (
                worker.engine.verify_cached(request)
                if method == "verify_cached"
                else worker.engine.verify_all([request])[0]
            )

        worker.lose(59.9)
        assert verdict() == fresh._replace(stale=True)
        worker.clock.now += 0.1
        assert verdict() == Verdict(UNAVAILABLE)

    def test_last_verdict_is_served_as_stale_when_a_query_fails(
        self, worker: Worker, data: Data, settings: Any
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(data.secret)
        worker.clock.now += LEASE_SECONDS

        with database_away():
            assert worker.engine.verify(data.secret) == fresh._replace(stale=True)

    def test_stale_verdict_checks_expiry_and_address_as_of_now(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        data.change(expires_at=NOON, allowed_networks=["10.0.0.0/8"])
        worker.renew()
        inside = ip_address("10.0.0.1")
        worker.code(data.secret)
        worker.lose()

        with travel(NOON - timedelta(seconds=1), tick=False):
            assert worker.engine.verify(data.secret, inside)[0::3] == (VALID, True)
            assert worker.engine.verify(data.secret)[0::3] == (ADDRESS_NOT_ALLOWED, True)
        with travel(NOON, tick=False):
            assert worker.engine.verify(data.secret, inside)[0::3] == (EXPIRED, True)

    def test_key_that_was_never_cached_has_no_stale_verdict(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(NEVER_ISSUED)
        worker.lose()

        assert worker.code(data.secret) == UNAVAILABLE
        assert worker.code(NEVER_ISSUED) == UNAVAILABLE, "it may have been issued since"

    def test_uses_are_written_when_the_database_is_back(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(data.secret)
        worker.lose()

        worker.code(data.secret, use=True)
        worker.engine.verify_cached(VerificationRequest(data.secret, use=True))

        assert worker.uses() == 2

    def test_quota_that_cannot_start_fails_as_the_setting_says(self, worker: Worker, data: Data, settings: Any) -> None:
        """The quota starts at what the database has counted."""
        data.change(quota=A_DAY)
        worker.renew()
        with counts_away():
            assert worker.code(data.secret, use=True) == UNAVAILABLE
            settings.LIMITS_FAIL_OPEN = True
            assert worker.code(data.secret, use=True) == VALID
        assert worker.code(data.secret, use=True) == VALID


class TestVerifyStale:
    """`verify_stale` is for requests that have timed out."""

    @pytest.fixture
    def limited(self, data: Data) -> str:
        return data.another(quota=A_DAY)

    def test_verdict_is_not_stale_under_a_valid_lease(self, worker: Worker, data: Data) -> None:
        fresh = worker.engine.verify(data.secret)

        assert worker.engine.verify_stale(VerificationRequest(data.secret, use=True)) == fresh

    def test_verdict_is_stale_within_the_setting(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(data.secret)

        worker.lose(59.9)
        assert worker.engine.verify_stale(VerificationRequest(data.secret)) == fresh._replace(stale=True)
        worker.clock.now += 0.1
        assert worker.engine.verify_stale(VerificationRequest(data.secret)) == Verdict(UNAVAILABLE)

    def test_verdict_is_unavailable_where_the_setting_is_zero(self, worker: Worker, data: Data) -> None:
        worker.code(data.secret)
        worker.clock.now += LEASE_SECONDS

        assert worker.engine.verify_stale(VerificationRequest(data.secret)) == Verdict(UNAVAILABLE)

    @pytest.mark.parametrize("lease", ["good", "over"])
    def test_use_of_key_with_limits_follows_limits_fail(
        self, worker: Worker, limited: str, settings: Any, lease: str
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(limited)
        worker.lose(0 if lease == "over" else -LEASE_SECONDS)
        used, asked = VerificationRequest(limited, use=True), VerificationRequest(limited)

        assert worker.engine.verify_stale(used) == Verdict(UNAVAILABLE)
        assert worker.engine.verify_stale(asked).code == VALID
        settings.LIMITS_FAIL_OPEN = True
        found = worker.engine.verify_stale(used)
        assert (found.code, found.limit_status.quota, found.stale) == (VALID, None, lease == "over")

    def test_invalid_key_is_rejected_whatever_its_limits(self, worker: Worker, data: Data) -> None:
        data.change(quota=A_DAY, status="disabled")
        worker.renew()
        worker.code(data.secret)

        assert worker.engine.verify_stale(VerificationRequest(data.secret, use=True)).code == DISABLED

    def test_stale_verdict_takes_no_query_and_counts_nothing(
        self, worker: Worker, data: Data, limited: str, settings: Any
    ) -> None:
        settings.LIMITS_FAIL_OPEN = True
        worker.engine.verify_all([VerificationRequest(data.secret), VerificationRequest(limited)])

        with queries(0):
            for secret in (data.secret, limited, NEVER_ISSUED):
                worker.engine.verify_stale(VerificationRequest(secret, use=True))

        assert worker.uses() == 0
        quota = worker.engine.verify(limited).limit_status.quota
        assert quota is not None
        assert quota.remaining == A_DAY["limit"]


@pytest.mark.django_db(transaction=True)
class TestBrokenConnections:
    """A connection that broke while it was idle says nothing about the database."""

    def test_query_is_repeated_once_on_a_new_connection(self, data: Data, worker: Worker) -> None:
        connection.ensure_connection()
        before = connection.connection

        with database_away(times=1) as refused:
            assert worker.code(data.secret) == VALID

        assert len(refused) == 1
        assert connection.connection is not before

    def test_query_is_not_repeated_twice(self, data: Data, worker: Worker) -> None:
        with database_away() as refused:
            assert worker.code(data.secret) == UNAVAILABLE

        assert len(refused) == 2
        assert connection.connection is None, "the next one begins afresh"
        assert worker.code(data.secret) == VALID

    @pytest.mark.needs_mariadb
    def test_connection_closed_by_the_server_is_replaced(self, data: Data, worker: Worker) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            (number,) = cursor.fetchone()
        killer = connection.copy()
        with killer.cursor() as cursor:
            cursor.execute(f"KILL {number}")
        killer.close()

        assert worker.code(data.secret) == VALID


class TestLimiterUnavailable:
    """Redis is configured and does not answer."""

    @pytest.fixture(autouse=True)
    def _no_redis(self, settings: Any) -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    @pytest.fixture
    def limited(self, data: Data) -> str:
        return data.another(rate_limit={"limit": 1, "window_seconds": 60})

    def test_key_without_limits_is_valid(self, worker: Worker, data: Data, limited: str) -> None:
        verdicts = worker.engine.verify_all(
            [VerificationRequest(limited, use=True), VerificationRequest(data.secret, use=True)]
        )

        assert [verdict.code for verdict in verdicts] == [UNAVAILABLE, VALID]
        assert worker.uses() == 1

    def test_limited_key_is_unavailable_when_limits_fail_closed(self, worker: Worker, limited: str) -> None:
        assert worker.code(limited, use=True) == UNAVAILABLE
        assert worker.uses() == 0

    def test_limited_key_is_valid_and_counted_when_limits_fail_open(
        self, worker: Worker, limited: str, settings: Any
    ) -> None:
        settings.LIMITS_FAIL_OPEN = True

        verdicts = [worker.engine.verify(limited, use=True) for _ in range(3)]

        assert [(verdict.code, verdict.limit_status.rate_limit) for verdict in verdicts] == [(VALID, None)] * 3
        assert worker.uses() == 3

    def test_request_without_a_use_is_answered_without_limits(self, worker: Worker, limited: str) -> None:
        verdict = worker.engine.verify(limited)

        assert (verdict.code, verdict.limit_status.rate_limit) == (VALID, None)

    def test_disabled_key_with_limits_is_rejected(self, worker: Worker, data: Data, limited: str) -> None:
        ApiKey.unscoped.update(status="disabled")

        assert worker.code(limited, use=True) == DISABLED
