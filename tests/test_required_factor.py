"""Tenants that require a second factor of their members: tests/test_permissions.py tries every route."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.mail.sender import send_due
from accounts.models import TotpFactor
from agents.services import templates
from tenants.models import Role, Tenant
from tests.support.factors import enrol
from tests.support.mail import Mailbox, parts
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def require(person: Person, *, value: bool = True) -> Any:
    return person.client.send("PUT", f"/api/v1/tenants/{person.tenant.id}", {"requires_mfa": value})


@pytest.fixture
def strict(alice: Person, bob: Person) -> Person:
    """Alice, who has a factor, and whose tenant requires one. Bob has none."""
    enrol(alice.user)
    assert require(alice).status_code == 200
    return alice


def test_person_without_a_factor_cannot_require_one(alice: Person) -> None:
    response = require(alice)

    assert (response.status_code, response.json()["error_code"]) == (403, "TENANT_006")
    assert not Tenant.objects.filter(requires_mfa=True).exists()


@pytest.mark.parametrize(("role", "status"), [(Role.ADMIN, 200), (Role.MEMBER, 403)])
def test_who_may_change_the_tenant_may_require_one(alice: Person, bob: Person, role: Role, status: int) -> None:
    join(bob, alice.tenant, role)
    enrol(bob.user)

    response = bob.client.send("PUT", f"/api/v1/tenants/{alice.tenant.id}", {"requires_mfa": True})

    assert response.status_code == status


def test_internal_surface_may_require_one(alice: Person, internal: Any) -> None:
    response = internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"requires_mfa": True})

    assert response.json()["data"]["requires_mfa"] is True


def test_member_is_let_in_with_a_factor_and_out_without(strict: Person, bob: Person) -> None:
    path = f"/api/v1/tenants/{strict.tenant.id}"
    assert bob.client.get(path).json()["error_code"] == "TENANT_006"

    enrol(bob.user)
    assert bob.client.get(path).status_code == 200

    TotpFactor.objects.filter(user=bob.user).delete()  # recovery codes alone are no factor
    assert bob.client.get(path).status_code == 403


def test_member_without_one_may_read_that_it_is_required(strict: Person, bob: Person) -> None:
    memberships = bob.client.get("/api/v1/auth/me").json()["memberships"]

    assert {each["tenant_id"]: each["requires_mfa"] for each in memberships} == {
        bob.tenant.id: False, strict.tenant.id: True,
    }  # fmt: skip


def test_lists_leave_the_tenant_out_for_who_has_none(strict: Person, bob: Person) -> None:
    make_key(make_agent(strict.tenant, "closed"))
    make_agent(bob.tenant, "open")
    templates.create_template(actor=OPERATOR, tenant=strict.tenant, name="closed")

    def lists(person: Person) -> list[set[str]]:
        tenants = person.client.get("/api/v1/tenants").json()["data"]["items"]
        agents = person.client.get("/api/v1/agents")
        assert int(agents["X-Total-Count"]) == len(agents.json())
        shown = person.client.get("/api/v1/templates").json()
        return [{each["id"] for each in tenants}, *({each["name"] for each in rows} for rows in (agents.json(), shown))]

    assert lists(bob) == [{bob.tenant.id}, {"open"}, set()]
    assert lists(strict) == [{strict.tenant.id}, {"closed"}, {"closed"}]
    enrol(bob.user)
    assert lists(bob) == [{bob.tenant.id, strict.tenant.id}, {"open", "closed"}, {"closed"}]


def test_agents_of_the_tenant_alone_are_none_for_who_has_no_factor(strict: Person, bob: Person) -> None:
    make_agent(strict.tenant)

    response = bob.client.get(f"/api/v1/agents?tenant_id={strict.tenant.id}")

    assert (response.json(), response["X-Total-Count"]) == ([], "0")


def test_many_keys_get_the_refusal_one_by_one(strict: Person, bob: Person) -> None:
    join(bob, strict.tenant, Role.ADMIN)
    closed, own = make_key(make_agent(strict.tenant)).key, make_key(make_agent(bob.tenant)).key

    response = bob.client.send("POST", "/api/v1/api-keys/disable", {"api_key_ids": [closed.id, own.id]})

    items = response.json()["data"]["items"]
    assert [(each["success"], each["error_code"]) for each in items] == [(False, "TENANT_006"), (True, None)]


def test_members_without_one_are_told_once(alice: Person, bob: Person, mailbox: Mailbox) -> None:
    dora, eve = register("dora"), register("eve")
    for person in (alice, bob, dora):
        person.user.set_email(f"{person.user.username}@example.com")
        person.user.save()
    for person in (dora, eve):
        join(person, alice.tenant)
    for person in (alice, dora):
        enrol(person.user)
    send_due()
    mailbox.recipients.clear()

    require(alice)
    require(alice)

    assert send_due() == 1
    assert mailbox.recipients == ["bob@example.com"]
    assert all(alice.tenant.tenant_name in part or "&#x27;" in part for part in parts(mailbox.mails[-1]))
