"""The keys of a tenant whose owner is deactivated (MAIM_OWNER_OFF)."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import services as accounts
from accounts.bulk_import import import_users
from accounts.models import User
from apikeys.tests.worker import Worker, queries
from apikeys.verification import NOT_ACTIVE, VALID
from core.db import RowUpdate
from tenants.bulk_import import give_to_owners
from tenants.models import Tenant
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.fixture
def secret(alice: Person) -> str:
    return make_key(make_agent(alice.tenant)).secret


def switch(person: Person, is_active: bool) -> None:
    accounts.update_user(actor=OPERATOR, user_id=person.user.id, changes={"is_active": is_active})


def test_keys_stay_good_by_default(worker: Worker, alice: Person, secret: str) -> None:
    switch(alice, False)

    assert worker.code(secret) == VALID


class TestKeysOff:
    @pytest.fixture(autouse=True)
    def _keys_off(self, settings: Any) -> None:
        settings.KEYS_OFF_WITH_OWNER = True

    def test_keys_are_refused_until_the_owner_is_active_again(self, worker: Worker, alice: Person, secret: str) -> None:
        codes = [worker.code(secret)]
        for is_active in (False, True):
            switch(alice, is_active)
            worker.renew()
            codes.append(worker.code(secret))

        assert codes == [VALID, NOT_ACTIVE, VALID]

    def test_second_deactivation_waits_as_long_as_the_first(
        self, alice: Person, propagation_waits: list[float]
    ) -> None:
        """The first may still be waiting for workers."""
        switch(alice, False)
        switch(alice, False)

        assert len(propagation_waits) == 2

    def test_import_that_deactivates_the_owner_counts(self, worker: Worker, alice: Person, secret: str) -> None:
        assert worker.code(secret) == VALID
        existing, target = User.objects.get(pk=alice.user.pk), User.objects.get(pk=alice.user.pk)
        target.is_active = False

        import_users(actor=OPERATOR, new=[], changed=[RowUpdate(existing, target)])
        worker.renew()

        assert worker.code(secret) == NOT_ACTIVE

    def test_other_people_of_the_tenant_do_not_matter(self, worker: Worker, bob: Person, secret: str) -> None:
        switch(bob, False)

        assert worker.code(secret) == VALID

    def test_tenant_without_an_owner_does_not_matter(self, worker: Worker, alice: Person, secret: str) -> None:
        alice.tenant.owner = None
        alice.tenant.save()

        assert worker.code(secret) == VALID

    def test_inactive_owner_who_comes_after_the_tenant_counts(self, worker: Worker, alice: Person, secret: str) -> None:
        """An import may bring the owner of a tenant that was created under their id before."""
        Tenant.objects.filter(pk=alice.tenant.pk).update(owner=None)
        User.objects.filter(pk=alice.user.pk).update(is_active=False)
        assert worker.code(secret) == VALID

        give_to_owners(actor=OPERATOR, user_ids=[alice.user.id])
        worker.renew()

        assert worker.code(secret) == NOT_ACTIVE

    def test_change_that_leaves_the_owner_active_invalidates_nothing(
        self, worker: Worker, alice: Person, secret: str
    ) -> None:
        worker.code(secret)
        accounts.update_user(actor=OPERATOR, user_id=alice.user.id, changes={"email": "alice@example.com"})
        worker.renew()

        with queries(0):
            assert worker.code(secret) == VALID
