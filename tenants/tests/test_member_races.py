"""Changes of a tenant's members that meet: each has one outcome, and the tenant one owner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from accounts.tests.threads import at_once
from core.errors import Conflict, DomainError, Forbidden, Invalid
from tenants import members
from tenants.errors import MemberNotFound
from tenants.models import Membership, Role, Tenant
from tests.support.people import Person, join, register

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes(*changes: Callable[[], Any]) -> set[type]:
    """Return the kinds of errors of changes that were made at once; NoneType is a success."""

    def outcome(change: Callable[[], Any]) -> type:
        try:
            change()
        except DomainError as error:
            return type(error)
        return type(None)

    return set(at_once(*(partial(outcome, change) for change in changes)))


def roles(tenant: Tenant) -> dict[str, str]:
    return dict(Membership.objects.filter(tenant=tenant).values_list("user__username", "role"))


@pytest.fixture
def dora(alice: Person, bob: Person) -> Person:
    """Another admin, like Bob."""
    person = register("dora")
    for each in (bob, person):
        join(each, alice.tenant, Role.ADMIN)
    return person


def test_of_two_admins_who_demote_each_other_one_stays(alice: Person, bob: Person, dora: Person) -> None:
    change = partial(members.change_role, tenant=alice.tenant, role=Role.VIEWER)

    assert outcomes(
        lambda: change(actor=bob.actor, user_id=dora.user.id), lambda: change(actor=dora.actor, user_id=bob.user.id)
    ) == {type(None), Forbidden}

    assert sorted(roles(alice.tenant).values()) == ["admin", "owner", "viewer"]


def test_of_two_admins_who_remove_each_other_one_stays(alice: Person, bob: Person, dora: Person) -> None:
    remove = partial(members.remove_member, tenant=alice.tenant)

    lost = outcomes(
        lambda: remove(actor=bob.actor, user_id=dora.user.id), lambda: remove(actor=dora.actor, user_id=bob.user.id)
    )

    assert len(lost) == 2
    assert sorted(roles(alice.tenant).values()) == ["admin", "owner"]


def test_offer_that_is_accepted_and_withdrawn_at_once_has_one_outcome(alice: Person, bob: Person) -> None:
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)

    assert outcomes(
        lambda: members.accept_tenant(actor=bob.actor, tenant=alice.tenant),
        lambda: members.withdraw_offer(actor=alice.actor, tenant=alice.tenant),
    ) == {type(None), Conflict}

    alice.tenant.refresh_from_db()
    owner = {alice.user.id: "alice", bob.user.id: "bob"}[alice.tenant.owner_id or ""]
    assert [name for name, role in roles(alice.tenant).items() if role == Role.OWNER] == [owner]


def test_offer_that_is_accepted_twice_at_once_counts_once(alice: Person, bob: Person) -> None:
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)
    accept = partial(members.accept_tenant, actor=bob.actor, tenant=alice.tenant)

    assert outcomes(accept, accept) == {type(None), Conflict}
    assert roles(alice.tenant) == {"alice": "admin", "bob": "owner"}


def test_member_who_leaves_and_accepts_at_once_does_one_of_both(alice: Person, bob: Person) -> None:
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)

    both = outcomes(
        lambda: members.accept_tenant(actor=bob.actor, tenant=alice.tenant),
        lambda: members.remove_member(actor=bob.actor, tenant=alice.tenant, user_id=bob.user.id),
    )

    assert both in ({type(None), Invalid}, {type(None), Conflict})
    assert roles(alice.tenant) in ({"alice": "admin", "bob": "owner"}, {"alice": "owner"})


def test_tenant_is_not_offered_to_a_member_who_leaves_at_once(alice: Person, bob: Person) -> None:
    both = outcomes(
        lambda: members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id),
        lambda: members.remove_member(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id),
    )

    assert both in ({type(None)}, {type(None), MemberNotFound})
    assert not alice.tenant.memberships.filter(user=bob.user).exists()
    assert not Tenant.objects.filter(pk=alice.tenant.pk, ownership_offer__isnull=False).exists()
