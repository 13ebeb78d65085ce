"""Access to tenants by the kind of actor: an id alone opens nothing."""

from __future__ import annotations

import pytest

from accounts import services as accounts
from core.actor import Actor, ActorKind
from tenants.access import default_tenant, get_tenant, memberships_for, tenant_errors, tenant_ids_for
from tenants.errors import TenantNotFound
from tenants.roles import Access
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

NO_PEOPLE = sorted(set(ActorKind) - {ActorKind.USER}, key=str)


@pytest.mark.parametrize("kind", NO_PEOPLE)
def test_only_people_have_memberships(kind: ActorKind, alice: Person) -> None:
    actor = Actor(kind=kind, id=alice.user.id)

    assert not memberships_for(actor)
    assert not tenant_ids_for(actor)


@pytest.mark.parametrize("kind", NO_PEOPLE)
def test_id_of_a_member_opens_a_tenant_to_no_other_kind_of_actor(kind: ActorKind, alice: Person) -> None:
    actor = Actor(kind=kind, id=alice.user.id)
    if actor.is_trusted:
        assert get_tenant(actor, alice.tenant.id, Access.READ) == alice.tenant
        return

    with pytest.raises(TenantNotFound):
        get_tenant(actor, alice.tenant.id, Access.READ)
    assert list(tenant_errors(actor, {alice.tenant.id}, Access.READ)) == [alice.tenant.id]


def test_who_belongs_to_no_tenant_has_none_by_default() -> None:
    dora = accounts.create_user(actor=OPERATOR, username="dora", password=None)

    with pytest.raises(TenantNotFound, match="belong to no tenant"):
        default_tenant(Actor(kind=ActorKind.USER, id=dora.id), Access.READ)
