"""Uses of an invitation that meet other changes: each has one outcome."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest

from accounts.models import Invitation, User
from accounts.services import BadInvitation, BadMailLink
from accounts.tests.threads import HELD_UP, Pause, on_own_connection
from core.errors import Conflict
from tenants import capacity, invitations, members
from tenants import services as tenants
from tenants.errors import InvitationNotFound, TenantLimitReached, TenantReadOnly
from tenants.models import Membership, Role, Tenant, TenantInvitation, TenantStatus
from tenants.tests.test_member_races import outcomes
from tests.support.instances import WAIT
from tests.support.invitations import invited_token
from tests.support.people import OPERATOR, PASSWORD, Person, register

pytestmark = pytest.mark.django_db(transaction=True)
SUCCESS = type(None)


@pytest.fixture
def accept(alice: Person, charlie: Person) -> Callable[[], Any]:
    """The acceptance of an invitation of Charlie into Alice's tenant."""
    token = invited_token(alice.user, alice.tenant, charlie.user)
    return partial(invitations.accept, actor=charlie.actor, token=token)


def is_member(person: Person, tenant: Tenant) -> bool:
    return Membership.objects.filter(user=person.user, tenant=tenant).exists()


def test_invitation_that_is_accepted_twice_at_once_counts_once(
    alice: Person, charlie: Person, accept: Callable[[], Any]
) -> None:
    assert outcomes(accept, accept) in ({SUCCESS, BadMailLink}, {SUCCESS, Conflict})
    assert is_member(charlie, alice.tenant)
    assert not Invitation.objects.exists()


def test_invitation_that_two_register_with_at_once_registers_one(alice: Person) -> None:
    token = invited_token(alice.user, alice.tenant)

    def register_as(username: str) -> Callable[[], Any]:
        return lambda: tenants.register(actor=OPERATOR, username=username, password=PASSWORD, invitation=token)

    assert outcomes(register_as("dora"), register_as("dave")) == {SUCCESS, BadInvitation}
    assert User.objects.filter(username__in=("dora", "dave")).count() == 1
    assert Membership.objects.filter(tenant=alice.tenant).count() == 2


def test_invitation_that_is_accepted_and_revoked_at_once_has_one_outcome(
    alice: Person, charlie: Person, accept: Callable[[], Any]
) -> None:
    invitation_id = TenantInvitation.objects.get().pk
    revoke = partial(invitations.revoke, actor=alice.actor, tenant=alice.tenant, invitation_id=invitation_id)

    found = outcomes(accept, revoke)

    assert found == {SUCCESS, InvitationNotFound if is_member(charlie, alice.tenant) else BadMailLink}
    assert not Invitation.objects.exists()


def test_tenant_that_is_deleted_at_once_has_no_member_left(
    alice: Person, charlie: Person, accept: Callable[[], Any]
) -> None:
    delete = partial(tenants.delete_tenant, actor=alice.actor, tenant=alice.tenant)

    assert outcomes(accept, delete) in ({SUCCESS}, {SUCCESS, BadMailLink})
    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()
    assert not is_member(charlie, alice.tenant)
    assert not Invitation.objects.exists()


def test_tenant_that_is_suspended_at_once_is_joined_before_or_not_at_all(
    alice: Person, charlie: Person, accept: Callable[[], Any]
) -> None:
    suspend = partial(
        tenants.update_tenant, actor=OPERATOR, tenant=alice.tenant, changes={"status": TenantStatus.SUSPENDED}
    )

    found = outcomes(accept, suspend)

    assert found == ({SUCCESS} if is_member(charlie, alice.tenant) else {SUCCESS, TenantReadOnly})
    assert Invitation.objects.exists() != is_member(charlie, alice.tenant)


def test_inviter_who_is_demoted_at_once_lets_in_before_or_not_at_all(
    alice: Person, bob: Person, charlie: Person
) -> None:
    members.change_role(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id, role=Role.ADMIN)
    token = invited_token(bob.user, alice.tenant, charlie.user, Role.ADMIN)
    demote = partial(members.change_role, tenant=alice.tenant, user_id=bob.user.id, role=Role.VIEWER)

    found = outcomes(lambda: invitations.accept(actor=charlie.actor, token=token), lambda: demote(actor=alice.actor))

    assert found == ({SUCCESS} if is_member(charlie, alice.tenant) else {SUCCESS, BadMailLink})


@pytest.mark.parametrize("change", ["suspend", "delete", "demote", "limit"])
def test_change_waits_for_an_acceptance_under_way(
    alice: Person, bob: Person, charlie: Person, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tenant, or who sent the invitation, would be another one than was looked at."""
    members.change_role(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id, role=Role.ADMIN)
    token = invited_token(bob.user, alice.tenant, charlie.user)
    update = partial(tenants.update_tenant, actor=OPERATOR, tenant=alice.tenant)
    changes: dict[str, Callable[[], Any]] = {
        "suspend": lambda: update(changes={"status": TenantStatus.SUSPENDED}),
        "limit": lambda: update(changes={"limits": {"members": 2}}),
        "delete": lambda: tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant),
        "demote": lambda: members.change_role(
            actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id, role=Role.VIEWER
        ),
    }
    pause = Pause()
    monkeypatch.setattr(invitations, "lock_invitation", pause.after(invitations.lock_invitation))

    with ThreadPoolExecutor(1) as threads:
        with pause.run(lambda: invitations.accept(actor=charlie.actor, token=token)) as accepted:
            changed = threads.submit(on_own_connection, changes[change])
            with pytest.raises(TimeoutError):
                changed.result(HELD_UP)
        assert accepted.result(WAIT).user_id == charlie.user.id
        changed.result(WAIT)


def test_of_two_who_accept_at_once_the_last_place_is_for_one(
    alice: Person, charlie: Person, accept: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"members": 2}})
    dora = register("dora")
    token, pause = invited_token(alice.user, alice.tenant, dora.user), Pause()
    monkeypatch.setattr(members, "check_limit", pause.after(capacity.check_limit))

    with ThreadPoolExecutor(1) as threads:
        with pause.run(accept) as first:
            second = threads.submit(on_own_connection, lambda: invitations.accept(actor=dora.actor, token=token))
            wait([second], HELD_UP)
        first.result(WAIT)
        with pytest.raises(TenantLimitReached):
            second.result(WAIT)

    assert is_member(charlie, alice.tenant)
    assert not is_member(dora, alice.tenant)
