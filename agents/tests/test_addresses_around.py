"""A stored secret stays with its address in plugin settings, and when a template comes below it."""

from __future__ import annotations

from typing import Any

import pytest

from agent_config.document import MASK
from agents.models import Agent
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

SETTINGS = "/api/v1/plugins/settings"


def set_plugin(client: SurfaceClient, config: dict[str, Any], query: str) -> Any:
    body = {"plugin_name": "weather", "enabled": True, "config": config}
    return client.send("POST", f"{SETTINGS}?{query}", body)


@pytest.mark.parametrize("key", ["base_url", "host", "command", "ｂａｓｅ＿ｕｒｌ", "api_base", "server"])
def test_a_member_moves_no_secret_of_a_plugin(alice: Person, bob: Person, key: str) -> None:
    agent = make_agent(alice.tenant)
    own = {key: "https://own.example", "api_key": "sk-own"}
    moved = {key: "https://evil.example", "api_key": MASK}
    of_agent = f"agent_id={agent.id}"
    assert set_plugin(alice.client, own, f"tenant_id={alice.tenant.id}").status_code == 200

    first = set_plugin(bob.client, moved, of_agent)
    assert set_plugin(alice.client, own, of_agent).status_code == 200
    second = set_plugin(bob.client, moved, of_agent)

    for response in (first, second):
        assert response.status_code == 400, response.json()
        assert list(response.json()["errors"]) == ["config.api_key"]
    assert set_plugin(bob.client, {**moved, "api_key": "sk-new"}, of_agent).status_code == 200


def test_the_internal_surface_may_move_it(alice: Person, internal: SurfaceClient) -> None:
    query = f"tenant_id={alice.tenant.id}"
    set_plugin(alice.client, {"base_url": "https://own.example", "api_key": "sk-own"}, query)

    response = set_plugin(internal, {"base_url": "https://b.example", "api_key": MASK}, query)

    assert response.json()["config"] == {"base_url": "https://b.example", "api_key": "sk-own"}


@pytest.mark.parametrize("stored", [{"token": "sk-own"}, {"token": "sk-own", "url": "https://own.example"}])
@pytest.mark.parametrize("where", ["tenant", "agent"])
def test_a_members_template_brings_no_address_to_a_secret_above_it(
    alice: Person, bob: Person, stored: dict[str, str], where: str
) -> None:
    agent = make_agent(alice.tenant, config={"svc": stored} if where == "agent" else {})
    if where == "tenant":
        defaults = {"tenant_config": {"agent_defaults": {"svc": stored}}}
        assert alice.client.send("PUT", f"/api/v1/tenants/{alice.tenant.id}", defaults).status_code == 200
    template = {"name": "evil", "tenant_id": alice.tenant.id, "config": {"svc": {"proxy": "https://evil.example"}}}
    template_id = bob.client.send("POST", "/api/v1/templates", template).json()["id"]

    response = bob.client.send("PUT", f"/api/v1/agents/{agent.id}", {"template_id": template_id})

    assert (response.status_code, response.json()["code"]) == (400, "AGENT_004")
    assert Agent.unscoped.get(pk=agent.id).template_id is None


def test_a_template_without_an_address_is_taken(alice: Person, bob: Person) -> None:
    agent = make_agent(alice.tenant, config={"svc": {"token": "sk-own"}})
    template = {"name": "good", "tenant_id": alice.tenant.id, "config": {"svc": {"speed": 3}, "persona": "calm"}}
    template_id = bob.client.send("POST", "/api/v1/templates", template).json()["id"]

    assert bob.client.send("PUT", f"/api/v1/agents/{agent.id}", {"template_id": template_id}).status_code == 200
