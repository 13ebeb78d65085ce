"""Verification: from the cache under a valid lease, else by one query."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from time_machine import travel

from agents import services as agents
from apikeys import keyformat, services
from apikeys.models import ApiKey, DailyUse, KeySecret
from apikeys.outcomes import INSTALLATION
from apikeys.tests.worker import Data, Worker, database_away, queries
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    LIMIT_EXCEEDED,
    MALFORMED,
    NOT_ACTIVE,
    UNKNOWN,
    VALID,
    Verdict,
    VerdictCode,
    VerificationRequest,
    records,
)
from apikeys.verification.engine import Engine
from apikeys.verification.verdicts import KeyFacts
from core.epoch import LEASE_SECONDS
from tenants import services as tenants
from tests.support.people import OPERATOR, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEVER_ISSUED = keyformat.generate("tenant_000000000000", "agent_000000000000")
A_DAY = {"limit": 100, "period": "day"}


class TestCache:
    def test_key_is_read_once_under_a_valid_lease(self, worker: Worker, data: Data) -> None:
        with queries(1):
            first = worker.engine.verify(data.secret)
        with queries(0):
            again = [worker.engine.verify(data.secret), worker.engine.verify_cached(VerificationRequest(data.secret))]

        assert first.code == VALID
        assert first.facts is not None
        assert first.facts.key_id == data.key.id
        assert again == [first, first]

    def test_cache_is_not_used_after_the_lease(self, worker: Worker, data: Data) -> None:
        worker.code(data.secret)
        worker.clock.now += LEASE_SECONDS

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None
        with queries(1):
            assert worker.code(data.secret) == VALID

    def test_key_read_without_a_lease_is_not_cached(self, worker: Worker, data: Data) -> None:
        worker.clock.now += LEASE_SECONDS
        worker.code(data.secret)
        worker.renew()

        with queries(1):
            worker.code(data.secret)

    def test_key_read_before_an_invalidation_is_not_cached(
        self, worker: Worker, data: Data, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A change is committed after the row was read, and the lease renewed before it would be cached."""

        find = records.find

        def and_then_it_changes(digests: Sequence[str]) -> dict[str, KeyFacts]:
            found = find(digests)
            data.change(status="disabled")
            worker.renew()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(records, "find", and_then_it_changes)
            assert worker.code(data.secret) == VALID

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None
        assert worker.code(data.secret) == DISABLED

    def test_unknown_key_is_cached(self, worker: Worker) -> None:
        with queries(1):
            assert worker.code(NEVER_ISSUED) == UNKNOWN
        with queries(0):
            assert worker.code(NEVER_ISSUED) == UNKNOWN
            assert worker.engine.verify_cached(VerificationRequest(NEVER_ISSUED)) == Verdict(UNKNOWN)

    def test_without_start_nothing_is_cached_and_uses_are_written_at_once(self, data: Data) -> None:
        engine = Engine()

        for number in (1, 2):
            assert engine.verify(data.secret, use=True).code == VALID
            assert ApiKey.unscoped.get(pk=data.key.id).usage_count == number

        assert engine.verify_cached(VerificationRequest(data.secret)) is None

    def test_cache_is_as_large_as_the_setting(self, data: Data, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.REMEMBERED_KEYS = 2
        worker = Worker(monkeypatch)
        worker.renew()
        secrets = [data.secret, data.another(), data.another()]

        worker.engine.verify_all([VerificationRequest(secret) for secret in secrets])

        assert [worker.engine.verify_cached(VerificationRequest(secret)) is None for secret in secrets] == [
            True,
            False,
            False,
        ]


class TestSecrets:
    def test_rotated_secret_is_valid_until_its_grace_ends(self, worker: Worker, data: Data) -> None:
        with travel(NOON, tick=False):
            new = services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=60).secret
            worker.renew()
            assert [worker.code(secret) for secret in (data.secret, new)] == [VALID, VALID]
        with travel(NOON + timedelta(seconds=59.9), tick=False):
            assert worker.code(data.secret) == VALID
        with travel(NOON + timedelta(seconds=60), tick=False), queries(0):
            assert [worker.code(secret) for secret in (data.secret, new)] == [EXPIRED, VALID]

    def test_rotated_secret_shows_the_expiry_of_the_key(self, worker: Worker, data: Data) -> None:
        with travel(NOON, tick=False):
            services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=60)
            worker.renew()

            facts = worker.engine.verify(data.secret).facts

        assert facts is not None
        assert (facts.expires_at, facts.valid_until) == (None, NOON + timedelta(seconds=60))

    def test_key_expires_before_a_longer_grace_ends(self, worker: Worker, data: Data) -> None:
        with travel(NOON, tick=False):
            data.change(expires_at=NOON + timedelta(seconds=30))
            services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=60)
            worker.renew()
            assert worker.code(data.secret) == VALID
        with travel(NOON + timedelta(seconds=30), tick=False):
            assert worker.code(data.secret) == EXPIRED

    def test_leaked_secret_is_disabled_and_its_successor_valid(self, worker: Worker, data: Data) -> None:
        new = services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=3600).secret
        worker.renew()
        assert [worker.code(secret) for secret in (data.secret, new)] == [VALID, VALID]

        data.report_leak()
        worker.renew()

        assert [worker.code(secret) for secret in (data.secret, new)] == [DISABLED, VALID]

    def test_use_of_rotated_secret_is_recorded_with_it(self, worker: Worker, data: Data) -> None:
        new = services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=3600).secret
        worker.renew()

        for secret in (data.secret, new, new):
            worker.code(secret, use=True)

        assert worker.uses() == 3
        old, current = KeySecret.objects.filter(key=data.key).order_by("id")
        assert old.last_used_at is not None
        assert current.last_used_at is None

    def test_key_is_found_under_each_of_several_peppers(self, worker: Worker, data: Data, settings: Any) -> None:
        old_id, old = next(iter(settings.KEY_PEPPERS.items()))
        settings.KEY_PEPPERS = {old_id + 1: "a newer secret of thirty-two or more", old_id: old}
        newer = data.another()

        with queries(1):
            found = worker.engine.verify_all(
                [VerificationRequest(data.secret), VerificationRequest(newer), VerificationRequest(NEVER_ISSUED)]
            )
        with queries(0):
            again = worker.engine.verify_all(
                [VerificationRequest(data.secret), VerificationRequest(newer), VerificationRequest(NEVER_ISSUED)]
            )

        assert [verdict.code for verdict in found] == [VALID, VALID, UNKNOWN]
        assert again == found


class TestVerifyAll:
    def test_many_requests_for_one_key_take_one_query(self, worker: Worker, data: Data) -> None:
        with queries(1):
            verdicts = worker.engine.verify_all([VerificationRequest(data.secret, use=True)] * 50)

        assert [verdict.code for verdict in verdicts] == [VALID] * 50
        assert worker.uses() == 50

    def test_several_keys_take_one_query_and_verdicts_are_in_order(self, worker: Worker, data: Data) -> None:
        disabled = make_key(data.agent)
        services.disable_key(actor=OPERATOR, key=disabled.key)
        worker.renew()
        remembered = data.another()
        worker.code(remembered)
        asked = [NEVER_ISSUED, data.secret, "nonsense", disabled.secret, remembered, data.secret, NEVER_ISSUED]

        with queries(1):
            verdicts = worker.engine.verify_all([VerificationRequest(secret) for secret in asked])

        assert [verdict.code for verdict in verdicts] == [
            UNKNOWN, VALID, MALFORMED, DISABLED, VALID, VALID, UNKNOWN,
        ]  # fmt: skip

    def test_no_requests_take_no_query(self, worker: Worker) -> None:
        with queries(0):
            assert worker.engine.verify_all([]) == []

    @pytest.mark.parametrize(
        "junk", ["", "nonsense", "mmc_", NEVER_ISSUED[:-1], NEVER_ISSUED + "=", "mmc_" + "A" * 112]
    )
    def test_malformed_key_takes_no_query(self, worker: Worker, junk: str) -> None:
        with queries(0):
            assert worker.code(junk) == MALFORMED
            worker.clock.now += LEASE_SECONDS
            assert worker.code(junk) == MALFORMED
            assert worker.engine.verify_cached(VerificationRequest(junk)) == Verdict(MALFORMED)
            worker.lose()
            assert worker.code(junk) == MALFORMED


class TestVerdicts:
    def test_expiry_is_checked_at_each_request(self, worker: Worker, data: Data) -> None:
        data.change(expires_at=NOON)
        worker.renew()

        codes = []
        for moment in (NOON - timedelta(microseconds=1), NOON, NOON - timedelta(microseconds=1)):
            with travel(moment, tick=False):
                codes.append(worker.code(data.secret))

        assert codes == [VALID, EXPIRED, VALID]

    def test_address_is_checked_at_each_request(self, worker: Worker, data: Data) -> None:
        data.change(allowed_networks=["10.0.0.0/8", "2001:db8::/32"])
        worker.renew()
        callers = ["10.1.2.3", "11.1.2.3", "2001:db8::7", "2001:db9::7", None]

        codes = [worker.code(data.secret, address=None if caller is None else ip_address(caller)) for caller in callers]

        assert codes == [VALID, ADDRESS_NOT_ALLOWED, VALID, ADDRESS_NOT_ALLOWED, ADDRESS_NOT_ALLOWED]

    def test_strongest_reason_comes_first(self, worker: Worker, data: Data) -> None:
        with travel(NOON, tick=False):
            changes: list[tuple[VerdictCode, dict[str, Any]]] = [
                (ADDRESS_NOT_ALLOWED, {"allowed_networks": ["10.0.0.0/8"]}),
                (EXPIRED, {"expires_at": NOON}),
                (DISABLED, {"status": "disabled"}),
            ]
            for code, change in changes:
                data.change(**change)
                worker.renew()
                assert worker.code(data.secret) == code
            data.change(status="active")
            agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"status": "inactive"})
            worker.renew()
            assert worker.code(data.secret) == EXPIRED
            data.change(expires_at=None)
            worker.renew()
            assert worker.code(data.secret) == NOT_ACTIVE


class TestVerifyCached:
    """`verify_cached` is for the event loop, so it must never wait."""

    def test_verify_cached_never_makes_a_query(self, worker: Worker, data: Data) -> None:
        limited = data.another(rate_limit={"limit": 5, "window_seconds": 60})
        secrets = [data.secret, limited, NEVER_ISSUED, data.another(), "nonsense"]
        worker.engine.verify_all([VerificationRequest(secret) for secret in secrets[:3]])

        with database_away() as asked:
            for seconds in (0.0, LEASE_SECONDS, 2.0):
                worker.clock.now += seconds
                for secret in secrets:
                    worker.engine.verify_cached(VerificationRequest(secret, use=True))

        assert asked == []

    def test_use_is_counted_with_a_cached_verdict(self, worker: Worker, data: Data) -> None:
        worker.code(data.secret)

        worker.engine.verify_cached(VerificationRequest(data.secret, use=True))
        worker.engine.verify_cached(VerificationRequest(data.secret, use=False))

        assert worker.uses() == 1

    def test_no_use_is_counted_without_a_cached_verdict(self, worker: Worker, data: Data) -> None:
        limited = data.another(quota=A_DAY)
        worker.code(limited)

        assert worker.engine.verify_cached(VerificationRequest(data.secret, use=True)) is None
        assert worker.engine.verify_cached(VerificationRequest(limited, use=True)) is None

        assert worker.uses() == 0

    @pytest.mark.parametrize("where", ["key", "agent", "tenant"])
    def test_key_with_limits_has_no_cached_verdict(self, worker: Worker, data: Data, where: str) -> None:
        limit = {"limit": 5, "window_seconds": 60}
        if where == "key":
            data.change(rate_limit=limit)
        elif where == "agent":
            agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"rate_limit": limit})
        else:
            tenants.update_tenant(actor=OPERATOR, tenant=data.tenant, changes={"rate_limit": limit})
        worker.renew()

        assert worker.code(data.secret) == VALID

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None

    def test_invalid_key_with_limits_has_a_cached_verdict(self, worker: Worker, data: Data) -> None:
        data.change(quota=A_DAY, status="disabled")
        worker.renew()
        worker.code(data.secret)

        found = worker.engine.verify_cached(VerificationRequest(data.secret, use=True))

        assert found is not None
        assert found.code == DISABLED


class TestUses:
    @pytest.mark.parametrize(
        "spoiled", [{"status": "disabled"}, {"expires_at": NOON}, {"quota": {"limit": 1, "period": "total"}}]
    )
    def test_only_uses_of_valid_keys_count(self, worker: Worker, data: Data, spoiled: dict[str, Any]) -> None:
        worker.code(data.secret, use=True)
        data.change(**spoiled)
        worker.renew()
        assert worker.uses() == 1

        assert worker.code(data.secret, use=True) in (DISABLED, EXPIRED, LIMIT_EXCEEDED)

        assert worker.uses() == 1

    def test_use_counts_for_the_key_its_agent_its_tenant_and_the_installation(self, worker: Worker, data: Data) -> None:
        with travel(NOON, tick=False):
            for _ in range(3):
                worker.code(data.secret, use=True)

        assert worker.uses() == 3
        counted = {row.subject: (row.day, row.uses) for row in DailyUse.unscoped.all()}
        assert counted == dict.fromkeys((data.key.id, data.agent.id, data.tenant.id, INSTALLATION), (NOON.date(), 3))
