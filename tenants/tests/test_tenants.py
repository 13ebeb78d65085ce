"""/api/v1/tenants: v2's envelope, with a token, and only one's own (docs/contract.md sections 6 to 8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone
from time_machine import travel

from core.models import AuditEntry
from tenants.models import Membership, Tenant, TenantStatus
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
TENANTS = "/api/v1/tenants"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIELDS = [
    "id",
    "tenant_id",
    "tenant_name",
    "tenant_type",
    "description",
    "contact_email",
    "tenant_config",
    "status",
    "owner_id",
    "created_at",
    "updated_at",
    "config_schema",
    "rate_limit",
    "quota",
    "limits",
    "requires_mfa",
    "revision",
]


def create(person: Person, name: str = "Acme", **fields: Any) -> Any:
    return person.client.send("POST", TENANTS, {"tenant_name": name, "tenant_type": "enterprise", **fields})


def created(person: Person, name: str = "Acme", **fields: Any) -> dict[str, Any]:
    response = create(person, name, **fields)
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Return the envelope of an error response."""
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    assert list(body) == ENVELOPE
    assert body["success"] is False
    assert body["error_code"] == code
    assert body["error"]
    return body


class TestCreating:
    def test_response_is_the_tenant_in_an_envelope(self, alice: Person) -> None:
        with travel(NOON, tick=False):
            response = create(alice, description="Makers", contact_email="the front desk", tenant_config={"a": [1]})

        assert response.status_code == 200
        body = response.json()
        assert list(body) == ENVELOPE
        assert (body["success"], body["error"], body["error_code"]) == (True, None, None)
        assert body["tenant_id"] == body["data"]["id"]
        assert body["timestamp"] == "2026-01-31T12:00:00Z"
        assert list(body["data"]) == FIELDS
        assert body["data"] == {
            "id": body["data"]["id"],
            "tenant_id": body["data"]["id"],
            "tenant_name": "Acme",
            "tenant_type": "enterprise",
            "description": "Makers",
            "contact_email": "the front desk",
            "tenant_config": {"a": [1]},
            "status": "active",
            "owner_id": alice.user.id,
            "created_at": "2026-01-31T12:00:00Z",
            "updated_at": "2026-01-31T12:00:00Z",
            "config_schema": None,
            "rate_limit": None,
            "quota": None,
            "limits": None,
            "requires_mfa": False,
            "revision": NOON.timestamp() * 1000,
        }

    def test_creator_owns_the_tenant(self, alice: Person) -> None:
        tenant_id = created(alice)["id"]

        membership = Membership.objects.get(tenant_id=tenant_id)
        assert (membership.user_id, membership.role) == (alice.user.id, "owner")

    @pytest.mark.embedded
    @pytest.mark.parametrize("owner", ["somebody else's", "user_nobody", 5, None, ["x"]])
    def test_the_owner_sent_is_ignored(self, alice: Person, charlie: Person, owner: Any) -> None:
        data = created(alice, owner_id=charlie.user.id if owner == "somebody else's" else owner)

        assert data["owner_id"] == alice.user.id

    @pytest.mark.embedded
    @pytest.mark.parametrize("status", ["suspended", "nonsense", 5, None])
    def test_the_status_sent_is_ignored(self, alice: Person, status: Any) -> None:
        assert created(alice, status=status)["status"] == "active"

    @pytest.mark.embedded
    def test_null_means_absent(self, alice: Person) -> None:
        data = created(alice, description=None, contact_email=None, tenant_config=None)

        assert (data["description"], data["contact_email"], data["tenant_config"]) == (None, None, None)

    @pytest.mark.embedded
    @pytest.mark.parametrize("tenant_type", ["personal", "enterprise"])
    def test_a_tenant_has_one_of_two_types(self, alice: Person, tenant_type: str) -> None:
        assert created(alice, tenant_type=tenant_type)["tenant_type"] == tenant_type

    @pytest.mark.parametrize("name", ["x" * 255, "企业 🤖", "o'brien & co."])
    def test_a_name_has_up_to_255_characters(self, alice: Person, name: str) -> None:
        assert created(alice, name)["tenant_name"] == name

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("tenant_name", "x" * 256),
            ("tenant_name", ""),
            ("tenant_name", "  "),
            ("tenant_name", 5),
            ("tenant_name", None),
            ("tenant_type", "other"),
            ("tenant_type", None),
            ("tenant_type", ["personal"]),
            ("description", "x" * 2001),
            ("description", 5),
            ("contact_email", "x" * 256),
            ("tenant_config", []),
            ("tenant_config", "text"),
        ],
    )
    def test_bad_input_is_named(self, alice: Person, field: str, value: Any) -> None:
        body = refused(create(alice, **{"tenant_name": "Acme", field: value}), 400, "VALIDATION_ERROR")

        assert list(body["data"]) == ["errors"]
        assert list(body["data"]["errors"]) == [field]
        assert Tenant.objects.count() == 1, "Alice's personal tenant, as before"

    def test_a_config_is_at_most_28_deep(self, alice: Person) -> None:
        deep: Any = {}
        for _ in range(27):
            deep = {"a": deep}

        assert created(alice, "deep", tenant_config=deep)["tenant_config"] == deep
        refused(create(alice, "too deep", tenant_config={"a": deep}), 400, "VALIDATION_ERROR")


class TestNames:
    @pytest.mark.parametrize("second", ["Acme", "ACME", " acme "])
    def test_a_name_is_unique_for_its_owner(self, alice: Person, second: str) -> None:
        created(alice, "Acme")

        refused(create(alice, second), 409, "TENANT_002")
        assert Tenant.objects.filter(owner=alice.user).count() == 2

    def test_two_owners_may_use_one_name(self, alice: Person, charlie: Person) -> None:
        created(alice, "Acme")

        assert create(charlie, "Acme").status_code == 200

    def test_an_ownerless_tenant_does_not_take_the_name(self, alice: Person, internal: SurfaceClient) -> None:
        internal.send("POST", "/api/v2/tenants", {"tenant_name": "Acme", "tenant_type": "enterprise"})

        assert create(alice, "Acme").status_code == 200

    def test_emoji_are_different_names(self, alice: Person) -> None:
        created(alice, "bot 🤖")

        assert create(alice, "bot 😀").status_code == 200

    def test_a_rename_to_a_taken_name_changes_nothing(self, alice: Person) -> None:
        created(alice, "Acme")
        other = created(alice, "Other")

        response = alice.client.send("PUT", f"{TENANTS}/{other['id']}", {"tenant_name": "ACME", "description": "new"})

        refused(response, 409, "TENANT_002")
        assert alice.client.get(f"{TENANTS}/{other['id']}").json()["data"] == other

    def test_a_tenant_may_keep_its_name_in_another_case(self, alice: Person) -> None:
        tenant = created(alice, "Acme")

        response = alice.client.send("PUT", f"{TENANTS}/{tenant['id']}", {"tenant_name": "ACME"})

        assert response.json()["data"]["tenant_name"] == "ACME"


class TestListing:
    def listed(self, person: Person, query: str = "") -> dict[str, Any]:
        response = person.client.get(f"{TENANTS}{query}")
        assert response.status_code == 200, response.content
        data: dict[str, Any] = response.json()["data"]
        assert list(data) == ["items", "total", "page", "size", "pages", "next_after"]
        return data

    def test_person_sees_only_their_own_tenants(self, alice: Person, bob: Person, charlie: Person) -> None:
        created(charlie, "Charlie's other")

        assert {row["id"] for row in self.listed(alice)["items"]} == {alice.tenant.id}
        assert {row["id"] for row in self.listed(bob)["items"]} == {alice.tenant.id, bob.tenant.id}
        assert self.listed(charlie)["total"] == 2

    def test_newest_first_in_pages(self, alice: Person) -> None:
        for number in range(4):
            with travel(timezone.now() + timedelta(days=number + 1), tick=False):
                created(alice, f"tenant {number}")

        first = self.listed(alice, "?page=1&size=3")
        second = self.listed(alice, "?page=2&size=3")

        assert [row["tenant_name"] for row in first["items"]] == ["tenant 3", "tenant 2", "tenant 1"]
        assert [row["tenant_name"] for row in second["items"]] == ["tenant 0", "alice's Personal Tenant"]
        assert {**first, "items": None} == {
            "items": None,
            "total": 5,
            "page": 1,
            "size": 3,
            "pages": 2,
            "next_after": None,
        }
        assert list(first["items"][0]) == FIELDS

    def test_ties_are_ordered_by_id(self, alice: Person) -> None:
        with travel(timezone.now() + timedelta(days=1), tick=False):
            ids = [created(alice, f"tenant {number}")["id"] for number in range(5)]

        pages = [self.listed(alice, f"?page={page}&size=2")["items"] for page in (1, 2, 3)]

        assert [row["id"] for page in pages for row in page] == [*sorted(ids, reverse=True), alice.tenant.id]

    def test_a_page_has_20_without_a_size(self, alice: Person) -> None:
        assert self.listed(alice)["size"] == 20

    @pytest.mark.parametrize("query", ["?page=2", "?page=1000000&size=100", "?page=2147483647&size=100"])
    def test_page_after_the_last_is_empty(self, alice: Person, query: str) -> None:
        page = self.listed(alice, query)

        assert (page["items"], page["total"], page["pages"]) == ([], 1, 1)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("?page=0", "page"),
            ("?page=-1", "page"),
            ("?page=99999999999999999999", "page"),
            ("?page=one", "page"),
            ("?page=1.5", "page"),
            ("?page=", "page"),
            ("?size=0", "size"),
            ("?size=101", "size"),
        ],
    )
    def test_an_absurd_page_is_400(self, alice: Person, query: str, field: str) -> None:
        body = refused(alice.client.get(f"{TENANTS}{query}"), 400, "VALIDATION_ERROR")

        assert list(body["data"]["errors"]) == [field]


@pytest.mark.embedded
class TestReading:
    def test_owner_and_member_may_read_the_tenant(self, alice: Person, bob: Person) -> None:
        for person in (alice, bob):
            response = person.client.get(f"{TENANTS}/{alice.tenant.id}")
            assert response.status_code == 200
            assert list(response.json()["data"]) == FIELDS
            assert response.json()["tenant_id"] == alice.tenant.id

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_another_persons_tenant_and_a_missing_one_give_the_same_404(
        self, alice: Person, charlie: Person, method: str
    ) -> None:
        foreign = refused(charlie.client.send(method, f"{TENANTS}/{alice.tenant.id}", {}), 404, "TENANT_001")
        missing = refused(charlie.client.send(method, f"{TENANTS}/tenant_000000000000", {}), 404, "TENANT_001")

        differing = {"timestamp", "request_id", "execution_time"}
        assert {key: foreign[key] for key in foreign if key not in differing} == {
            key: missing[key] for key in missing if key not in differing
        }
        assert Tenant.objects.filter(pk=alice.tenant.id).exists()

    def test_without_a_token_it_is_401_in_an_envelope(self, alice: Person, public: SurfaceClient) -> None:
        response = public.get(f"{TENANTS}/{alice.tenant.id}")

        refused(response, 401, "AUTHENTICATION_REQUIRED")
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.embedded
class TestChanging:
    def test_only_what_is_sent_changes(self, alice: Person) -> None:
        with travel(NOON, tick=False):
            before = created(alice, description="old", contact_email="x", tenant_config={"a": 1, "b": 2})

        with travel(NOON + timedelta(seconds=1.5), tick=False):
            response = alice.client.send("PUT", f"{TENANTS}/{before['id']}", {"description": "new"})

        assert response.status_code == 200
        assert response.json()["data"] == {
            **before,
            "description": "new",
            "updated_at": "2026-01-31T12:00:01.500000Z",
            "revision": before["revision"] + 1,
        }

    def test_a_config_is_replaced(self, alice: Person) -> None:
        tenant = created(alice, tenant_config={"a": 1, "b": {"c": 2}})

        response = alice.client.send("PUT", f"{TENANTS}/{tenant['id']}", {"tenant_config": {"b": {"d": None}}})

        assert response.json()["data"]["tenant_config"] == {"b": {"d": None}}

    def test_null_leaves_every_field_alone(self, alice: Person) -> None:
        tenant = created(alice, description="x", contact_email="x", tenant_config={"a": 1})

        response = alice.client.send(
            "PUT",
            f"{TENANTS}/{tenant['id']}",
            {"tenant_name": None, "description": None, "contact_email": None, "tenant_config": None},
        )

        assert response.json()["data"] == tenant

    def test_an_empty_value_empties_a_field(self, alice: Person) -> None:
        tenant = created(alice, description="x", contact_email="x", tenant_config={"a": 1})
        empty = {"description": "", "contact_email": "", "tenant_config": {}}

        data = alice.client.send("PUT", f"{TENANTS}/{tenant['id']}", empty).json()["data"]

        moved = {"updated_at": data["updated_at"], "revision": tenant["revision"] + 1}
        assert data == {**tenant, **empty, **moved}

    @pytest.mark.parametrize("status", ["suspended", "nonsense", 5])
    def test_status_and_owner_are_ignored(self, alice: Person, charlie: Person, status: Any) -> None:
        before = created(alice)

        response = alice.client.send(
            "PUT",
            f"{TENANTS}/{before['id']}",
            {"status": status, "owner_id": charlie.user.id, "tenant_type": "personal", "id": "tenant_mine"},
        )

        assert response.status_code == 200
        assert response.json()["data"] == before

    def test_a_change_that_changes_nothing_leaves_no_audit_row(self, alice: Person) -> None:
        tenant = created(alice)
        written = AuditEntry.objects.count()

        alice.client.send("PUT", f"{TENANTS}/{tenant['id']}", {"tenant_name": "Acme"})

        assert AuditEntry.objects.count() == written

    def test_a_member_may_not_change_or_delete_it(self, alice: Person, bob: Person) -> None:
        path = f"{TENANTS}/{alice.tenant.id}"

        refused(bob.client.send("PUT", path, {"tenant_name": "Bob's"}), 403, "FORBIDDEN")
        refused(bob.client.delete(path), 403, "FORBIDDEN")

        assert alice.client.get(path).json()["data"]["tenant_name"] == "alice's Personal Tenant"


def test_suspended_tenant_is_read_only_for_people(alice: Person) -> None:
    Tenant.objects.filter(pk=alice.tenant.pk).update(status=TenantStatus.SUSPENDED)
    path = f"{TENANTS}/{alice.tenant.id}"

    refused(alice.client.send("PUT", path, {"tenant_name": "new"}), 409, "TENANT_003")
    refused(alice.client.delete(path), 409, "TENANT_003")
    agent = alice.client.send("POST", "/api/v1/agents", {"name": "bot"})

    assert (agent.status_code, agent.json()["code"]) == (409, "TENANT_003")
    assert alice.client.get(path).json()["data"]["status"] == "suspended"


def test_deleting_a_tenant_deletes_everything_in_it(alice: Person, charlie: Person, internal: SurfaceClient) -> None:
    """These are agents, keys and their secrets, plugin settings, heartbeats and memberships."""
    for person in (alice, charlie):
        agent = make_agent(person.tenant)
        make_key(agent)
        scope = f"tenant_id={person.tenant.id}"
        for query in (scope, f"{scope}&agent_id={agent.id}"):
            internal.send("POST", f"/api/v1/plugins/settings?{query}", {"plugin_name": "dice", "enabled": True})
        ids = {"tenant_id": person.tenant.id, "agent_id": agent.id}
        internal.send("PUT", "/api/v2/agent-activity", {**ids, "ttl_seconds": 60})

    response = alice.client.delete(f"{TENANTS}/{alice.tenant.id}")

    assert response.status_code == 200
    assert response.json()["data"] == {"id": alice.tenant.id}
    for name, per_tenant in (
        ("agents.Agent", 1),
        ("apikeys.ApiKey", 1),
        ("agents.PluginSetting", 2),
        ("agents.AgentActivity", 1),
    ):
        rows = apps.get_model(name).unscoped.values_list("tenant_id", flat=True)
        assert list(rows) == [charlie.tenant.id] * per_tenant
    secrets = apps.get_model("apikeys.KeySecret").objects
    assert list(secrets.values_list("key__tenant_id", flat=True)) == [charlie.tenant.id]
    assert list(Membership.objects.values_list("tenant_id", flat=True)) == [charlie.tenant.id]
    refused(alice.client.get(f"{TENANTS}/{alice.tenant.id}"), 404, "TENANT_001")


def test_each_write_leaves_an_audit_row(alice: Person) -> None:
    path = f"{TENANTS}/{created(alice)['id']}"
    alice.client.send("PUT", path, {"description": "new"}, HTTP_X_REQUEST_ID="my-request")
    alice.client.delete(path)

    entries = AuditEntry.objects.filter(object_id=path.rpartition("/")[2]).order_by("id")

    assert [entry.action for entry in entries] == ["tenant.create", "tenant.update", "tenant.delete"]
    assert {entry.actor_id for entry in entries} == {alice.user.id}
    changed = entries[1]
    assert (changed.before, changed.after) == ({"description": None}, {"description": "new"})
    assert changed.request_id == "my-request"
