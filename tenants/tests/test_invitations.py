"""Invitations into a tenant: sent, shown, accepted by new and known people, and ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone, translation

from accounts import email_tokens
from accounts import services as accounts
from accounts.mail.sender import send_due
from accounts.models import Invitation, User
from core.models import AuditEntry
from core.setting_types import AuthRate
from tenants import invitations, members
from tenants import services as tenants
from tenants.models import Membership, Role, Tenant, TenantInvitation, TenantStatus
from tests.support.client import SurfaceClient
from tests.support.invitations import invite, invited_token
from tests.support.mail import Mailbox, parts, token_of
from tests.support.operators import Operator, url
from tests.support.people import OPERATOR, PASSWORD, Person, join
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
EMAIL = "Dora@example.com"


def send(person: Person, email: str = EMAIL, role: str = "member") -> Any:
    path = f"/api/v1/tenants/{person.tenant.id}/invitations"
    return person.client.send("POST", path, {"email": email, "role": role}, HTTP_ACCEPT_LANGUAGE="en")


def token_in(link: str) -> str:
    (token,) = re.findall(r"/account/join-tenant#token=([\w-]+)$", link)
    return str(token)


def show(token: str) -> Any:
    return SurfaceClient().send("POST", "/api/v1/invitations/show", {"token": token})


def accept(person: Person, token: str) -> Any:
    return person.client.send("POST", "/api/v1/invitations/accept", {"token": token})


def register(token: str, username: str = "dora") -> Any:
    body = {"username": username, "password": PASSWORD, "invitation": token}
    return SurfaceClient().send("POST", "/api/v1/auth/register", body)


def roles(tenant: Tenant) -> dict[str, str]:
    return dict(Membership.objects.filter(tenant=tenant).values_list("user__username", "role"))


def code_of(response: Any) -> tuple[int, str]:
    body = response.json()
    return response.status_code, body.get("code") or body["error_code"]


@pytest.fixture
def token(alice: Person, charlie: Person) -> str:
    """The token of an invitation of Charlie into Alice's tenant."""
    return invited_token(alice.user, alice.tenant, charlie.user)


class TestSending:
    def test_mail_has_the_link_and_tells_what_it_is_about(self, alice: Person, mailbox: Mailbox) -> None:
        response = send(alice, role="viewer")

        assert response.status_code == 200
        assert response.json()["data"].items() >= {
            "email": EMAIL, "role": "viewer", "invited_by": "alice", "link": None,
        }.items()  # fmt: skip
        assert send_due() == 1
        assert (mailbox.recipients, mailbox.subjects) == ([EMAIL], ["Invitation into a tenant"])
        for part in parts(mailbox.mails[0]):
            assert "https://maim.example.com/account/join-tenant#token=" in part
            assert [name for name in ("alice", "viewer", "Personal Tenant") if name not in part] == [], part

    def test_mail_is_in_the_language_of_the_request(self, alice: Person, mailbox: Mailbox) -> None:
        path = f"/api/v1/tenants/{alice.tenant.id}/invitations"
        alice.client.send("POST", path, {"email": EMAIL, "role": "viewer"}, HTTP_ACCEPT_LANGUAGE="zh-CN")

        with translation.override("en"):
            send_due()

        assert mailbox.subjects == ["加入租户的邀请"]
        assert "只读成员" in parts(mailbox.mails[0])[0]

    def test_name_like_a_link_is_not_sent_to_strangers(self, alice: Person, mailbox: Mailbox) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"tenant_name": "pills.example.com"})

        send(alice)
        send_due()

        assert not any("pills" in part for part in parts(mailbox.mails[0]))

    def test_link_is_shown_where_mail_is_not_set_up(self, alice: Person) -> None:
        response = send(alice)

        assert response["Cache-Control"] == "no-store"
        shown = show(token_in(response.json()["data"]["link"])).json()
        assert shown.items() >= {
            "tenant_name": alice.tenant.tenant_name, "role": "member", "email": EMAIL, "invited_by": "alice",
            "requires_mfa": False,
        }.items()  # fmt: skip
        listed = alice.client.get(f"/api/v1/tenants/{alice.tenant.id}/invitations").json()["data"]
        assert (listed["total"], "link" in listed["items"][0]) == (1, False)

    def test_another_invitation_of_an_address_replaces_the_former(self, alice: Person) -> None:
        former = token_in(send(alice).json()["data"]["link"])

        link = send(alice, email=EMAIL.upper(), role="admin").json()["data"]["link"]

        assert code_of(show(former)) == (400, "VALIDATION_ERROR")
        assert show(token_in(link)).json()["role"] == "admin"

    def test_address_of_a_member_is_refused(self, alice: Person, bob: Person) -> None:
        bob.user.set_email(EMAIL)
        bob.user.save()

        response = send(alice)

        assert (response.status_code, list(response.json()["data"]["errors"])) == (400, ["email"])

    @pytest.mark.parametrize(
        "body", [{"email": EMAIL, "role": "owner"}, {"email": "", "role": "member"}, {"email": "x", "role": "member"}]
    )
    def test_owner_and_what_is_no_address_are_refused(self, alice: Person, body: dict[str, str]) -> None:
        response = alice.client.send("POST", f"/api/v1/tenants/{alice.tenant.id}/invitations", body)

        assert response.status_code == 400
        assert not TenantInvitation.objects.exists()

    def test_full_tenant_invites_nobody(self, alice: Person) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"members": 1}})

        assert code_of(send(alice)) == (409, "TENANT_005")

    def test_open_invitations_are_limited(self, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(invitations, "MAX_INVITATIONS", 2)
        for number in range(2):
            assert send(alice, f"{number}@example.com").status_code == 200

        assert send(alice, "another@example.com").status_code == 409
        assert send(alice, "1@example.com").status_code == 200, "in place of the former one"
        assert TenantInvitation.objects.count() == 2

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_invitation_of_another_tenant_is_unknown(self, alice: Person, charlie: Person, method: str) -> None:
        foreign = invite(charlie.user, charlie.tenant)
        before = tables()

        response = alice.client.send(method, f"/api/v1/tenants/{alice.tenant.id}/invitations/{foreign.id}")

        assert code_of(response) == (404, "NOT_FOUND")
        assert changed_tables(before, tables()) == set()

    def test_address_gets_five_invitations_an_hour_from_all(self, alice: Person, charlie: Person) -> None:
        with override_settings(AUTH_RATE=AuthRate(per_account=100, per_address=100)):
            statuses = [send(person, "many@example.com").status_code for person in (alice, charlie) for _ in range(3)]
            other = send(alice, "other@example.com").status_code

        assert (statuses, other) == ([200] * 5 + [429], 200)


class TestAccepting:
    def test_mailed_link_registers_a_member_with_a_confirmed_address(self, alice: Person, mailbox: Mailbox) -> None:
        send(alice, role="admin")
        send_due()

        response = register(token_of(mailbox.mails[0]))

        assert response.status_code == 200, response.content
        user = User.objects.get(pk=response.json()["id"])
        assert (user.email, user.email_verified) == (EMAIL, True)
        assert roles(alice.tenant) == {"alice": "owner", "dora": "admin"}
        first = user.memberships.order_by("created_at", "id").first()
        assert first is not None
        assert first.role == Role.OWNER, "their personal tenant is the one that they name by naming none"
        assert not Invitation.objects.exists()

    def test_shown_link_confirms_no_address(self, alice: Person) -> None:
        """Whoever invites may be anybody, and would confirm somebody else's address as their own."""
        link = send(alice).json()["data"]["link"]

        user = User.objects.get(pk=register(token_in(link)).json()["id"])

        assert (user.email, user.email_verified) == (EMAIL, False)
        assert roles(alice.tenant)["dora"] == "member"

    def test_known_person_joins_and_has_the_address_confirmed(self, alice: Person, charlie: Person, token: str) -> None:
        response = accept(charlie, token)

        assert response.status_code == 200, response.content
        assert response.json() == {
            "tenant_id": alice.tenant.id,
            "tenant_name": alice.tenant.tenant_name,
            "tenant_status": "active",
            "role": "member",
            "requires_mfa": False,
        }
        charlie.user.refresh_from_db()
        assert charlie.user.email_verified
        actions = list(AuditEntry.objects.filter(tenant_id=alice.tenant.id).values_list("action", flat=True)[:2])
        assert actions == ["membership.set", "invitation.accept"]

    def test_account_with_another_address_is_refused(self, alice: Person, bob: Person, charlie: Person) -> None:
        token = invited_token(alice.user, alice.tenant, charlie.user)
        join(bob, charlie.tenant)
        members.remove_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.id)
        before = tables()

        assert code_of(accept(bob, token)) == (403, "INVITATION_ADDRESS")
        assert changed_tables(before, tables()) == set()

    def test_member_cannot_join_again(self, alice: Person, charlie: Person, token: str) -> None:
        join(charlie, alice.tenant, Role.VIEWER)

        assert code_of(accept(charlie, token)) == (409, "CONFLICT")
        assert roles(alice.tenant)["charlie"] == "viewer"

    def test_full_tenant_is_joined_when_there_is_room(self, alice: Person, charlie: Person, token: str) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"members": 1}})
        before = tables()
        assert code_of(accept(charlie, token)) == (409, "TENANT_005")
        assert changed_tables(before, tables()) == set()

        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"members": 2}})
        assert accept(charlie, token).status_code == 200

    def test_suspended_tenant_is_joined_when_it_is_active_again(
        self, alice: Person, charlie: Person, token: str
    ) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"status": TenantStatus.SUSPENDED})
        assert code_of(accept(charlie, token)) == (409, "TENANT_003")

        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"status": TenantStatus.ACTIVE})
        assert accept(charlie, token).status_code == 200

    @pytest.mark.parametrize(("registration", "status"), [("open", 200), ("invited", 200), ("closed", 403)])
    def test_new_person_registers_unless_registration_is_closed(
        self, alice: Person, settings: Any, registration: str, status: int
    ) -> None:
        settings.REGISTRATION = registration

        assert register(invited_token(alice.user, alice.tenant)).status_code == status
        assert len(roles(alice.tenant)) == (2 if status == 200 else 1)

    def test_registration_that_fails_leaves_the_invitation(self, alice: Person) -> None:
        token = invited_token(alice.user, alice.tenant)
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"members": 1}})
        before = tables()

        assert code_of(register(token)) == (409, "TENANT_005")
        assert changed_tables(before, tables()) == set()


def _revoke(alice: Person, bob: Person) -> None:
    invitation = TenantInvitation.objects.get()
    response = alice.client.delete(f"/api/v1/tenants/{alice.tenant.id}/invitations/{invitation.id}")
    assert response.status_code == 200, response.content


def _expire(alice: Person, bob: Person) -> None:
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def _demote(alice: Person, bob: Person) -> None:
    members.change_role(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id, role=Role.MEMBER)


def _remove(alice: Person, bob: Person) -> None:
    members.remove_member(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)


def _deactivate(alice: Person, bob: Person) -> None:
    accounts.update_user(actor=OPERATOR, user_id=bob.user.id, changes={"is_active": False})


def _close_account(alice: Person, bob: Person) -> None:
    tenants.delete_tenant(actor=OPERATOR, tenant=bob.tenant)
    accounts.delete_user(actor=OPERATOR, user_id=bob.user.id)


def _delete_tenant(alice: Person, bob: Person) -> None:
    tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant)


ENDS = (_revoke, _expire, _demote, _remove, _deactivate, _close_account, _delete_tenant)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_ended_invitation_of_bob_is_good_for_nothing(
    end: Callable[[Person, Person], None], alice: Person, bob: Person, charlie: Person
) -> None:
    members.change_role(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id, role=Role.ADMIN)
    token = invited_token(bob.user, alice.tenant, charlie.user)
    end(alice, bob)
    before = tables()

    refusals = show(token), accept(charlie, token), register(token)

    assert [(each.status_code, list(each.json()["errors"])) for each in refusals] == [
        (400, ["token"]), (400, ["token"]), (400, ["invitation"]),
    ]  # fmt: skip
    assert changed_tables(before, tables()) == set()
    if Tenant.objects.filter(pk=alice.tenant.pk).exists():
        assert alice.client.get(f"/api/v1/tenants/{alice.tenant.id}/invitations").json()["data"]["items"] == []


def test_used_invitation_is_good_for_nothing(alice: Person, charlie: Person, token: str) -> None:
    assert accept(charlie, token).status_code == 200

    assert [show(token).status_code, accept(charlie, token).status_code, register(token).status_code] == [400] * 3


def test_sweep_deletes_what_has_expired(alice: Person, token: str) -> None:
    invite(alice.user, alice.tenant)
    Invitation.objects.filter(digest__isnull=False).update(expires_at=timezone.now() - timedelta(seconds=1))

    email_tokens.sweep()

    assert (Invitation.objects.count(), TenantInvitation.objects.count()) == (1, 1)


def test_operator_revokes_it_in_the_admin(olivia: Operator, alice: Person, token: str) -> None:
    invitation = TenantInvitation.objects.get()

    assert invitation.email in olivia.get(url(TenantInvitation)).content.decode()
    assert invitation.email not in olivia.get(url(Invitation)).content.decode(), "it is no operator's"
    assert olivia.client.post(url(invitation, "delete"), {"post": "yes"}).status_code == 302

    assert not Invitation.objects.exists()
    entry = AuditEntry.objects.filter(action="invitation.revoke").get()
    assert (entry.tenant_id, entry.actor_label) == (alice.tenant.id, "olivia")
