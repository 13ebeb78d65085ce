"""Protected names: an operator's key never serves anybody else's model or address."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent_config import system
from agent_config.secrets import masked
from agent_config.updates import apply_update
from agents.models import Agent, Template
from agents.tests.api import AgentApi, operators_template
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.people import Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

EVIL = "https://evil.example"
PROVIDERS, MODELS = "config_overrides.model.api_providers", "config_overrides.model.models"
DEFAULTS = "tenant_config.agent_defaults."
OPERATORS = model(
    api_providers=[provider("Theirs", base_url="https://good.example", api_key="the-operators")],
    models=[{"name": "their-model", "api_provider": "Theirs"}],
)
BORROWED = model(models=[{"name": "mine", "api_provider": "theirs"}])


class Files:
    """The operator's model file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, config: Config) -> None:
        items = [
            f"[[{kind}]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in item.items())
            for kind, items in config["config_overrides"]["model"].items()
            for item in items
        ]
        self.path.write_text("\n".join(items))


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> Files:
    settings.MODEL_CONFIG_PATH = tmp_path / "models.toml"
    found = Files(tmp_path / "models.toml")
    found.write(model(models=[]))
    return found


def revealed(api: AgentApi, internal: SurfaceClient) -> Config:
    """Return the section `model` of the effective config with its secrets."""
    answer = internal.get(f"/api/v2/agents/{api.agent_id}/config/effective?reveal_secrets=1")
    found: Config = answer.json()["data"]["config"]["config_overrides"]["model"]
    return found


def names(items: list[Config]) -> list[str]:
    return [item["name"] for item in items]


def warned(api: AgentApi) -> list[str]:
    return [warning["path"] for warning in api.get("/effective")["warnings"]]


def refused(api: AgentApi, response: Any, *paths: str) -> None:
    """Check for 400 AGENT_004 with these paths. Responses about tenants have v2's envelope on both surfaces."""
    body = response.json()
    errors = body["errors"] if "errors" in body else body["data"]["errors"]
    assert (response.status_code, body.get("code") or body["error_code"], list(errors)) == (
        400,
        "AGENT_004",
        list(paths),
    )


class TestWrites:
    """A write is checked against every layer that may be below it."""

    @pytest.mark.parametrize(
        ("config", "path"),
        [
            (BORROWED, f"{MODELS}[0].api_provider"),
            (model(models=[{"name": "mine", "provider_name": "THEIRS"}]), f"{MODELS}[0].provider_name"),
            (model(api_providers=[provider("theirs", base_url=EVIL)]), f"{PROVIDERS}[0].name"),
            (model(models=[{"name": "THEIR-model"}]), f"{MODELS}[0].name"),
        ],
    )
    def test_tenant_defaults_over_an_operators_template_are_refused(
        self, api: AgentApi, files: Files, internal: SurfaceClient, config: Config, path: str
    ) -> None:
        operators_template(internal, OPERATORS)

        refused(api, api.try_set_defaults(config), DEFAULTS + path)
        body = {"tenant_name": "New", "tenant_type": "enterprise", "tenant_config": {"agent_defaults": config}}
        refused(api, api.send("POST", "/tenants", body), DEFAULTS + path)
        assert Tenant.objects.get(pk=api.tenant_id).tenant_config is None

    def test_tenant_defaults_may_use_the_tenants_own_template_but_not_its_names(self, api: AgentApi) -> None:
        template = api.make_template(OPERATORS)
        taken = model(api_providers=[provider("theirs", base_url=EVIL)])
        api.set_defaults(taken)
        api.set_defaults(None)

        api.create(template_id=template)

        refused(api, api.try_set_defaults(taken), f"{DEFAULTS}{PROVIDERS}[0].name")
        api.set_defaults(BORROWED)

    def test_tenants_template_is_checked_against_the_system(self, api: AgentApi, files: Files) -> None:
        files.write(OPERATORS)

        response = api.send("POST", "/templates", {"name": "t", "config": BORROWED, "tenant_id": api.tenant_id})

        refused(api, response, f"{MODELS}[0].api_provider")
        assert not Template.unscoped.exists()

    @pytest.mark.parametrize("config", [BORROWED, model(api_providers=[provider("theirs", base_url=EVIL)])])
    def test_agent_is_checked_again_with_a_new_template(
        self, api: AgentApi, internal: SurfaceClient, config: Config
    ) -> None:
        template = operators_template(internal, OPERATORS)
        api.create(config)
        before = api.state()

        for body in ({"template_id": template}, {"template_id": template, "config": {"a": 1}}):
            assert api.send("PUT", f"/agents/{api.agent_id}", body).status_code == 400
        assert api.state() == before

    def test_a_model_may_not_outlive_the_provider_that_had_the_name_first(self, api: AgentApi, files: Files) -> None:
        mine = model(
            api_providers=[provider("Theirs", base_url="https://mine.example", api_key="sk-mine")],
            models=[{"name": "mine", "api_provider": "Theirs"}],
        )
        api.create(mine)
        files.write(OPERATORS)

        api.put(api.get())  # what is stored may be sent again
        refused(api, api.try_put(model(api_providers=[])), f"{MODELS}[0].api_provider")
        refused(api, api.try_put(model(api_providers=None)), f"{MODELS}[0].api_provider")
        assert api.stored() == mine

    def test_error_suggests_a_free_name(self, api: AgentApi, files: Files) -> None:
        files.write(OPERATORS)
        api.create()

        said = api.try_put(model(api_providers=[provider("Theirs")]), HTTP_ACCEPT_LANGUAGE="en").content.decode()

        assert "my-Theirs" in said
        api.put(model(api_providers=[provider("my-Theirs")]))


class TestFreeNames:
    """Names without a key in the layers below are free."""

    def test_the_built_in_providers_may_be_defined_and_used(self, api: AgentApi) -> None:
        config = model(
            api_providers=[secret_provider("DeepSeek")],
            models=[{"name": "own", "api_provider": "DeepSeek"}, {"name": "deepseek-v3", "api_provider": "DeepSeek"}],
        )

        api.create().put(config)
        api.set_defaults(model(models=[{"name": "more", "api_provider": "SiliconFlow"}]))

        assert api.stored() == config

    def test_free_name_inherits_nothing(self, api: AgentApi, internal: SurfaceClient) -> None:
        api.create(model(api_providers=[provider("DeepSeek", api_key="sk-mine")]))

        providers = revealed(api, internal)["api_providers"]

        assert [item for item in providers if item["name"] == "DeepSeek"] == [provider("DeepSeek", api_key="sk-mine")]

    def test_a_members_address_does_not_reach_a_key_of_the_tenant(
        self, alice: Person, bob: Person, internal: SurfaceClient
    ) -> None:
        api = AgentApi("v1", alice)
        api.set_defaults(model(api_providers=[provider("DeepSeek", api_key="sk-alice")]))
        member = api.for_person(bob)
        member.tenant_id = api.tenant_id
        template = member.make_template(model(api_providers=[provider("DeepSeek", base_url=EVIL)]))
        member.create(template_id=template)
        refused(
            member,
            member.try_put(model(api_providers=[provider("DeepSeek", base_url=EVIL)])),
            f"{PROVIDERS}[0].name",
        )

        providers = revealed(member, internal)["api_providers"]

        assert [item for item in providers if item["name"] == "DeepSeek"] == [provider("DeepSeek", api_key="sk-alice")]


class TestLaterChanges:
    """A change of a lower layer is never refused. The effective config leaves out what it would expose."""

    @pytest.mark.parametrize("layer", ["template", "tenant", "agent"])
    def test_a_model_never_runs_on_a_provider_that_got_its_key_later(
        self, api: AgentApi, files: Files, internal: SurfaceClient, layer: str
    ) -> None:
        files.write(model(api_providers=[provider("Theirs", base_url="https://good.example")]))
        if layer == "tenant":
            api.set_defaults(BORROWED)
        template = api.make_template(BORROWED) if layer == "template" else None
        api.create(BORROWED if layer == "agent" else {}, template_id=template)
        assert names(revealed(api, internal)["models"]) == ["mine"]
        assert warned(api) == []

        files.write(OPERATORS)

        assert names(revealed(api, internal)["models"]) == ["their-model"]
        assert warned(api) == [f"{MODELS}[0]"]
        assert api.get("/effective?explain=1")["sources"]["/config_overrides/model/models/0/name"] == "default"

    def test_tenant_defaults_over_a_later_template_get_no_key(
        self, api: AgentApi, files: Files, internal: SurfaceClient
    ) -> None:
        api.set_defaults(BORROWED)
        template = operators_template(internal, OPERATORS)

        api.create(template_id=template)

        assert names(revealed(api, internal)["models"]) == ["their-model"]
        assert warned(api) == [f"{MODELS}[0]"]

    def test_an_operators_model_runs_on_a_namesake_without_the_operators_key(
        self, api: AgentApi, files: Files, internal: SurfaceClient
    ) -> None:
        mine = provider("Theirs", base_url=EVIL, api_key="sk-mine")
        api.create(model(api_providers=[mine]))

        files.write(OPERATORS)

        assert revealed(api, internal)["api_providers"] == [mine]
        assert names(revealed(api, internal)["models"]) == ["their-model"]

    def test_left_out_values_can_be_sent_back_and_fixed(self, api: AgentApi, files: Files) -> None:
        files.write(model(api_providers=[provider("Theirs")]))
        api.create(BORROWED)
        files.write(OPERATORS)
        before = api.state()

        api.put(api.get())
        assert api.state() == before

        api.put(model(api_providers=[secret_provider()], models=[{"name": "mine", "api_provider": "mine"}]))
        assert warned(api) == []


class TestAddressesOverALayer:
    """A layer cannot send the secret of another layer elsewhere, where both define the same object."""

    TOKEN = {"config_overrides": {"maim_message": {"auth_token": ["theirs"], "host": "10.0.0.1"}}}
    MOVED = {"config_overrides": {"maim_message": {"host": "10.6.6.6"}}}
    HOST = "config_overrides.maim_message.host"

    def test_an_address_over_another_layers_secret_is_refused(self, api: AgentApi, internal: SurfaceClient) -> None:
        template = operators_template(internal, self.TOKEN)
        api.create(template_id=template)

        refused(api, api.try_put(self.MOVED), self.HOST)
        refused(api, api.try_set_defaults(self.MOVED), DEFAULTS + self.HOST)
        both = {"config_overrides": {"maim_message": {"host": "10.6.6.6", "auth_token": ["mine"]}}}
        api.put(both)

        assert api.effective()["config_overrides"]["maim_message"]["host"] == "10.6.6.6"

    def test_a_secret_that_comes_later_keeps_its_address(self, api: AgentApi, internal: SurfaceClient) -> None:
        template = operators_template(internal, {})
        api.create(self.MOVED, template_id=template)
        assert api.effective()["config_overrides"]["maim_message"]["host"] == "10.6.6.6"

        internal.send("PUT", f"/api/v2/templates/{template}", {"config": self.TOKEN})

        shown = api.effective()["config_overrides"]["maim_message"]
        assert (shown["host"], shown["auth_token"]) == ("10.0.0.1", [MASK])
        assert warned(api) == [self.HOST]
        api.put(api.get())


def test_bots_model_file_is_valid_without_operators_files() -> None:
    """Import the bot's own file, which has the built-in providers with keys."""
    path = Path(system.__file__).parent / "defaults" / "model_config.toml"
    content = tomllib.loads(path.read_text())
    del content["inner"]
    for item in content["api_providers"]:
        item["api_key"] = "sk-mine"

    stored = apply_update({}, {"config_overrides": {"model": content}}, below=[system.defaults().layer]).config

    assert len(masked(stored)["config_overrides"]["model"]["models"]) == len(content["models"])
    assert not Agent.unscoped.exists()
