"""/api/v2/agents and their config (docs/contract.md section 8). What a config may be: agents/tests/test_config.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from agents.models import Agent, AgentActivity
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
AGENTS = "/api/v2/agents"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIELDS = [
    "id",
    "agent_id",
    "tenant_id",
    "name",
    "description",
    "template_id",
    "config",
    "status",
    "created_at",
    "updated_at",
    "tags",
    "config_schema",
    "rate_limit",
    "quota",
    "revision",
    "config_warnings",
]


@pytest.fixture
def create(internal: SurfaceClient, alice: Person) -> Any:
    """Ask for an agent in Alice's tenant."""

    def ask(name: Any = "bot", **fields: Any) -> Any:
        return internal.send("POST", AGENTS, {"tenant_id": alice.tenant.id, "name": name, **fields})

    return ask


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    assert (body["success"], body["error_code"]) == (False, code)
    assert body["error"]
    return body


def test_the_answer_to_a_create_is_the_agent(create: Any, alice: Person, internal: SurfaceClient) -> None:
    with travel(NOON, tick=False):
        response = create(description="helps", template_id="tpl", config={"a": 1}, tags=["x"])

    assert response.status_code == 200
    body = response.json()
    assert (body["success"], body["tenant_id"]) == (True, alice.tenant.id)
    agent = body["data"]
    assert list(agent) == FIELDS
    assert agent == {
        "id": agent["id"],
        "agent_id": agent["id"],
        "tenant_id": alice.tenant.id,
        "name": "bot",
        "description": "helps",
        "template_id": "tpl",
        "config": {"a": 1},
        "status": "active",
        "created_at": "2026-01-31T12:00:00Z",
        "updated_at": "2026-01-31T12:00:00Z",
        "tags": ["x"],
        "config_schema": None,
        "rate_limit": None,
        "quota": None,
        "revision": NOON.timestamp() * 1000,
        "config_warnings": [],
    }
    assert internal.get(f"{AGENTS}/{agent['id']}").json()["data"] == agent


def test_null_means_absent(create: Any) -> None:
    agent = create(description=None, template_id=None, config=None, tags=None).json()["data"]

    assert (agent["description"], agent["template_id"], agent["config"], agent["tags"]) == (None, None, {}, [])


def test_a_new_agent_counts_as_alive_for_12_hours(create: Any, internal: SurfaceClient, alice: Person) -> None:
    with travel(NOON, tick=False):
        agent_id = create().json()["data"]["id"]

    for moment, alive in ((timedelta(hours=12, seconds=-1), [agent_id]), (timedelta(hours=12), [])):
        with travel(NOON + moment, tick=False):
            items = internal.get(f"/api/v2/agent-activity?tenant_id={alice.tenant.id}").json()["data"]["items"]
        assert [row["agent_id"] for row in items] == alive


def test_a_refused_create_leaves_nothing(create: Any) -> None:
    create("bot")

    refused(create("BOT"), 409, "AGENT_002")
    refused(create("other", config={"persona": 5}), 400, "AGENT_004")

    assert Agent.unscoped.count() == 1
    assert AgentActivity.unscoped.count() == 1


def test_an_unknown_tenant_is_404(create: Any) -> None:
    refused(create(tenant_id="tenant_000000000000"), 404, "TENANT_001")


@pytest.mark.parametrize("field", ["tenant_id", "name"])
@pytest.mark.parametrize("value", [None, "", 5, "x" * 256])
def test_tenant_and_name_are_required(create: Any, field: str, value: Any) -> None:
    body = refused(create(**{"name": "bot", field: value}), 400, "VALIDATION_ERROR")

    assert list(body["data"]["errors"]) == [field]


class TestListing:
    def listed(self, internal: SurfaceClient, query: str) -> dict[str, Any]:
        response = internal.get(f"{AGENTS}{query}")
        assert response.status_code == 200, response.content
        data: dict[str, Any] = response.json()["data"]
        assert list(data) == ["items", "total", "page", "size", "pages", "next_after"]
        return data

    def test_a_tenants_agents_newest_first_in_pages(
        self, internal: SurfaceClient, alice: Person, charlie: Person
    ) -> None:
        make_agent(charlie.tenant)
        for number in range(5):
            with travel(NOON + timedelta(hours=number), tick=False):
                make_agent(alice.tenant, f"bot {number}")
        query = f"?tenant_id={alice.tenant.id}&size=2"

        pages = [self.listed(internal, f"{query}&page={page}") for page in (1, 2, 3, 4)]

        assert [[row["name"] for row in page["items"]] for page in pages] == [
            ["bot 4", "bot 3"],
            ["bot 2", "bot 1"],
            ["bot 0"],
            [],
        ]
        assert {**pages[3], "items": []} == {
            "items": [],
            "total": 5,
            "page": 4,
            "size": 2,
            "pages": 3,
            "next_after": None,
        }
        assert list(pages[0]["items"][0]) == FIELDS

    def test_an_empty_tenant_has_no_pages(self, internal: SurfaceClient, alice: Person) -> None:
        assert self.listed(internal, f"?tenant_id={alice.tenant.id}") == {
            "items": [],
            "total": 0,
            "page": 1,
            "size": 20,
            "pages": 0,
            "next_after": None,
        }

    def test_status_narrows_it_down(self, internal: SurfaceClient, alice: Person) -> None:
        make_agent(alice.tenant, "active")
        archived = make_agent(alice.tenant, "archived")
        internal.send("PUT", f"{AGENTS}/{archived.id}", {"status": "archived"})

        for status in ("active", "archived"):
            page = self.listed(internal, f"?tenant_id={alice.tenant.id}&status={status}")
            assert [row["name"] for row in page["items"]] == [status]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "tenant_id"),
            ("&page=0", "page"),
            ("&page=99999999999", "page"),
            ("&size=101", "size"),
            ("&status=x", "status"),
        ],
    )
    def test_invalid_query_is_400(self, internal: SurfaceClient, alice: Person, query: str, field: str) -> None:
        path = AGENTS if field == "tenant_id" else f"{AGENTS}?tenant_id={alice.tenant.id}{query}"

        assert list(refused(internal.get(path), 400, "VALIDATION_ERROR")["data"]["errors"]) == [field]

    def test_an_unknown_tenant_is_404(self, internal: SurfaceClient) -> None:
        refused(internal.get(f"{AGENTS}?tenant_id=tenant_000000000000"), 404, "TENANT_001")


class TestChanging:
    def test_only_what_is_sent_changes(self, create: Any, internal: SurfaceClient) -> None:
        before = create(description="old", template_id="old", tags=["old"]).json()["data"]

        for field, value in (("name", "new"), ("status", "inactive"), ("tags", []), ("template_id", "new")):
            after = internal.send("PUT", f"{AGENTS}/{before['id']}", {field: value}).json()["data"]
            assert {key for key in FIELDS if after[key] != before[key]} == {field, "updated_at", "revision"}
            before = after

    def test_null_leaves_every_field_alone(self, create: Any, internal: SurfaceClient) -> None:
        before = create(description="old", template_id="old", tags=["old"], config={"a": 1}).json()["data"]

        after = internal.send("PUT", f"{AGENTS}/{before['id']}", dict.fromkeys(FIELDS)).json()["data"]

        assert after == before

    def test_an_empty_value_empties_a_field_and_detaches_the_template(
        self, create: Any, internal: SurfaceClient
    ) -> None:
        before = create(description="old", template_id="old", tags=["old"]).json()["data"]

        after = internal.send(
            "PUT", f"{AGENTS}/{before['id']}", {"description": "", "template_id": "", "tags": []}
        ).json()["data"]

        moved = {"updated_at": after["updated_at"], "revision": before["revision"] + 1}
        assert after == {**before, "description": "", "template_id": None, "tags": [], **moved}

    def test_patch_is_not_allowed(self, create: Any, internal: SurfaceClient) -> None:
        path = f"{AGENTS}/{create().json()['data']['id']}"

        refused(internal.send("PATCH", path, {"name": "new"}), 405, "METHOD_NOT_ALLOWED")


class TestConfig:
    def test_it_is_read_and_merged_at_an_address_of_its_own(self, create: Any, internal: SurfaceClient) -> None:
        path = f"{AGENTS}/{create(config={'a': {'b': 1}}).json()['data']['id']}/config"

        assert internal.get(path).json()["data"] == {"a": {"b": 1}}
        assert internal.send("PUT", path, {"a": {"c": 2}}).json()["data"] == {"a": {"b": 1, "c": 2}}
        assert internal.get(path).json()["data"] == {"a": {"b": 1, "c": 2}}

    def test_the_body_is_the_config_itself(self, create: Any, internal: SurfaceClient) -> None:
        path = f"{AGENTS}/{create().json()['data']['id']}/config"

        assert internal.send("PUT", path, {"config": {"a": 1}}).json()["data"] == {"config": {"a": 1}}

    @pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"", b"{"])
    def test_anything_else_is_400(self, create: Any, internal: SurfaceClient, body: bytes) -> None:
        path = f"{AGENTS}/{create().json()['data']['id']}/config"

        refused(internal.generic("PUT", path, body, "application/json"), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/config"), ("PUT", "/config")]
)
def test_an_unknown_agent_is_404(internal: SurfaceClient, method: str, suffix: str) -> None:
    refused(internal.send(method, f"{AGENTS}/agent_000000000000{suffix}", {}), 404, "AGENT_001")


def test_a_deleted_agent_is_gone(create: Any, internal: SurfaceClient, alice: Person) -> None:
    agent_id = create().json()["data"]["id"]

    response = internal.delete(f"{AGENTS}/{agent_id}")

    assert response.status_code == 200
    assert (response.json()["data"], response.json()["tenant_id"]) == ({"id": agent_id}, alice.tenant.id)
    refused(internal.get(f"{AGENTS}/{agent_id}"), 404, "AGENT_001")
    assert not AgentActivity.unscoped.exists()
