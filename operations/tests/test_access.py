"""Access to bulk operations: operators start and cancel those whose change their role may make one by one."""

from __future__ import annotations

import pytest

from accounts.operator_roles import OperatorRole
from core.actor import Actor, ActorKind
from core.errors import Forbidden
from operations import services
from operations.access import PERMISSIONS
from operations.models import BulkOperation, Kind
from operations.selections import Selection
from tests.support.client import context_of
from tests.support.operators import Operator, sign_in, url

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

_SUPPORT = {Kind.DISABLE_KEYS, Kind.ENABLE_KEYS, Kind.SUSPEND_TENANTS, Kind.ACTIVATE_TENANTS}
MAY = {OperatorRole.VIEWER: set[Kind](), OperatorRole.SUPPORT: _SUPPORT, OperatorRole.ADMIN: set(Kind)}
each_case = pytest.mark.parametrize(
    ("role", "kind"), [(role, kind) for role in OperatorRole for kind in Kind], ids=lambda value: value.value
)


def actor_of(operator: Operator) -> Actor:
    return Actor(kind=ActorKind.OPERATOR, id=operator.user.pk, label=operator.user.username)


@each_case
def test_role_starts_and_cancels_its_kinds_only(role: OperatorRole, kind: Kind, olivia: Operator) -> None:
    actor = actor_of(sign_in("oscar", role=role))
    of_olivia = services.start(actor=actor_of(olivia), selection=Selection(kind, ("some_id",)))

    if kind in MAY[role]:
        assert services.start(actor=actor, selection=Selection(kind, ("some_id",))).actor_id == actor.id
        services.cancel(actor=actor, operation=of_olivia)
    else:
        with pytest.raises(Forbidden):
            services.start(actor=actor, selection=Selection(kind, ("some_id",)))
        with pytest.raises(Forbidden):
            services.cancel(actor=actor, operation=of_olivia)
        assert BulkOperation.objects.get().is_open


@pytest.mark.parametrize("role", OperatorRole)
def test_page_offers_the_kinds_of_the_role(role: OperatorRole) -> None:
    oscar = sign_in("oscar", role=role)

    page = oscar.client.get(url(BulkOperation, "add"))

    if not MAY[role]:
        assert page.status_code == 403
    else:
        assert {kind for kind, _name in context_of(page)["form"].fields["kind"].choices} == MAY[role]


def test_kind_that_is_not_offered_is_refused_by_the_form() -> None:
    oscar = sign_in("oscar", role=OperatorRole.SUPPORT)
    fields = {"kind": "delete_keys", "ids": "key_1", "show": "1"}

    page = oscar.client.post(url(BulkOperation, "add"), fields)

    assert list(context_of(page)["form"].errors) == ["kind"]


def test_every_kind_has_a_permission() -> None:
    assert set(PERMISSIONS) == set(Kind)


def test_operator_who_is_deactivated_starts_nothing() -> None:
    oscar = sign_in("oscar", role=OperatorRole.ADMIN)
    type(oscar.user).objects.filter(pk=oscar.user.pk).update(is_active=False)

    with pytest.raises(Forbidden):
        services.start(actor=actor_of(oscar), selection=Selection(Kind.DISABLE_KEYS, ("key_1",)))
