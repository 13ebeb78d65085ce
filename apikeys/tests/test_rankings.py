"""The busiest tenants, suspended ones that are still called, and keys that somebody should look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from apikeys import attention, outcomes, rankings, services
from apikeys.models import ApiKey
from apikeys.outcomes import Outcomes
from apikeys.tests.worker import Data
from apikeys.verification import DISABLED, NOT_ACTIVE, UNKNOWN, VALID
from tenants.models import Tenant
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with travel(NOON, tick=False):
        yield


def call(tenant_id: str, number: int, outcome: str = VALID, ago: timedelta = timedelta(0)) -> None:
    of_key = ("agent_1", "key_1") if tenant_id else ("", "")
    outcomes.add([Outcomes(NOON - ago, tenant_id, *of_key, outcome, number)])


class TestRankings:
    def test_busiest_tenants_by_the_sum_of_this_hour_and_the_one_before(
        self, alice: Person, bob: Person, charlie: Person
    ) -> None:
        call(alice.tenant.id, 5)
        call(alice.tenant.id, 3, DISABLED)
        call(bob.tenant.id, 1)
        call(bob.tenant.id, 6, ago=HOUR)
        call(charlie.tenant.id, 900, ago=2 * HOUR)
        call("tenant_deleted", 100)
        call("", 100, UNKNOWN)

        found = rankings.rank()

        assert found.since == datetime(2026, 1, 31, 11, tzinfo=UTC)
        assert [(each.tenant_id, each.tenant_name, each.numbers) for each in found.busiest] == [
            (bob.tenant.id, bob.tenant.tenant_name, {VALID: 7}),
            (alice.tenant.id, alice.tenant.tenant_name, {VALID: 5, DISABLED: 3}),
        ]

    def test_suspended_tenants_that_are_still_called(self, alice: Person, bob: Person) -> None:
        """Given a suspended tenant, and one that is active and whose agent is not."""
        Tenant.objects.filter(pk=alice.tenant.pk).update(status="suspended")
        call(alice.tenant.id, 4, NOT_ACTIVE)
        call(bob.tenant.id, 9, NOT_ACTIVE)

        found = rankings.rank()

        assert [(each.tenant_id, each.numbers) for each in found.suspended] == [(alice.tenant.id, {NOT_ACTIVE: 4})]
        assert found.busiest == []

    def test_only_the_first_are_shown(self) -> None:
        tenants = [Tenant(tenant_type="enterprise") for _ in range(rankings.SHOWN + 2)]
        for number, tenant in enumerate(tenants):
            tenant.set_name(f"tenant {number}")
        Tenant.objects.bulk_create(tenants)
        for number, tenant in enumerate(tenants):
            call(tenant.id, number + 1)

        assert [each.tenant_id for each in rankings.rank().busiest] == [tenant.id for tenant in tenants[:1:-1]]


class TestKeysToLookAt:
    @pytest.fixture
    def data(self, alice: Person) -> Data:
        return Data(alice)

    @pytest.fixture
    def theirs(self, charlie: Person) -> ApiKey:
        return make_key(make_agent(charlie.tenant)).key

    @staticmethod
    def change(key: ApiKey, **columns: Any) -> None:
        ApiKey.unscoped.filter(pk=key.pk).update(**columns)

    def test_keys_that_expire_soon(self, data: Data, theirs: ApiKey, alice: Person) -> None:
        later, soon, disabled = (make_key(data.agent).key for _ in range(3))
        self.change(later, expires_at=NOON + 8 * DAY)
        self.change(soon, expires_at=NOON + 6 * DAY)
        self.change(disabled, expires_at=NOON + DAY, status="disabled")
        self.change(data.key, expires_at=NOON - DAY)
        self.change(theirs, expires_at=NOON + DAY)

        assert [key.pk for key in attention.expiring_keys().rows] == [theirs.pk, soon.pk]
        assert [key.pk for key in attention.expiring_keys(alice.tenant.id).rows] == [soon.pk]

    def test_keys_that_were_never_used(self, data: Data, theirs: ApiKey, alice: Person) -> None:
        old, used, disabled = (make_key(data.agent).key for _ in range(3))
        for key in (old, used, disabled, theirs):
            self.change(key, created_at=NOON - 8 * DAY)
        self.change(used, last_used_at=NOON)
        self.change(disabled, status="disabled")
        self.change(theirs, created_at=NOON - 9 * DAY)

        assert [key.pk for key in attention.never_used_keys().rows] == [old.pk, theirs.pk]
        assert [key.pk for key in attention.never_used_keys(alice.tenant.id).rows] == [old.pk]
        assert attention.never_used(ApiKey.unscoped.all(), NOON).count() == 2

    def test_leaked_secrets(self, data: Data, theirs: ApiKey, alice: Person) -> None:
        services.report_leak(actor=OPERATOR, secret=theirs.current_secret)
        with travel(NOON + HOUR, tick=False):
            data.report_leak()

        assert [secret.key_id for secret in attention.leaked_secrets().rows] == [data.key.pk, theirs.pk]
        assert [secret.key_id for secret in attention.leaked_secrets(alice.tenant.id).rows] == [data.key.pk]

    def test_more_than_are_shown_are_told(self, data: Data) -> None:
        keys = [make_key(data.agent).key for _ in range(attention.SHOWN + 1)]
        for key in keys:
            self.change(key, expires_at=NOON + DAY, created_at=NOON - 8 * DAY)

        for found in (attention.expiring_keys(), attention.never_used_keys()):
            assert (len(found.rows), found.has_more) == (attention.SHOWN, True)
        assert not attention.leaked_secrets().has_more
