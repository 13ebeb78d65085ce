"""Members of a tenant and their roles, and a tenant that is handed over."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from core.models import AuditEntry
from tenants.members import OFFER_LIFETIME
from tenants.models import Membership, OwnershipOffer, Role, Tenant, TenantStatus
from tenants.roles import ALLOWED, Access
from tests.support.people import Person, join, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract.md"


@pytest.fixture
def dora() -> Person:
    return register("dora")


def path(tenant: Tenant, *parts: str) -> str:
    return "/".join([f"/api/v1/tenants/{tenant.id}", *parts])


def roles(tenant: Tenant) -> dict[str, str]:
    return dict(Membership.objects.filter(tenant=tenant).values_list("user__username", "role"))


def set_role(actor: Person, tenant: Tenant, member: Person, role: str) -> Any:
    return actor.client.send("PUT", path(tenant, "members", member.user.id), {"role": role})


def remove(actor: Person, tenant: Tenant, member: Person) -> Any:
    return actor.client.send("DELETE", path(tenant, "members", member.user.id))


def offer(actor: Person, tenant: Tenant, member: Person) -> Any:
    return actor.client.send("PUT", path(tenant, "ownership-offer"), {"user_id": member.user.id})


def accept(actor: Person, tenant: Tenant) -> Any:
    return actor.client.send("POST", path(tenant, "ownership-offer", "accept"))


def last_entry(action: str) -> AuditEntry:
    return AuditEntry.objects.filter(action=action).latest("id")


class TestTable:
    def test_each_role_may_do_what_the_next_lesser_one_may(self) -> None:
        assert ALLOWED[Role.VIEWER] < ALLOWED[Role.MEMBER] < ALLOWED[Role.ADMIN] < ALLOWED[Role.OWNER]
        assert ALLOWED[Role.OWNER] == set(Access)

    def test_contract_shows_it(self) -> None:
        rows = re.findall(r"^\| ([a-z].*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", CONTRACT.read_text("utf-8"), re.M)
        shown = {text: tuple(cell == "yes" for cell in cells) for text, *cells in rows}
        order = (Role.OWNER, Role.ADMIN, Role.MEMBER, Role.VIEWER)

        for access in Access:
            assert shown[str(access.value)] == tuple(access in ALLOWED[role] for role in order)


class TestList:
    def test_members_are_listed_to_each_of_them(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant, Role.VIEWER)

        for person in (alice, bob, dora):
            items = person.client.get(path(alice.tenant, "members")).json()["data"]["items"]
            assert [(item["username"], item["role"]) for item in items] == [
                ("alice", "owner"),
                ("bob", "member"),
                ("dora", "viewer"),
            ]
            assert set(items[0]) == {"user_id", "username", "role", "created_at"}

    def test_cursor_goes_on_after_a_member(self, alice: Person, bob: Person) -> None:
        first = alice.client.get(path(alice.tenant, "members") + "?size=1&after=").json()["data"]
        second = alice.client.get(path(alice.tenant, "members") + f"?size=1&after={first['next_after']}").json()["data"]

        assert {first["items"][0]["user_id"], second["items"][0]["user_id"]} == {alice.user.id, bob.user.id}
        assert second["next_after"] is None


class TestRoles:
    @pytest.mark.parametrize("role", ["admin", "viewer"])
    def test_owner_changes_a_role(self, role: str, alice: Person, bob: Person) -> None:
        response = set_role(alice, alice.tenant, bob, role)

        assert response.status_code == 200
        assert response.json()["data"]["role"] == role
        assert roles(alice.tenant) == {"alice": "owner", "bob": role}
        entry = last_entry("membership.set")
        person = {"user": bob.user.id, "username": "bob"}
        assert (entry.before, entry.after) == ({**person, "role": "member"}, {**person, "role": role})

    def test_admin_changes_another_admin(self, alice: Person, bob: Person, dora: Person) -> None:
        join(bob, alice.tenant, Role.ADMIN)
        join(dora, alice.tenant, Role.ADMIN)

        assert set_role(bob, alice.tenant, dora, "viewer").status_code == 200
        assert set_role(dora, alice.tenant, bob, "viewer").status_code == 403
        assert roles(alice.tenant) == {"alice": "owner", "bob": "admin", "dora": "viewer"}

    def test_owner_keeps_the_role(self, alice: Person, bob: Person) -> None:
        join(bob, alice.tenant, Role.ADMIN)

        for person in (alice, bob):
            response = set_role(person, alice.tenant, alice, "member")
            assert response.status_code == 400
            assert (
                "hand the tenant over first" in response.content.decode() or response.json()["data"]["errors"]["role"]
            )
        assert roles(alice.tenant)["alice"] == "owner"

    @pytest.mark.parametrize("role", ["owner", "guest", "", None, 1, ["admin"]])
    def test_no_other_role_can_be_given(self, role: Any, alice: Person, bob: Person) -> None:
        assert alice.client.send("PUT", path(alice.tenant, "members", bob.user.id), {"role": role}).status_code == 400
        assert roles(alice.tenant)["bob"] == "member"

    def test_somebody_else_is_no_member(self, alice: Person, charlie: Person) -> None:
        assert set_role(alice, alice.tenant, charlie, "viewer").status_code == 404
        assert remove(alice, alice.tenant, charlie).status_code == 404
        assert roles(alice.tenant) == {"alice": "owner"}

    def test_members_of_a_suspended_tenant_stay(self, alice: Person, bob: Person) -> None:
        Tenant.objects.filter(pk=alice.tenant.pk).update(status=TenantStatus.SUSPENDED)

        assert set_role(alice, alice.tenant, bob, "viewer").status_code == 409
        assert remove(alice, alice.tenant, bob).status_code == 409


class TestRemoval:
    def test_admin_removes_a_member_who_reads_nothing_more(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant, Role.ADMIN)

        assert remove(dora, alice.tenant, bob).status_code == 200

        assert bob.client.get(path(alice.tenant)).status_code == 404
        assert last_entry("membership.remove").before == {"user": bob.user.id, "username": "bob", "role": "member"}

    @pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER, Role.VIEWER])
    def test_member_leaves(self, role: Role, alice: Person, bob: Person) -> None:
        join(bob, alice.tenant, role)

        assert remove(bob, alice.tenant, bob).status_code == 200

        assert roles(alice.tenant) == {"alice": "owner"}

    def test_member_leaves_a_suspended_tenant(self, alice: Person, bob: Person) -> None:
        Tenant.objects.filter(pk=alice.tenant.pk).update(status=TenantStatus.SUSPENDED)

        assert remove(bob, alice.tenant, bob).status_code == 200

    def test_owner_can_neither_leave_nor_be_removed(self, alice: Person, bob: Person) -> None:
        join(bob, alice.tenant, Role.ADMIN)

        for person in (alice, bob):
            assert remove(person, alice.tenant, alice).status_code == 400
        assert roles(alice.tenant)["alice"] == "owner"


class TestHandingOver:
    def test_tenant_belongs_to_the_other_when_they_accept(self, alice: Person, bob: Person) -> None:
        offered = offer(alice, alice.tenant, bob)
        assert offered.status_code == 200
        assert offered.json()["data"]["user_id"] == bob.user.id
        assert roles(alice.tenant) == {"alice": "owner", "bob": "member"}

        accepted = accept(bob, alice.tenant)

        assert accepted.status_code == 200
        assert accepted.json()["data"]["owner_id"] == bob.user.id
        assert roles(alice.tenant) == {"alice": "admin", "bob": "owner"}
        entry = last_entry("ownership.transfer")
        assert (entry.before, entry.after) == ({"owner_id": alice.user.id}, {"owner_id": bob.user.id})
        assert remove(alice, alice.tenant, alice).status_code == 200, "who owned it can leave"

    def test_only_the_person_it_is_offered_to_can_accept(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant, Role.ADMIN)
        offer(alice, alice.tenant, bob)

        assert [accept(person, alice.tenant).status_code for person in (alice, dora)] == [409, 409]
        assert roles(alice.tenant)["alice"] == "owner"

    def test_admin_cannot_offer_it(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant, Role.ADMIN)

        assert offer(dora, alice.tenant, bob).status_code == 403
        assert not OwnershipOffer.objects.exists()

    def test_another_offer_replaces_the_former(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant)
        offer(alice, alice.tenant, bob)
        offer(alice, alice.tenant, dora)

        assert accept(bob, alice.tenant).status_code == 409
        assert accept(dora, alice.tenant).status_code == 200

    def test_offer_ends_when_the_member_leaves(self, alice: Person, bob: Person) -> None:
        offer(alice, alice.tenant, bob)
        remove(bob, alice.tenant, bob)
        join(bob, alice.tenant)

        assert accept(bob, alice.tenant).status_code == 409

    def test_offer_expires(self, alice: Person, bob: Person) -> None:
        offer(alice, alice.tenant, bob)

        with time_machine.travel(timezone.now() + OFFER_LIFETIME + timedelta(seconds=1), tick=False):
            assert accept(bob, alice.tenant).status_code == 409

    @pytest.mark.parametrize("who", ["alice", "bob"])
    def test_offer_is_withdrawn_by_the_owner_or_declined(self, who: str, alice: Person, bob: Person) -> None:
        offer(alice, alice.tenant, bob)

        withdrawn = {"alice": alice, "bob": bob}[who].client.send("DELETE", path(alice.tenant, "ownership-offer"))

        assert withdrawn.status_code == 200
        assert accept(bob, alice.tenant).status_code == 409

    def test_other_members_cannot_withdraw_it(self, alice: Person, bob: Person, dora: Person) -> None:
        join(dora, alice.tenant, Role.ADMIN)
        offer(alice, alice.tenant, bob)

        assert dora.client.send("DELETE", path(alice.tenant, "ownership-offer")).status_code == 403
        assert accept(bob, alice.tenant).status_code == 200

    def test_name_that_the_other_has_already_is_refused(self, alice: Person, bob: Person) -> None:
        Tenant.objects.filter(pk=bob.tenant.pk).update(name_folded=alice.tenant.name_folded)
        offer(alice, alice.tenant, bob)

        response = accept(bob, alice.tenant)

        assert (response.status_code, response.json()["error_code"]) == (409, "TENANT_002")
        assert roles(alice.tenant) == {"alice": "owner", "bob": "member"}
        assert OwnershipOffer.objects.exists(), "it can be accepted when one of the two has another name"
