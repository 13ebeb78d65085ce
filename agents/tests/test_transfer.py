"""Duplicates of agents, through every API."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.apps import apps

from agent_config.secrets import opened
from agents import services
from agents.models import Agent, ConfigVersion, PluginSetting
from agents.services import config_versions, plugins, transfer
from core.models import AuditEntry, FeedEntry
from core.tests.changes import at_once
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, secret_provider
from tests.support.people import OPERATOR, Person, make_agent, make_key
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db

CONFIG: Config = {"persona": "kind", "config_overrides": {"model": {"api_providers": [secret_provider()]}}}
SETUP: dict[str, Any] = {
    "description": "helps",
    "config": CONFIG,
    "template_id": "base",
    "tags": ["x", "y"],
    "rate_limit": {"limit": 5, "window_seconds": 60},
    "quota": {"limit": 100, "period": "day"},
}

Duplicate = Callable[..., Any]


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Return an agent with every setting, and a key."""
    agent = make_agent(alice.tenant, "bot", **SETUP)
    plugins.set_plugin(
        actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="weather", enabled=False, config={"city": None}
    )
    make_key(agent)
    return agent


@pytest.fixture(params=["v1", "v2"])
def duplicate(request: pytest.FixtureRequest, alice: Person, internal: SurfaceClient) -> Duplicate:
    """A function that duplicates an agent, through each API in turn."""

    def send(agent: Agent, body: Any = None, client: SurfaceClient | None = None, **headers: str) -> Any:
        asked = client or (alice.client if request.param == "v1" else internal)
        path = f"/api/{request.param}/agents/{agent.id}/duplicate"
        return asked.send("POST", path, {} if body is None else body, **headers)

    return send


def made(response: Any) -> Agent:
    """Return the agent that a response describes."""
    assert response.status_code == 200, response.content
    body = response.json()
    return Agent.unscoped.get(pk=body.get("data", body)["id"])


def settings_of(agent: Agent) -> list[tuple[str, bool, Any]]:
    return list(PluginSetting.unscoped.filter(agent=agent).values_list("plugin_name", "enabled", "config"))


@pytest.mark.embedded
def test_duplicate_has_the_same_settings(duplicate: Duplicate, agent: Agent) -> None:
    response = duplicate(agent)

    twin = made(response)
    assert twin.id != agent.id
    assert {field: getattr(twin, field) for field in SETUP} == {field: getattr(agent, field) for field in SETUP}
    assert opened(twin.config) == CONFIG, "secrets included"
    assert (twin.tenant_id, twin.status) == (agent.tenant_id, "active")
    assert settings_of(twin) == settings_of(agent) == [("weather", False, {"city": None})]
    assert MASK in response.content.decode()
    assert "sk-mine" not in response.content.decode()


@pytest.mark.embedded
def test_duplicate_has_no_keys(duplicate: Duplicate, agent: Agent) -> None:
    twin = made(duplicate(agent))

    assert not apps.get_model("apikeys.ApiKey").unscoped.filter(agent=twin).exists()
    assert apps.get_model("apikeys.ApiKey").unscoped.filter(agent=agent).count() == 1


@pytest.mark.embedded
def test_duplicate_begins_with_version_1(duplicate: Duplicate, agent: Agent) -> None:
    services.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"persona": "kinder"}})

    twin = made(duplicate(agent, {"note": "for the weekend"}))

    (version,) = ConfigVersion.unscoped.filter(agent=twin)
    assert (twin.config_version, version.number, version.note) == (1, 1, "for the weekend")
    assert version.config == twin.config
    assert twin.config["persona"] == "kinder"
    assert config_versions.versions_of(agent).count() == 2


@pytest.mark.embedded
def test_duplicate_may_have_any_free_name(duplicate: Duplicate, agent: Agent) -> None:
    assert made(duplicate(agent, {"name": "twin"})).name == "twin"
    before = tables()

    assert duplicate(agent, {"name": "BOT"}).status_code == 409
    assert changed_tables(before, tables()) == set()


def test_default_name_follows_the_agents_name(duplicate: Duplicate, agent: Agent) -> None:
    names = [made(duplicate(agent)).name for _ in range(3)]

    assert names == ["bot (copy)", "bot (copy 2)", "bot (copy 3)"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_duplicates_get_different_names(agent: Agent) -> None:
    def duplicate() -> str:
        return transfer.duplicate_agent(actor=OPERATOR, agent=agent).name

    with ThreadPoolExecutor(8) as threads:
        names = [future.result() for future in [at_once(threads, duplicate) for _ in range(8)]]

    assert sorted(names) == ["bot (copy 2)", *(f"bot (copy {number})" for number in range(3, 9)), "bot (copy)"]


def test_default_name_differs_in_more_than_case(duplicate: Duplicate, agent: Agent, alice: Person) -> None:
    make_agent(alice.tenant, "BOT (Copy)")

    assert made(duplicate(agent)).name == "bot (copy 2)"


@pytest.mark.parametrize("name", ["长" * 100, "ﬃ" * 100, "a" * 92 + " " + "b" * 7])
def test_the_name_is_never_too_long(duplicate: Duplicate, alice: Person, name: str) -> None:
    agent = make_agent(alice.tenant, name)

    names = [made(duplicate(agent)).name for _ in range(2)]

    assert names == [name[:93].rstrip() + " (copy)", name[:91] + " (copy 2)"]
    assert all(len(each) <= 100 for each in names)


@pytest.mark.embedded
def test_duplicate_is_one_audit_row(duplicate: Duplicate, agent: Agent) -> None:
    written = AuditEntry.objects.count()

    twin = made(duplicate(agent))

    row = AuditEntry.objects.first()
    assert row is not None
    assert AuditEntry.objects.count() == written + 1
    assert (row.action, row.object_id, row.tenant_id) == ("agent.duplicate", twin.id, agent.tenant_id)
    assert row.after["duplicate_of"] == agent.id
    assert row.after["plugins"] == ["weather"]
    assert row.after["config"]["persona"] == "kind"
    assert "sk-mine" not in str(row.after)


@pytest.mark.embedded
def test_duplicate_is_in_the_change_feed(duplicate: Duplicate, agent: Agent) -> None:
    twin = made(duplicate(agent))

    assert FeedEntry.objects.filter(kind=FeedEntry.Kind.AGENT, subject=twin.id).count() == 1


@pytest.mark.embedded
def test_a_repeat_under_the_same_idempotency_key_duplicates_once(duplicate: Duplicate, agent: Agent) -> None:
    first, again = (duplicate(agent, HTTP_IDEMPOTENCY_KEY="once") for _ in range(2))

    assert made(first) == made(again)
    assert Agent.unscoped.count() == 2
    assert made(duplicate(agent, HTTP_IDEMPOTENCY_KEY="twice")).name == "bot (copy 2)"


@pytest.mark.embedded
def test_member_may_duplicate_and_stranger_may_not(agent: Agent, bob: Person, charlie: Person) -> None:
    path = f"/api/v1/agents/{agent.id}/duplicate"
    assert bob.client.send("POST", path, {}).status_code == 200
    before = tables()

    refused = charlie.client.send("POST", path, {})

    assert (refused.status_code, refused.json()["code"]) == (404, "AGENT_001")
    assert changed_tables(before, tables()) == set()
