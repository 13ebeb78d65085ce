"""GET and PATCH /auth/me (docs/contract.md section 7)."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from core.models import AuditEntry
from tenants.models import Role, TenantStatus
from tests.support.people import Person, join, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
ME = "/api/v1/auth/me"
FIELDS = ["id", "username", "email", "is_active", "email_verified", "pending_email", "memberships", "key_notices"]


def test_a_user_reads_their_account_and_memberships(alice: Person) -> None:
    response = alice.client.get(ME)

    assert response.status_code == 200
    assert list(response.json()) == FIELDS
    assert response.json() == {
        "id": alice.user.id,
        "username": "alice",
        "email": None,
        "is_active": True,
        "email_verified": False,
        "pending_email": None,
        "memberships": [
            {
                "tenant_id": alice.tenant.id,
                "tenant_name": "alice's Personal Tenant",
                "tenant_status": "active",
                "role": "owner",
                "requires_mfa": False,
            }
        ],
        "key_notices": True,
    }


def test_memberships_are_oldest_first_and_show_the_tenants_status(alice: Person, bob: Person) -> None:
    alice.tenant.status = TenantStatus.SUSPENDED
    alice.tenant.save(update_fields=["status"])

    memberships = bob.client.get(ME).json()["memberships"]

    assert [(row["tenant_id"], row["role"], row["tenant_status"]) for row in memberships] == [
        (bob.tenant.id, "owner", "active"),
        (alice.tenant.id, "member", "suspended"),
    ]


def test_person_sees_only_their_own_memberships(alice: Person, bob: Person, charlie: Person) -> None:
    assert [row["tenant_id"] for row in charlie.client.get(ME).json()["memberships"]] == [charlie.tenant.id]


def test_an_email_address_can_be_set_changed_and_cleared(alice: Person) -> None:
    for sent, kept in [("a@example.com", "a@example.com"), ("b@example.com", "b@example.com"), (None, None)]:
        response = alice.client.send("PATCH", ME, {"email": sent})
        assert response.status_code == 200
        assert list(response.json()) == FIELDS
        assert response.json()["email"] == kept
        assert alice.client.get(ME).json()["email"] == kept


def test_an_empty_email_address_is_none(alice: Person) -> None:
    alice.client.send("PATCH", ME, {"email": "a@example.com"})

    assert alice.client.send("PATCH", ME, {"email": ""}).json()["email"] is None


@pytest.mark.parametrize(
    "body", [{}, {"username": "root", "is_staff": True, "is_superuser": True, "is_active": False, "id": "x"}]
)
def test_nothing_but_the_email_address_changes(alice: Person, body: dict[str, Any]) -> None:
    before = alice.client.get(ME).json()
    written = AuditEntry.objects.count()

    response = alice.client.send("PATCH", ME, body)

    assert response.status_code == 200
    assert response.json() == before
    user = User.objects.get(pk=alice.user.pk)
    assert (user.username, user.is_staff, user.is_superuser) == ("alice", False, False)
    assert AuditEntry.objects.count() == written, "what changed nothing leaves no row"


@pytest.mark.parametrize("email", ["nonsense", "a b@example.com", 5, ["a@example.com"]])
def test_a_bad_email_address_is_400(alice: Person, email: Any) -> None:
    response = alice.client.send("PATCH", ME, {"email": email})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["email"]
    assert alice.client.get(ME).json()["email"] is None


def test_anothers_email_address_is_400(alice: Person, charlie: Person) -> None:
    charlie.client.send("PATCH", ME, {"email": "charlie@example.com"})

    response = alice.client.send("PATCH", ME, {"email": "Charlie@Example.com"})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["email"]
    assert alice.client.get(ME).json()["email"] is None


def test_ones_own_email_address_is_no_duplicate(alice: Person) -> None:
    alice.client.send("PATCH", ME, {"email": "alice@example.com"})

    response = alice.client.send("PATCH", ME, {"email": "Alice@Example.com"})

    assert response.json()["email"] == "Alice@Example.com"


def test_put_is_not_allowed(alice: Person) -> None:
    response = alice.client.send("PUT", ME, {"email": "a@example.com"})

    assert response.status_code == 405
    assert response.json()["code"] == "METHOD_NOT_ALLOWED"
    assert "PATCH" in response["Allow"]


def test_new_membership_is_listed(alice: Person) -> None:
    dora = register("dora")

    join(dora, alice.tenant, Role.ADMIN)

    roles = {row["tenant_id"]: row["role"] for row in dora.client.get(ME).json()["memberships"]}
    assert roles == {dora.tenant.id: "owner", alice.tenant.id: "admin"}
