"""The judge: from memory under a good lease, else one query."""

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
from apikeys.tests.worker import Scene, Worker, database_away, queries
from apikeys.verification import (
    DISABLED,
    EXPIRED,
    MALFORMED,
    NOT_ACTIVE,
    NOT_FROM_HERE,
    OVER_LIMIT,
    UNKNOWN,
    VALID,
    Ask,
    Verdict,
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


class TestMemory:
    def test_a_key_is_looked_up_once_under_a_good_lease(self, worker: Worker, scene: Scene) -> None:
        with queries(1):
            first = worker.engine.verify(scene.secret)
        with queries(0):
            again = [worker.engine.verify(scene.secret), worker.engine.recall(Ask(scene.secret))]

        assert first.code == VALID
        assert first.facts is not None
        assert first.facts.key_id == scene.key.id
        assert again == [first, first]

    def test_is_not_believed_when_the_lease_is_over(self, worker: Worker, scene: Scene) -> None:
        worker.code(scene.secret)
        worker.clock.now += LEASE_SECONDS

        assert worker.engine.recall(Ask(scene.secret)) is None
        with queries(1):
            assert worker.code(scene.secret) == VALID

    def test_what_is_looked_up_without_a_lease_is_not_remembered(self, worker: Worker, scene: Scene) -> None:
        worker.clock.now += LEASE_SECONDS
        worker.code(scene.secret)
        worker.renew()

        with queries(1):
            worker.code(scene.secret)

    def test_what_was_read_before_a_forgetting_is_not_remembered(
        self, worker: Worker, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A change is committed after the row was read; the epoch is read before it would be remembered."""

        find = records.find

        def and_then_it_changes(digests: Sequence[str]) -> dict[str, KeyFacts]:
            found = find(digests)
            scene.change(status="disabled")
            worker.renew()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(records, "find", and_then_it_changes)
            assert worker.code(scene.secret) == VALID

        assert worker.engine.recall(Ask(scene.secret)) is None
        assert worker.code(scene.secret) == DISABLED

    def test_a_key_that_is_not_known_is_remembered_too(self, worker: Worker) -> None:
        with queries(1):
            assert worker.code(NEVER_ISSUED) == UNKNOWN
        with queries(0):
            assert worker.code(NEVER_ISSUED) == UNKNOWN
            assert worker.engine.recall(Ask(NEVER_ISSUED)) == Verdict(UNKNOWN)

    def test_without_a_start_nothing_is_remembered_and_uses_are_written_at_once(self, scene: Scene) -> None:
        engine = Engine()

        for number in (1, 2):
            assert engine.verify(scene.secret, use=True).code == VALID
            assert ApiKey.unscoped.get(pk=scene.key.id).usage_count == number

        assert engine.recall(Ask(scene.secret)) is None

    def test_is_as_large_as_the_setting(self, scene: Scene, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.REMEMBERED_KEYS = 2
        worker = Worker(monkeypatch)
        worker.renew()
        secrets = [scene.secret, scene.another(), scene.another()]

        worker.engine.verify_all([Ask(secret) for secret in secrets])

        assert [worker.engine.recall(Ask(secret)) is None for secret in secrets] == [True, False, False]


class TestSecrets:
    def test_an_old_one_is_good_until_its_grace_ends(self, worker: Worker, scene: Scene) -> None:
        with travel(NOON, tick=False):
            new = services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=60).secret
            worker.renew()
            assert [worker.code(secret) for secret in (scene.secret, new)] == [VALID, VALID]
        with travel(NOON + timedelta(seconds=59.9), tick=False):
            assert worker.code(scene.secret) == VALID
        with travel(NOON + timedelta(seconds=60), tick=False), queries(0):
            assert [worker.code(secret) for secret in (scene.secret, new)] == [EXPIRED, VALID]

    def test_an_old_ones_answer_tells_the_end_of_the_key_and_not_its_own(self, worker: Worker, scene: Scene) -> None:
        with travel(NOON, tick=False):
            services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=60)
            worker.renew()

            facts = worker.engine.verify(scene.secret).facts

        assert facts is not None
        assert (facts.expires_at, facts.good_until) == (None, NOON + timedelta(seconds=60))

    def test_the_keys_own_end_comes_before_a_longer_grace(self, worker: Worker, scene: Scene) -> None:
        with travel(NOON, tick=False):
            scene.change(expires_at=NOON + timedelta(seconds=30))
            services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=60)
            worker.renew()
            assert worker.code(scene.secret) == VALID
        with travel(NOON + timedelta(seconds=30), tick=False):
            assert worker.code(scene.secret) == EXPIRED

    def test_a_leaked_one_is_dead_and_its_successor_is_not(self, worker: Worker, scene: Scene) -> None:
        new = services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=3600).secret
        worker.renew()
        assert [worker.code(secret) for secret in (scene.secret, new)] == [VALID, VALID]

        scene.report_leak()
        worker.renew()

        assert [worker.code(secret) for secret in (scene.secret, new)] == [DISABLED, VALID]

    def test_uses_of_an_old_one_are_noted_with_it(self, worker: Worker, scene: Scene) -> None:
        new = services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=3600).secret
        worker.renew()

        for secret in (scene.secret, new, new):
            worker.code(secret, use=True)

        assert worker.uses() == 3
        old, current = KeySecret.objects.filter(key=scene.key).order_by("id")
        assert old.last_used_at is not None
        assert current.last_used_at is None

    def test_under_several_hmac_secrets_each_key_is_found(self, worker: Worker, scene: Scene, settings: Any) -> None:
        old_version, old = next(iter(settings.KEY_SECRETS.items()))
        settings.KEY_SECRETS = {old_version + 1: "a newer secret of thirty-two or more", old_version: old}
        newer = scene.another()

        with queries(1):
            found = worker.engine.verify_all([Ask(scene.secret), Ask(newer), Ask(NEVER_ISSUED)])
        with queries(0):
            again = worker.engine.verify_all([Ask(scene.secret), Ask(newer), Ask(NEVER_ISSUED)])

        assert [verdict.code for verdict in found] == [VALID, VALID, UNKNOWN]
        assert again == found


class TestManyAtOnce:
    def test_one_query_for_many_who_ask_for_one_key(self, worker: Worker, scene: Scene) -> None:
        with queries(1):
            verdicts = worker.engine.verify_all([Ask(scene.secret, use=True)] * 50)

        assert [verdict.code for verdict in verdicts] == [VALID] * 50
        assert worker.uses() == 50

    def test_one_query_for_several_keys_and_the_answers_in_order(self, worker: Worker, scene: Scene) -> None:
        disabled = make_key(scene.agent)
        services.disable_key(actor=OPERATOR, key=disabled.key)
        worker.renew()
        remembered = scene.another()
        worker.code(remembered)
        asked = [NEVER_ISSUED, scene.secret, "nonsense", disabled.secret, remembered, scene.secret, NEVER_ISSUED]

        with queries(1):
            verdicts = worker.engine.verify_all([Ask(secret) for secret in asked])

        assert [verdict.code for verdict in verdicts] == [
            UNKNOWN, VALID, MALFORMED, DISABLED, VALID, VALID, UNKNOWN,
        ]  # fmt: skip

    def test_none_for_nobody(self, worker: Worker) -> None:
        with queries(0):
            assert worker.engine.verify_all([]) == []

    @pytest.mark.parametrize(
        "junk", ["", "nonsense", "mmc_", NEVER_ISSUED[:-1], NEVER_ISSUED + "=", "mmc_" + "A" * 112]
    )
    def test_junk_costs_no_query(self, worker: Worker, junk: str) -> None:
        with queries(0):
            assert worker.code(junk) == MALFORMED
            worker.clock.now += LEASE_SECONDS
            assert worker.code(junk) == MALFORMED
            assert worker.engine.recall(Ask(junk)) == Verdict(MALFORMED)
            worker.lose()
            assert worker.code(junk) == MALFORMED


class TestJudging:
    def test_the_end_is_judged_at_each_recall(self, worker: Worker, scene: Scene) -> None:
        scene.change(expires_at=NOON)
        worker.renew()

        codes = []
        for moment in (NOON - timedelta(microseconds=1), NOON, NOON - timedelta(microseconds=1)):
            with travel(moment, tick=False):
                codes.append(worker.code(scene.secret))

        assert codes == [VALID, EXPIRED, VALID]

    def test_the_caller_is_judged_at_each_recall(self, worker: Worker, scene: Scene) -> None:
        scene.change(allowed_networks=["10.0.0.0/8", "2001:db8::/32"])
        worker.renew()
        callers = ["10.1.2.3", "11.1.2.3", "2001:db8::7", "2001:db9::7", None]

        codes = [
            worker.code(scene.secret, address=None if caller is None else ip_address(caller)) for caller in callers
        ]

        assert codes == [VALID, NOT_FROM_HERE, VALID, NOT_FROM_HERE, NOT_FROM_HERE]

    def test_the_gravest_is_said_first(self, worker: Worker, scene: Scene) -> None:
        with travel(NOON, tick=False):
            for code, change in [
                (NOT_FROM_HERE, {"allowed_networks": ["10.0.0.0/8"]}),
                (EXPIRED, {"expires_at": NOON}),
                (DISABLED, {"status": "disabled"}),
            ]:
                scene.change(**change)  # type: ignore[arg-type]
                worker.renew()
                assert worker.code(scene.secret) == code
            scene.change(status="active")
            agents.update_agent(actor=OPERATOR, agent=scene.agent, changes={"status": "inactive"})
            worker.renew()
            assert worker.code(scene.secret) == EXPIRED
            scene.change(expires_at=None)
            worker.renew()
            assert worker.code(scene.secret) == NOT_ACTIVE


class TestRecall:
    """What the event loop asks: it must never wait."""

    def test_makes_no_query_whatever_it_is_asked(self, worker: Worker, scene: Scene) -> None:
        limited = scene.another(rate_limit={"limit": 5, "window_seconds": 60})
        secrets = [scene.secret, limited, NEVER_ISSUED, scene.another(), "nonsense"]
        worker.engine.verify_all([Ask(secret) for secret in secrets[:3]])

        with database_away() as asked:
            for seconds in (0.0, LEASE_SECONDS, 2.0):
                worker.clock.now += seconds
                for secret in secrets:
                    worker.engine.recall(Ask(secret, use=True))

        assert asked == []

    def test_counts_what_it_answers(self, worker: Worker, scene: Scene) -> None:
        worker.code(scene.secret)

        worker.engine.recall(Ask(scene.secret, use=True))
        worker.engine.recall(Ask(scene.secret, use=False))

        assert worker.uses() == 1

    def test_does_not_count_what_it_does_not_answer(self, worker: Worker, scene: Scene) -> None:
        limited = scene.another(quota=A_DAY)
        worker.code(limited)

        assert worker.engine.recall(Ask(scene.secret, use=True)) is None
        assert worker.engine.recall(Ask(limited, use=True)) is None

        assert worker.uses() == 0

    @pytest.mark.parametrize("where", ["key", "agent", "tenant"])
    def test_does_not_answer_for_keys_with_limits(self, worker: Worker, scene: Scene, where: str) -> None:
        limit = {"limit": 5, "window_seconds": 60}
        if where == "key":
            scene.change(rate_limit=limit)
        elif where == "agent":
            agents.update_agent(actor=OPERATOR, agent=scene.agent, changes={"rate_limit": limit})
        else:
            tenants.update_tenant(actor=OPERATOR, tenant=scene.tenant, changes={"rate_limit": limit})
        worker.renew()

        assert worker.code(scene.secret) == VALID

        assert worker.engine.recall(Ask(scene.secret)) is None

    def test_answers_for_a_key_with_limits_that_is_not_good_anyway(self, worker: Worker, scene: Scene) -> None:
        scene.change(quota=A_DAY, status="disabled")
        worker.renew()
        worker.code(scene.secret)

        found = worker.engine.recall(Ask(scene.secret, use=True))

        assert found is not None
        assert found.code == DISABLED


class TestUses:
    @pytest.mark.parametrize(
        "spoiled", [{"status": "disabled"}, {"expires_at": NOON}, {"quota": {"limit": 1, "period": "total"}}]
    )
    def test_only_those_of_good_keys_count(self, worker: Worker, scene: Scene, spoiled: dict[str, Any]) -> None:
        worker.code(scene.secret, use=True)
        scene.change(**spoiled)
        worker.renew()
        assert worker.uses() == 1

        assert worker.code(scene.secret, use=True) in (DISABLED, EXPIRED, OVER_LIMIT)

        assert worker.uses() == 1

    def test_count_for_the_key_its_agent_and_its_tenant(self, worker: Worker, scene: Scene) -> None:
        with travel(NOON, tick=False):
            for _ in range(3):
                worker.code(scene.secret, use=True)

        assert worker.uses() == 3
        counted = {row.subject: (row.day, row.uses) for row in DailyUse.unscoped.all()}
        assert counted == dict.fromkeys((scene.key.id, scene.agent.id, scene.tenant.id), (NOON.date(), 3))
