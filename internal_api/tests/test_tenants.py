"""/api/v2/tenants: every tenant, of anybody or of nobody (docs/contract.md section 8)."""

from __future__ import annotations

from typing import Any

import pytest

from core.models import AuditEntry
from tenants.models import Membership, Tenant
from tests.support.client import SurfaceClient
from tests.support.people import Person

pytestmark = pytest.mark.django_db
TENANTS = "/api/v2/tenants"


def create(internal: SurfaceClient, name: str = "Acme", **fields: Any) -> Any:
    return internal.send("POST", TENANTS, {"tenant_name": name, "tenant_type": "enterprise", **fields})


def created(internal: SurfaceClient, name: str = "Acme", **fields: Any) -> dict[str, Any]:
    response = create(internal, name, **fields)
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def refused(response: Any, status: int, code: str) -> None:
    assert response.status_code == status, response.content
    assert response.json()["success"] is False
    assert response.json()["error_code"] == code


def test_a_tenant_needs_no_owner(internal: SurfaceClient) -> None:
    data = created(internal)

    assert data["owner_id"] is None
    assert data["tenant_id"] == data["id"]
    assert not Membership.objects.exists()


def test_an_owner_who_is_named_becomes_one(internal: SurfaceClient, alice: Person) -> None:
    data = created(internal, owner_id=alice.user.id)

    assert data["owner_id"] == alice.user.id
    assert alice.client.get(f"/api/v1/tenants/{data['id']}").status_code == 200
    assert Membership.objects.get(tenant_id=data["id"]).role == "owner"


def test_an_owner_who_is_no_user_here_is_kept_and_gets_no_rights(internal: SurfaceClient, db: None) -> None:
    data = created(internal, owner_id="user_000000000000")

    assert data["owner_id"] == "user_000000000000"
    assert internal.get(f"{TENANTS}/{data['id']}").json()["data"] == data
    assert not Membership.objects.exists()


@pytest.mark.parametrize("owner_id", ["", "  ", None])
def test_a_blank_owner_is_none(internal: SurfaceClient, db: None, owner_id: Any) -> None:
    assert created(internal, owner_id=owner_id)["owner_id"] is None


@pytest.mark.parametrize("owner_id", [5, "x" * 51, ["user_000000000000"]])
def test_an_owner_id_that_cannot_be_one_is_400(internal: SurfaceClient, owner_id: Any) -> None:
    response = create(internal, owner_id=owner_id)

    refused(response, 400, "VALIDATION_ERROR")
    assert list(response.json()["data"]["errors"]) == ["owner_id"]
    assert not Tenant.objects.exists()


def test_names_are_unique_for_an_owner_and_among_those_without_one(
    internal: SurfaceClient, alice: Person, charlie: Person
) -> None:
    owners = (None, alice.user.id, charlie.user.id, "user_000000000000", "user_111111111111")
    for owner_id in owners:
        created(internal, "Acme", owner_id=owner_id)

    for owner_id in owners:
        refused(create(internal, "ACME", owner_id=owner_id), 409, "TENANT_002")
    assert Tenant.objects.filter(name_folded="acme").count() == 5


def test_names_without_an_owner_compare_by_their_characters(internal: SurfaceClient) -> None:
    for name in ("bot 🤖", "bot 😀", "resume", "résumé"):
        created(internal, name)

    refused(create(internal, "bot 🤖"), 409, "TENANT_002")


@pytest.mark.parametrize("status", ["active", "inactive", "suspended"])
def test_a_status_can_be_set(internal: SurfaceClient, status: str) -> None:
    path = f"{TENANTS}/{created(internal)['id']}"

    response = internal.send("PUT", path, {"status": status})

    assert response.status_code == 200
    assert response.json()["data"]["status"] == status
    assert internal.get(path).json()["data"]["status"] == status


@pytest.mark.parametrize("status", ["deleted", "", 5, ["active"]])
def test_no_other_status_can_be_set(internal: SurfaceClient, status: Any) -> None:
    path = f"{TENANTS}/{created(internal)['id']}"

    response = internal.send("PUT", path, {"status": status, "tenant_name": "new"})

    refused(response, 400, "VALIDATION_ERROR")
    assert list(response.json()["data"]["errors"]) == ["status"]
    assert internal.get(path).json()["data"]["tenant_name"] == "Acme"


def test_a_suspended_tenant_can_still_be_changed_from_inside(internal: SurfaceClient) -> None:
    path = f"{TENANTS}/{created(internal)['id']}"
    internal.send("PUT", path, {"status": "suspended"})

    assert internal.send("PUT", path, {"description": "new"}).status_code == 200


def test_every_tenant_is_listed_newest_first(internal: SurfaceClient, alice: Person, charlie: Person) -> None:
    ownerless = created(internal)["id"]

    response = internal.get(TENANTS)

    data = response.json()["data"]
    assert {**data, "items": None} == {
        "items": None,
        "total": 3,
        "page": 1,
        "size": 20,
        "pages": 1,
        "next_after": None,
    }
    assert [row["id"] for row in data["items"]] == [ownerless, charlie.tenant.id, alice.tenant.id]
    assert response.json()["tenant_id"] is None


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_tenant_is_404(internal: SurfaceClient, method: str) -> None:
    refused(internal.send(method, f"{TENANTS}/tenant_000000000000", {}), 404, "TENANT_001")


def test_a_deleted_tenant_is_gone(internal: SurfaceClient, alice: Person) -> None:
    response = internal.delete(f"{TENANTS}/{alice.tenant.id}")

    assert response.status_code == 200
    assert response.json()["data"] == {"id": alice.tenant.id}
    refused(internal.get(f"{TENANTS}/{alice.tenant.id}"), 404, "TENANT_001")


def test_the_audit_log_says_it_came_from_inside(internal: SurfaceClient) -> None:
    tenant_id = created(internal)["id"]

    entry = AuditEntry.objects.get(object_id=tenant_id)

    assert (entry.actor_kind, entry.actor_id, entry.action) == ("internal", None, "tenant.create")
