"""Secrets stay with their addresses in plugin settings, and over templates that change."""

from __future__ import annotations

from typing import Any

import pytest

from agent_config.document import MASK
from tests.support.client import SurfaceClient
from tests.support.configs import model, provider, secret_provider
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

SETTINGS = "/api/v1/plugins/settings"


def set_plugin(client: SurfaceClient, config: dict[str, Any], query: str) -> Any:
    body = {"plugin_name": "weather", "enabled": True, "config": config}
    return client.send("POST", f"{SETTINGS}?{query}", body)


@pytest.mark.parametrize(
    "key", ["base_url", "host", "command", "ｂａｓｅ＿ｕｒｌ", "api_base", "server", "port", "hostName", "url2"]
)
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


URL, PROXY, EVIL = "https://own.example", "https://proxy.example", "https://evil.example"
SECRET_ABOVE = "a secret of a layer above stands beside it"


class Tenant:
    """Alice's tenant, with her secrets in its defaults or an agent, and templates of Bob, who is a member."""

    def __init__(self, alice: Person, bob: Person, internal: SurfaceClient) -> None:
        self.alice, self.bob, self.internal = alice, bob, internal
        self.agent = make_agent(alice.tenant)

    def write(self, layer: str, config: dict[str, Any]) -> None:
        """Write a layer as Alice."""
        if layer == "tenant":
            path, body = f"/api/v1/tenants/{self.alice.tenant.id}", {"tenant_config": {"agent_defaults": config}}
        else:
            path, body = f"/api/v1/agents/{self.agent.id}", {"config": config}
        assert self.alice.client.send("PUT", path, body).status_code == 200

    def template(self, config: dict[str, Any]) -> str:
        """Create a template as Bob. Return its id."""
        body = {"name": "template", "tenant_id": self.alice.tenant.id, "config": config}
        template_id: str = self.bob.client.send("POST", "/api/v1/templates", body).json()["id"]
        return template_id

    def take(self, template_id: str) -> None:
        """Attach the template to the agent as Bob."""
        response = self.bob.client.send("PUT", f"/api/v1/agents/{self.agent.id}", {"template_id": template_id})
        assert response.status_code == 200

    def change(self, template_id: str, config: dict[str, Any]) -> None:
        """Change the template as Bob, which is never refused because of the layers above it."""
        assert self.bob.client.send("PUT", f"/api/v1/templates/{template_id}", {"config": config}).status_code == 200

    def effective(self) -> tuple[dict[str, Any], list[str]]:
        """Return the effective config with its secrets, and its warnings."""
        path = f"/agents/{self.agent.id}/config/effective"
        config = self.internal.get(f"/api/v2{path}?reveal_secrets=1").json()["data"]["config"]
        warnings = self.bob.client.get(f"/api/v1{path}", HTTP_ACCEPT_LANGUAGE="en").json()["warnings"]
        return config, [warning["message"] for warning in warnings]


@pytest.fixture
def tenant(alice: Person, bob: Person, internal: SurfaceClient) -> Tenant:
    return Tenant(alice, bob, internal)


@pytest.mark.parametrize("layer", ["tenant", "agent"])
class TestTemplates:
    """A template that members may change never gives an address to a secret in the layers above it."""

    @pytest.mark.parametrize("address", [{"proxy": EVIL}, {"url": EVIL}, {"conn": {"to": EVIL}}])
    def test_attached_template_gives_no_address(self, tenant: Tenant, layer: str, address: dict[str, Any]) -> None:
        tenant.write(layer, {"svc": {"token": "sk-own"}})

        tenant.take(tenant.template({"svc": {**address, "speed": 3}}))

        config, warnings = tenant.effective()
        assert EVIL not in str(config)
        assert config["svc"]["token"] == "sk-own"
        assert config["svc"]["speed"] == 3
        assert [SECRET_ABOVE in warning for warning in warnings] == [True]

    @pytest.mark.parametrize("before", [{}, {"url": URL}])
    @pytest.mark.parametrize("after", [{"url": EVIL}, {"host": EVIL}, {"proxies": {"https": EVIL}}])
    def test_changed_template_gives_no_address(
        self, tenant: Tenant, layer: str, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        template_id = tenant.template({"svc": before})
        tenant.take(template_id)
        tenant.write(layer, {"svc": {"token": "sk-own"}})

        tenant.change(template_id, {"svc": after})

        config, _warnings = tenant.effective()
        assert EVIL not in str(config)
        assert config["svc"] == {"token": "sk-own", **_empty(after)}

    def test_proxy_of_the_template_gets_no_providers_key(self, tenant: Tenant, layer: str) -> None:
        tenant.write(layer, model(api_providers=[secret_provider()]))

        tenant.take(tenant.template({**model(proxy=EVIL), "proxy": EVIL}))

        config, warnings = tenant.effective()
        assert EVIL not in str(config)
        assert len(warnings) == 2

    def test_a_models_secret_does_not_go_to_the_templates_provider(self, tenant: Tenant, layer: str) -> None:
        template_id = tenant.template(model(api_providers=[provider("p", base_url=URL, api_key="sk-bob")]))
        tenant.take(template_id)
        tenant.write(layer, model(models=[{"name": "m", "api_provider": "p", "extra_params": EXTRA}]))

        tenant.change(template_id, model(api_providers=[provider("p", base_url=EVIL, api_key="sk-bob")]))

        config, warnings = tenant.effective()
        (found,) = (item for item in config["config_overrides"]["model"]["models"] if item["name"] == "m")
        assert found == {"name": "m", "api_provider": "p", "extra_params": {"headers": {}, "timeout": 5}}
        assert any("define the provider in the same layer" in warning for warning in warnings)

    def test_address_in_the_secrets_own_layer_stays(self, tenant: Tenant, layer: str) -> None:
        template_id = tenant.template({"svc": {"url": EVIL}})
        tenant.take(template_id)
        tenant.write(layer, {"svc": {"token": "sk-own", "url": URL}})

        assert tenant.effective() == ({**tenant.effective()[0], "svc": {"token": "sk-own", "url": URL}}, [])


def _empty(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without its texts."""
    return {key: _empty(member) for key, member in config.items() if isinstance(member, dict)}


EXTRA = {"headers": {"X-Own": "sk-own"}, "timeout": 5}


def test_an_operators_template_may_give_an_address(tenant: Tenant, internal: SurfaceClient) -> None:
    template = internal.send("POST", "/api/v2/templates", {"name": "t", "config": {"svc": {"url": URL}}})
    tenant.take(template.json()["data"]["id"])
    tenant.write("agent", {"svc": {"token": "sk-own"}})

    assert tenant.effective()[0]["svc"] == {"url": URL, "token": "sk-own"}


def test_the_tenants_owners_may_give_an_address_to_its_agents(tenant: Tenant) -> None:
    tenant.write("tenant", {**model(api_providers=[provider("p", base_url=URL)]), "svc": {"url": URL}})
    mine = model(models=[{"name": "m", "api_provider": "p", "extra_params": EXTRA}])
    tenant.write("agent", {**mine, "svc": {"token": "sk-own"}})

    config, warnings = tenant.effective()
    assert config["svc"] == {"url": URL, "token": "sk-own"}
    assert EXTRA in [item.get("extra_params") for item in config["config_overrides"]["model"]["models"]]
    assert warnings == []


def test_an_agent_provides_for_no_model_of_the_tenants_that_has_a_secret(tenant: Tenant) -> None:
    mine = model(api_providers=[provider("p", base_url=EVIL)])
    tenant.write("agent", mine)
    tenant.write("tenant", model(models=[{"name": "m", "api_provider": "p", "extra_params": EXTRA}]))

    config, _warnings = tenant.effective()
    assert "sk-own" not in str(config)
    refused = tenant.bob.client.send(
        "POST", "/api/v1/agents", {"tenant_id": tenant.alice.tenant.id, "name": "b", "config": mine}
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "AGENT_004")
