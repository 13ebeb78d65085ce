"""/api/v1/agents: a person's agents over all their tenants (docs/contract.md section 7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from time_machine import travel

from agents.models import Agent, AgentActivity, PluginSetting
from agents.tests.wire import AGENTS, create, created, refused
from core.models import AuditEntry
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIELDS = [
    "id",
    "tenant_id",
    "name",
    "description",
    "config",
    "template_id",
    "status",
    "tags",
    "created_at",
    "updated_at",
    "config_schema",
    "rate_limit",
    "quota",
    "revision",
    "config_warnings",
]


class TestCreating:
    def test_response_is_the_agent(self, alice: Person) -> None:
        with travel(NOON, tick=False):
            response = create(
                alice,
                description="helps",
                config={"model": "gpt-4", "temperature": 0.7},
                template_id="free text",
                tags=["a", "b"],
            )

        assert response.status_code == 200
        body = response.json()
        assert list(body) == FIELDS
        assert body["id"].startswith("agent_")
        assert body == {
            "id": body["id"],
            "tenant_id": alice.tenant.id,
            "name": "bot",
            "description": "helps",
            "config": {"model": "gpt-4", "temperature": 0.7},
            "template_id": "free text",
            "status": "active",
            "tags": ["a", "b"],
            "created_at": "2026-01-31T12:00:00Z",
            "updated_at": "2026-01-31T12:00:00Z",
            "config_schema": None,
            "rate_limit": None,
            "quota": None,
            "revision": NOON.timestamp() * 1000,
            "config_warnings": [],
        }
        assert alice.client.get(f"{AGENTS}/{body['id']}").json() == body

    @pytest.mark.embedded
    def test_only_a_name_is_required(self, alice: Person) -> None:
        agent = created(alice)

        assert (agent["description"], agent["config"], agent["template_id"], agent["tags"]) == (None, {}, None, [])

    @pytest.mark.embedded
    def test_null_means_absent(self, alice: Person) -> None:
        agent = created(alice, description=None, config=None, template_id=None, tags=None, tenant_id=None)

        assert (agent["description"], agent["config"], agent["template_id"], agent["tags"]) == (None, {}, None, [])
        assert agent["tenant_id"] == alice.tenant.id

    @pytest.mark.embedded
    def test_unknown_keys_are_ignored(self, alice: Person) -> None:
        agent = created(alice, status="archived", id="agent_mine", created_at="2000-01-01T00:00:00Z", colour="red")

        assert agent["status"] == "active"
        assert agent["id"] != "agent_mine"
        assert not agent["created_at"].startswith("2000")

    @pytest.mark.embedded
    def test_agent_is_created_in_the_persons_first_tenant_by_default(
        self, alice: Person, bob: Person, other_tenant: Tenant
    ) -> None:
        assert created(alice)["tenant_id"] == alice.tenant.id
        assert created(bob)["tenant_id"] == bob.tenant.id

    @pytest.mark.embedded
    def test_agent_is_created_in_the_named_tenant(self, alice: Person, bob: Person, other_tenant: Tenant) -> None:
        assert created(alice, tenant_id=other_tenant.id)["tenant_id"] == other_tenant.id
        assert created(bob, tenant_id=alice.tenant.id)["tenant_id"] == alice.tenant.id, "members write agents"

    @pytest.mark.embedded
    def test_another_persons_tenant_gives_404(self, alice: Person, charlie: Person) -> None:
        refused(create(charlie, tenant_id=alice.tenant.id), 404, "TENANT_001")
        refused(create(charlie, tenant_id="tenant_000000000000"), 404, "TENANT_001")
        assert not Agent.unscoped.exists()

    @pytest.mark.embedded
    def test_person_without_a_tenant_gets_404(self, charlie: Person) -> None:
        charlie.client.delete(f"/api/v1/tenants/{charlie.tenant.id}")

        refused(create(charlie), 404, "TENANT_001")

    @pytest.mark.embedded
    def test_new_agent_is_not_active(self, alice: Person) -> None:
        created(alice)

        assert not AgentActivity.unscoped.exists()

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "   "),
            ("name", "x" * 101),
            ("name", 5),
            ("name", None),
            ("description", "x" * 2001),
            ("description", 5),
            ("config", []),
            ("config", "text"),
            ("config", 5),
            ("template_id", "x" * 51),
            ("template_id", 5),
            ("tags", "a"),
            ("tags", {"a": 1}),
            ("tags", ["x"] * 51),
            ("tenant_id", 5),
        ],
    )
    def test_bad_input_is_named(self, alice: Person, field: str, value: Any) -> None:
        body = refused(create(alice, **{"name": "bot", field: value}), 400, "VALIDATION_ERROR")

        assert list(body["errors"]) == [field]
        assert not Agent.unscoped.exists()

    @pytest.mark.embedded
    @pytest.mark.parametrize("tag", [5, None, "", "x" * 65, ["a"]])
    def test_too_long_tag_is_refused(self, alice: Person, tag: Any) -> None:
        body = refused(create(alice, tags=["good", tag]), 400, "VALIDATION_ERROR")

        assert list(body["errors"]) == ["tags.1"]

    def test_the_longest_input_is_stored(self, alice: Person) -> None:
        agent = created(alice, "小" * 100, description="🤖" * 2000, template_id="x" * 50, tags=["y" * 64] * 50)

        assert alice.client.get(f"{AGENTS}/{agent['id']}").json() == agent


class TestNames:
    @pytest.mark.parametrize("second", ["Bot", "BOT", " bot "])
    def test_a_name_is_unique_in_its_tenant(self, alice: Person, bob: Person, second: str) -> None:
        created(alice, "bot")

        refused(create(alice, second), 409, "AGENT_002")
        refused(create(bob, second, tenant_id=alice.tenant.id), 409, "AGENT_002")
        assert Agent.unscoped.count() == 1

    def test_two_tenants_may_use_the_same_name(self, alice: Person, charlie: Person, other_tenant: Tenant) -> None:
        for person, tenant_id in ((alice, None), (alice, other_tenant.id), (charlie, None)):
            created(person, "bot", tenant_id=tenant_id)

    def test_emoji_are_different_names(self, alice: Person) -> None:
        created(alice, "bot 🤖")
        created(alice, "bot 😀")

        refused(create(alice, "BOT 😀"), 409, "AGENT_002")

    def test_a_rename_to_a_taken_name_changes_nothing(self, alice: Person) -> None:
        created(alice, "bot")
        other = created(alice, "other", description="old")

        response = alice.client.send("PUT", f"{AGENTS}/{other['id']}", {"name": "BOT", "description": "new"})

        refused(response, 409, "AGENT_002")
        assert alice.client.get(f"{AGENTS}/{other['id']}").json() == other


@pytest.mark.embedded
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
class TestChanging:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", "new name"),
            ("description", "new"),
            ("template_id", "new"),
            ("tags", ["new"]),
            ("tags", []),
            ("status", "inactive"),
            ("status", "archived"),
        ],
    )
    def test_only_what_is_sent_changes(self, alice: Person, method: str, field: str, value: Any) -> None:
        with travel(NOON, tick=False):
            before = created(alice, description="old", template_id="old", tags=["old"], config={"a": 1})

        with travel(NOON + timedelta(seconds=1), tick=False):
            response = alice.client.send(method, f"{AGENTS}/{before['id']}", {field: value})

        assert response.status_code == 200
        expected = {field: value, "updated_at": "2026-01-31T12:00:01Z", "revision": before["revision"] + 1}
        assert response.json() == {**before, **expected}
        assert alice.client.get(f"{AGENTS}/{before['id']}").json() == response.json()

    def test_config_is_merged(self, alice: Person, method: str) -> None:
        agent = created(alice, config={"a": {"b": 1, "c": 2}, "d": 3})

        response = alice.client.send(method, f"{AGENTS}/{agent['id']}", {"config": {"a": {"b": None, "e": 4}}})

        assert response.json()["config"] == {"a": {"c": 2, "e": 4}, "d": 3}

    def test_null_leaves_every_field_alone(self, alice: Person, method: str) -> None:
        before = created(alice, description="old", template_id="old", tags=["old"], config={"a": 1})
        nothing = dict.fromkeys(
            ["name", "description", "config", "template_id", "tags", "status", "config_schema", "rate_limit", "quota"]
        )

        response = alice.client.send(method, f"{AGENTS}/{before['id']}", nothing)

        assert response.json() == before

    def test_an_empty_value_empties_a_field_and_detaches_the_template(self, alice: Person, method: str) -> None:
        before = created(alice, description="old", template_id="old", tags=["old"])

        response = alice.client.send(
            method, f"{AGENTS}/{before['id']}", {"description": "", "template_id": "", "tags": []}
        )

        after = response.json()
        moved = {"updated_at": after["updated_at"], "revision": before["revision"] + 1}
        assert after == {**before, "description": "", "template_id": None, "tags": [], **moved}

    @pytest.mark.parametrize("body", [{}, {"name": "bot", "config": {"a": 1}}, {"id": "x", "tenant_id": "tenant_x"}])
    def test_update_without_a_change_writes_nothing(self, alice: Person, method: str, body: dict[str, Any]) -> None:
        before = created(alice, config={"a": 1})
        written = AuditEntry.objects.count()

        response = alice.client.send(method, f"{AGENTS}/{before['id']}", body)

        assert response.status_code == 200
        assert response.json() == before
        assert AuditEntry.objects.count() == written

    @pytest.mark.parametrize(
        ("field", "value"),
        [("name", ""), ("name", "x" * 101), ("name", 5), ("status", "gone"), ("tags", 5), ("config", [])],
    )
    def test_bad_input_changes_nothing(self, alice: Person, method: str, field: str, value: Any) -> None:
        before = created(alice)

        response = alice.client.send(method, f"{AGENTS}/{before['id']}", {"description": "new", field: value})

        assert list(refused(response, 400, "VALIDATION_ERROR")["errors"]) == [field]
        assert alice.client.get(f"{AGENTS}/{before['id']}").json() == before

    def test_member_may_change_an_agent(self, alice: Person, bob: Person, method: str) -> None:
        agent = created(alice)

        response = bob.client.send(method, f"{AGENTS}/{agent['id']}", {"description": "Bob's"})

        assert response.json()["description"] == "Bob's"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_persons_agent_and_a_missing_one_give_the_same_404(alice: Person, charlie: Person, method: str) -> None:
    agent = created(alice)

    foreign = charlie.client.send(method, f"{AGENTS}/{agent['id']}", {"description": "Charlie's"})
    missing = charlie.client.send(method, f"{AGENTS}/agent_000000000000", {"description": "Charlie's"})

    assert refused(foreign, 404, "AGENT_001") == refused(missing, 404, "AGENT_001")
    assert alice.client.get(f"{AGENTS}/{agent['id']}").json() == agent


def test_ids_compare_byte_by_byte(alice: Person) -> None:
    agent_id = created(alice)["id"]

    for other in (agent_id.upper(), agent_id.capitalize(), f"%20{agent_id}"):
        refused(alice.client.get(f"{AGENTS}/{other}"), 404, "AGENT_001")


def test_deleting_an_agent_deletes_its_keys_settings_and_heartbeat(alice: Person, internal: SurfaceClient) -> None:
    doomed, kept = make_agent(alice.tenant), make_agent(alice.tenant)
    for agent in (doomed, kept):
        make_key(agent)
        alice.client.send(
            "POST", f"/api/v1/plugins/settings?agent_id={agent.id}", {"plugin_name": "x", "enabled": True}
        )
        ids = {"tenant_id": alice.tenant.id, "agent_id": agent.id}
        internal.send("PUT", "/api/v2/agent-activity", {**ids, "ttl_seconds": 60})

    response = alice.client.delete(f"{AGENTS}/{doomed.id}")

    assert response.status_code == 204
    assert response.content == b""
    for model in (apps.get_model("apikeys.ApiKey"), PluginSetting, AgentActivity):
        assert list(model.unscoped.values_list("agent_id", flat=True)) == [kept.id]
    assert list(Agent.unscoped.values_list("id", flat=True)) == [kept.id]
    refused(alice.client.delete(f"{AGENTS}/{doomed.id}"), 404, "AGENT_001")


def test_each_write_leaves_an_audit_row(alice: Person) -> None:
    agent_id = created(alice)["id"]
    alice.client.send("PATCH", f"{AGENTS}/{agent_id}", {"description": "new"})
    alice.client.delete(f"{AGENTS}/{agent_id}")

    entries = list(AuditEntry.objects.filter(object_id=agent_id).order_by("id"))

    assert [entry.action for entry in entries] == ["agent.create", "agent.update", "agent.delete"]
    assert {(entry.actor_kind, entry.actor_id, entry.tenant_id) for entry in entries} == {
        ("user", alice.user.id, alice.tenant.id)
    }
    assert (entries[1].before, entries[1].after) == ({"description": None}, {"description": "new"})
