"""What the judge says when nobody can tell: the database or Redis is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from django.db import connection
from time_machine import travel

from apikeys import keyformat
from apikeys.models import ApiKey
from apikeys.tests.worker import Scene, Worker, counts_away, database_away, queries
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


class TestDatabaseAway:
    def test_nobody_can_tell(self, worker: Worker, scene: Scene) -> None:
        with database_away():
            assert worker.code(scene.secret) == UNAVAILABLE
            assert worker.code(NEVER_ISSUED) == UNAVAILABLE, "not that it is unknown"
        assert worker.code(scene.secret) == VALID

    def test_what_is_remembered_is_told_as_long_as_the_lease_is_good(self, worker: Worker, scene: Scene) -> None:
        worker.code(scene.secret)

        with database_away():
            assert worker.code(scene.secret) == VALID
            worker.clock.now += LEASE_SECONDS
            assert worker.code(scene.secret) == UNAVAILABLE

    def test_it_is_not_asked_any_more_once_the_lease_is_lost(self, worker: Worker, scene: Scene) -> None:
        worker.code(scene.secret)
        worker.lose()

        with queries(0):
            assert worker.code(scene.secret) == UNAVAILABLE
            assert worker.code(NEVER_ISSUED) == UNAVAILABLE
            assert worker.engine.verify_cached(VerificationRequest(scene.secret)) == Verdict(UNAVAILABLE)
        worker.renew()
        assert worker.code(scene.secret) == VALID

    @pytest.mark.parametrize("how", ["verify", "recall"])
    def test_within_the_time_that_is_granted_the_last_verdict_is_served_as_stale(
        self, worker: Worker, scene: Scene, settings: Any, how: str
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(scene.secret)

        def verdict() -> Verdict | None:
            ask = VerificationRequest(scene.secret)
            return worker.engine.verify_cached(ask) if how == "recall" else worker.engine.verify_all([ask])[0]

        worker.lose(59.9)
        assert verdict() == fresh._replace(stale=True)
        worker.clock.now += 0.1
        assert verdict() == Verdict(UNAVAILABLE)

    def test_in_the_first_second_too_where_asking_failed(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(scene.secret)
        worker.clock.now += LEASE_SECONDS

        with database_away():
            assert worker.engine.verify(scene.secret) == fresh._replace(stale=True)

    def test_a_stale_verdict_is_judged_as_of_now(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        scene.change(expires_at=NOON, allowed_networks=["10.0.0.0/8"])
        worker.renew()
        inside = ip_address("10.0.0.1")
        worker.code(scene.secret)
        worker.lose()

        with travel(NOON - timedelta(seconds=1), tick=False):
            assert worker.engine.verify(scene.secret, inside)[0::3] == (VALID, True)
            assert worker.engine.verify(scene.secret)[0::3] == (ADDRESS_NOT_ALLOWED, True)
        with travel(NOON, tick=False):
            assert worker.engine.verify(scene.secret, inside)[0::3] == (EXPIRED, True)

    def test_who_was_never_seen_has_no_last_verdict(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(NEVER_ISSUED)
        worker.lose()

        assert worker.code(scene.secret) == UNAVAILABLE
        assert worker.code(NEVER_ISSUED) == UNAVAILABLE, "it may have been issued since"

    def test_uses_are_counted_and_written_when_it_is_back(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(scene.secret)
        worker.lose()

        worker.code(scene.secret, use=True)
        worker.engine.verify_cached(VerificationRequest(scene.secret, use=True))

        assert worker.uses() == 2

    def test_a_quota_that_cannot_begin_fails_as_limits_do(self, worker: Worker, scene: Scene, settings: Any) -> None:
        """Its number begins with what the database has counted."""
        scene.change(quota=A_DAY)
        worker.renew()
        with counts_away():
            assert worker.code(scene.secret, use=True) == UNAVAILABLE
            settings.LIMITS_FAIL_OPEN = True
            assert worker.code(scene.secret, use=True) == VALID
        assert worker.code(scene.secret, use=True) == VALID


class TestLastKnown:
    """What is said without asking anybody, where nobody has answered in time."""

    @pytest.fixture
    def limited(self, scene: Scene) -> str:
        return scene.another(quota=A_DAY)

    def test_under_a_good_lease_it_is_the_truth(self, worker: Worker, scene: Scene) -> None:
        fresh = worker.engine.verify(scene.secret)

        assert worker.engine.verify_stale(VerificationRequest(scene.secret, use=True)) == fresh

    def test_then_it_is_stale_for_as_long_as_that_is_granted(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        fresh = worker.engine.verify(scene.secret)

        worker.lose(59.9)
        assert worker.engine.verify_stale(VerificationRequest(scene.secret)) == fresh._replace(stale=True)
        worker.clock.now += 0.1
        assert worker.engine.verify_stale(VerificationRequest(scene.secret)) == Verdict(UNAVAILABLE)

    def test_or_nothing_where_nothing_is_granted(self, worker: Worker, scene: Scene) -> None:
        worker.code(scene.secret)
        worker.clock.now += LEASE_SECONDS

        assert worker.engine.verify_stale(VerificationRequest(scene.secret)) == Verdict(UNAVAILABLE)

    @pytest.mark.parametrize("lease", ["good", "over"])
    def test_a_use_of_a_key_with_limits_follows_their_setting(
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

    def test_that_a_key_is_not_good_is_told_whatever_its_limits(self, worker: Worker, scene: Scene) -> None:
        scene.change(quota=A_DAY, status="disabled")
        worker.renew()
        worker.code(scene.secret)

        assert worker.engine.verify_stale(VerificationRequest(scene.secret, use=True)).code == DISABLED

    def test_nothing_is_asked_and_nothing_counted(
        self, worker: Worker, scene: Scene, limited: str, settings: Any
    ) -> None:
        settings.LIMITS_FAIL_OPEN = True
        worker.engine.verify_all([VerificationRequest(scene.secret), VerificationRequest(limited)])

        with queries(0):
            for secret in (scene.secret, limited, NEVER_ISSUED):
                worker.engine.verify_stale(VerificationRequest(secret, use=True))

        assert worker.uses() == 0
        quota = worker.engine.verify(limited).limit_status.quota
        assert quota is not None
        assert quota.remaining == A_DAY["limit"]


@pytest.mark.django_db(transaction=True)
class TestBrokenConnections:
    """One that broke while it was idle says nothing of the database."""

    def test_the_question_is_put_once_more_on_a_fresh_one(self, scene: Scene, worker: Worker) -> None:
        connection.ensure_connection()
        before = connection.connection

        with database_away(times=1) as refused:
            assert worker.code(scene.secret) == VALID

        assert len(refused) == 1
        assert connection.connection is not before

    def test_but_no_oftener(self, scene: Scene, worker: Worker) -> None:
        with database_away() as refused:
            assert worker.code(scene.secret) == UNAVAILABLE

        assert len(refused) == 2
        assert connection.connection is None, "the next one begins afresh"
        assert worker.code(scene.secret) == VALID

    @pytest.mark.skipif("connection.vendor != 'mysql'", reason="SQLite has no connections to lose")
    def test_a_connection_that_the_server_has_really_closed(self, scene: Scene, worker: Worker) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            (number,) = cursor.fetchone()
        killer = connection.copy()
        with killer.cursor() as cursor:
            cursor.execute(f"KILL {number}")
        killer.close()

        assert worker.code(scene.secret) == VALID


class TestLimitsAway:
    """Redis is configured and does not answer."""

    @pytest.fixture(autouse=True)
    def _no_redis(self, settings: Any) -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    @pytest.fixture
    def limited(self, scene: Scene) -> str:
        return scene.another(rate_limit={"limit": 1, "window_seconds": 60})

    def test_keys_without_limits_are_unaffected(self, worker: Worker, scene: Scene, limited: str) -> None:
        verdicts = worker.engine.verify_all(
            [VerificationRequest(limited, use=True), VerificationRequest(scene.secret, use=True)]
        )

        assert [verdict.code for verdict in verdicts] == [UNAVAILABLE, VALID]
        assert worker.uses() == 1

    def test_closed_keys_with_limits_are_not_answered(self, worker: Worker, limited: str) -> None:
        assert worker.code(limited, use=True) == UNAVAILABLE
        assert worker.uses() == 0

    def test_open_they_pass_and_are_counted(self, worker: Worker, limited: str, settings: Any) -> None:
        settings.LIMITS_FAIL_OPEN = True

        verdicts = [worker.engine.verify(limited, use=True) for _ in range(3)]

        assert [(verdict.code, verdict.limit_status.rate_limit) for verdict in verdicts] == [(VALID, None)] * 3
        assert worker.uses() == 3

    def test_who_consumes_nothing_is_told_without_them(self, worker: Worker, limited: str) -> None:
        verdict = worker.engine.verify(limited)

        assert (verdict.code, verdict.limit_status.rate_limit) == (VALID, None)

    def test_that_a_key_is_not_good_is_told_all_the_same(self, worker: Worker, scene: Scene, limited: str) -> None:
        ApiKey.unscoped.update(status="disabled")

        assert worker.code(limited, use=True) == DISABLED
