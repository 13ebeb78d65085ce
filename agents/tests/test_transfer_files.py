"""Export of agents to files and import from them, on both surfaces."""

from __future__ import annotations

import json
import tomllib
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from agent_config.secrets import omitted, opened
from agents import transfer_files
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from agents.services import plugins, transfer
from core import strict_json
from core.errors import Invalid
from core.http import toml
from core.models import RevealCount
from tenants import services as tenants
from tests.support.api import VERSIONS, ApiClient
from tests.support.client import SurfaceClient
from tests.support.config_strategies import configs
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.examples import examples
from tests.support.people import OPERATOR, Person, make_agent
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.embedded

FORMS = ("json", "toml")
SECRETS = ("sk-mine", "mine.example", "tok-1")
CONFIG: Config = {
    "persona": "kind",
    "config_overrides": {
        "model": {"api_providers": [secret_provider()], "models": [{"name": "m", "api_provider": "mine"}]},
        "maim_message": {"auth_token": ["tok-1"], "port": 5},
        "own": {"numbers": [1, 2.5, True, "x", [], {}], "__proto__": {"": "\\"}},
    },
}
WITHOUT_SECRETS: Config = {
    "persona": "kind",
    "config_overrides": {
        "model": {"api_providers": [provider()], "models": [{"name": "m", "api_provider": "mine"}]},
        "maim_message": {"port": 5},
        "own": {"numbers": [1, 2.5, True, "x", [], {}], "__proto__": {"": "\\"}},
    },
}
PLUGINS: list[dict[str, Any]] = [
    {"plugin_name": "news", "enabled": True, "config": {"every": 5}},
    {"plugin_name": "weather", "enabled": False, "config": {}},
]
MINIMAL = {"maim_export": 1, "name": "bot"}


@pytest.fixture
def agent(alice: Person) -> Agent:
    agent = make_agent(alice.tenant, "bot 🤖", description="helps", tags=["x"], template_id="base", config=CONFIG)
    for plugin in reversed(PLUGINS):
        plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, **plugin)
    plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=None, plugin_name="tenant's", enabled=True, config={})
    return agent


@pytest.fixture
def elsewhere(charlie: Person) -> Person:
    """A person whose tenant has nothing of the agent."""
    return charlie


def document_of(response: Any, form: str) -> dict[str, Any]:
    """Return the document in a downloaded file."""
    assert response.status_code == 200, response.content
    text = response.content.decode()
    document: dict[str, Any] = json.loads(text) if form == "json" else tomllib.loads(text)
    return document


def code_of(response: Any) -> str:
    body = response.json()
    return str(body["error_code"] if "success" in body else body["code"])


def stored(name: str) -> Agent:
    return Agent.unscoped.get(name=name)


class TransferApi(ApiClient):
    """The export and import of agents in one API."""

    def export(self, agent: Agent, query: str = "") -> Any:
        return self.send("GET", f"/agents/{agent.id}/export{query}")

    def import_(self, document: Any, query: str = "") -> Any:
        return self.send("POST", f"/agents/import?tenant_id={self.person.tenant.id}{query}", document)

    def invalid_fields(self, response: Any) -> list[str]:
        """Return the paths that a 400 names."""
        return self.error_fields(response, 400, "VALIDATION_ERROR")


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, alice: Person) -> TransferApi:
    """The transfer of agents in each API."""
    return TransferApi(request.param, alice)


@pytest.mark.django_db
class TestExport:
    @pytest.mark.parametrize("form", FORMS)
    def test_file_has_the_agents_settings_without_secrets(self, api: TransferApi, agent: Agent, form: str) -> None:
        response = api.export(agent, f"?format={form}")

        assert document_of(response, form) == {
            "maim_export": 1,
            "name": "bot 🤖",
            "description": "helps",
            "tags": ["x"],
            "template_id": "base",
            "config": WITHOUT_SECRETS,
            "plugins": PLUGINS,
        }
        text = response.content.decode()
        assert MASK not in text
        assert not any(secret in text for secret in SECRETS)

    PLUGIN: dict[str, Any] = {"plugin_name": "api", "enabled": True, "config": {"apiKey": "sk-plugin", "n": 1}}

    def test_secrets_of_plugins_are_only_in_files_with_secrets(
        self, api: TransferApi, internal: SurfaceClient, agent: Agent, alice: Person
    ) -> None:
        plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, **self.PLUGIN)

        without = document_of(api.export(agent), "json")["plugins"]
        with_all = internal.get(f"/api/v2/agents/{agent.id}/export?reveal_secrets=1").json()["plugins"]

        assert without[0] == {**self.PLUGIN, "config": {"n": 1}}
        assert with_all[0] == self.PLUGIN

    def test_difference_of_a_plugins_secret_is_masked(self, agent: Agent, alice: Person) -> None:
        plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, **self.PLUGIN)
        file = transfer.export_with_secrets(actor=OPERATOR, agent=agent)

        assert transfer.diff_with_file(agent, file) == []
        assert transfer.diff_with_file(agent, transfer.export_agent(agent)) == []
        file["plugins"][0]["config"]["apiKey"] = MASK
        assert transfer.diff_with_file(agent, file) == []
        file["plugins"][0]["config"]["apiKey"] = "sk-other"
        path = "/plugins/0/config/apiKey"
        assert transfer.diff_with_file(agent, file) == [{"op": "replace", "path": path, "value": MASK}]

    @pytest.mark.parametrize(
        ("query", "media_type", "name"),
        [
            ("", "application/json", "{}.json"),
            ("?format=json", "application/json", "{}.json"),
            ("?format=toml", "application/toml", "{}.toml"),
        ],
    )
    def test_browser_saves_the_file(
        self, api: TransferApi, agent: Agent, query: str, media_type: str, name: str
    ) -> None:
        headers = api.export(agent, query).headers

        assert headers["Content-Type"] == media_type
        assert headers["Content-Disposition"] == f'attachment; filename="{name.format(agent.id)}"'
        assert headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("form", FORMS)
    def test_unset_fields_are_left_out(self, api: TransferApi, alice: Person, form: str) -> None:
        bare = make_agent(alice.tenant, "bare")

        assert document_of(api.export(bare, f"?format={form}"), form) == {
            "maim_export": 1,
            "name": "bare",
            "tags": [],
            "config": {},
            "plugins": [],
        }

    def test_unknown_format_is_refused(self, api: TransferApi, agent: Agent) -> None:
        assert api.invalid_fields(api.export(agent, "?format=yaml")) == ["format"]

    def test_toml_is_refused_for_values_that_it_cannot_hold(
        self, api: TransferApi, agent: Agent, alice: Person
    ) -> None:
        nothing: dict[str, Any] = {"plugin_name": "odd", "enabled": True, "config": {"nothing": None}}
        plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, **nothing)

        assert api.invalid_fields(api.export(agent, "?format=toml")) == ["format"]
        assert nothing in document_of(api.export(agent), "json")["plugins"]

    def test_stranger_gets_not_found(self, agent: Agent, bob: Person, charlie: Person) -> None:
        path = f"/api/v1/agents/{agent.id}/export"

        assert bob.client.get(path).status_code == 200
        refused = charlie.client.get(path)
        assert (refused.status_code, code_of(refused)) == (404, "AGENT_001")


@pytest.mark.django_db
class TestRevealing:
    @pytest.mark.parametrize("form", FORMS)
    def test_internal_surface_exports_secrets(self, internal: SurfaceClient, agent: Agent, form: str) -> None:
        response = internal.get(f"/api/v2/agents/{agent.id}/export?reveal_secrets=1&format={form}")

        assert document_of(response, form)["config"] == CONFIG
        count = RevealCount.objects.get()
        assert (count.agent_id, count.tenant_id, count.number) == (agent.id, agent.tenant_id, 1)

    def test_export_without_secrets_is_not_audited(self, internal: SurfaceClient, agent: Agent) -> None:
        before = tables()

        internal.get(f"/api/v2/agents/{agent.id}/export")

        assert changed_tables(before, tables()) == set()

    def test_public_surface_exports_no_secrets(self, alice: Person, agent: Agent) -> None:
        response = alice.client.get(f"/api/v1/agents/{agent.id}/export?reveal_secrets=1")

        assert document_of(response, "json")["config"] == WITHOUT_SECRETS

    def test_secret_under_an_unknown_key_is_503(self, internal: SurfaceClient, agent: Agent, settings: Any) -> None:
        settings.ENCRYPTION_KEYS = ("A" * 43 + "=",)

        refused = internal.get(f"/api/v2/agents/{agent.id}/export?reveal_secrets=1")

        assert (refused.status_code, code_of(refused)) == (503, "SYS_002")
        assert internal.get(f"/api/v2/agents/{agent.id}/export").status_code == 200


class Refusal(NamedTuple):
    """A change of a document that is refused, and the expected error."""

    change: dict[str, Any]
    path: str
    code: str = "VALIDATION_ERROR"
    status: int = 400


REFUSALS = [
    Refusal({"name": "BOT 🤖"}, "", "AGENT_002", 409),
    Refusal({"maim_export": 2}, "maim_export"),
    Refusal({"maim_export": None}, "maim_export"),
    Refusal({"name": ""}, "name"),
    Refusal({"tags": ["x", 5]}, "tags.1"),
    Refusal({"config": {"bot_overrides": 5}}, "bot_overrides", "AGENT_004"),
    Refusal({"template_id": "theirs"}, "template_id", "AGENT_003"),
    Refusal(
        {"config": model(api_providers=[provider(api_key=MASK)])},
        "config_overrides.model.api_providers[0].api_key",
        "AGENT_004",
    ),
    Refusal(
        {"config": model(api_providers=[provider("Ünïversal")])},
        "config_overrides.model.api_providers[0].name",
        "AGENT_004",
    ),
    Refusal({"plugins": [{"plugin_name": "x", "enabled": 1}]}, "plugins.0.enabled"),
    Refusal({"plugins": [{**PLUGINS[0], "config": {"a": {"key": MASK}}}]}, "plugins.0.config.a.key"),
    Refusal({"plugins": [*PLUGINS, PLUGINS[0]]}, "plugins"),
]


@pytest.fixture
def their_template(charlie: Person) -> None:
    """Create another tenant's template with the id `theirs`."""
    Template(id="theirs", tenant=charlie.tenant, tenant_scope=charlie.tenant.id, name="x", name_folded="x").save()


@pytest.mark.django_db
class TestImport:
    def test_exported_agent_is_imported_into_another_tenant(
        self, api: TransferApi, agent: Agent, elsewhere: Person
    ) -> None:
        document = document_of(api.export(agent), "json")

        answer = api.data(TransferApi(api.version, elsewhere).import_(document))

        twin = Agent.unscoped.get(pk=answer["agent"]["id"])
        assert answer["dry_run"] is False
        assert (twin.tenant_id, twin.config_version) == (elsewhere.tenant.id, 1)
        assert transfer.export_agent(twin) == document
        assert opened(twin.config) == WITHOUT_SECRETS
        assert ConfigVersion.unscoped.get(agent=twin).number == 1

    def test_exported_secrets_are_imported(self, internal: SurfaceClient, agent: Agent) -> None:
        response = internal.get(f"/api/v2/agents/{agent.id}/export?reveal_secrets=1")
        document = {**document_of(response, "json"), "name": "twin"}

        answer = internal.send("POST", f"/api/v2/agents/import?tenant_id={agent.tenant_id}", document)

        assert answer.status_code == 200, answer.content
        assert not any(secret in answer.content.decode() for secret in SECRETS)
        assert opened(stored("twin").config) == CONFIG
        assert not any(secret in json.dumps(stored("twin").config) for secret in SECRETS)

    def test_only_format_and_name_are_required(self, api: TransferApi) -> None:
        agent = api.data(api.import_(MINIMAL))["agent"]

        expected: dict[str, Any] = {"name": "bot", "description": None, "tags": [], "template_id": None, "config": {}}
        assert {field: agent[field] for field in expected} == expected
        assert not PluginSetting.unscoped.exists()

    def test_default_tenant_is_the_callers_first(self, alice: Person) -> None:
        response = alice.client.send("POST", "/api/v1/agents/import", MINIMAL)

        assert response.status_code == 200, response.content
        assert stored("bot").tenant_id == alice.tenant.id

    def test_internal_surface_requires_a_tenant(self, alice: Person) -> None:
        v2 = TransferApi("v2", alice)
        assert v2.invalid_fields(v2.send("POST", "/agents/import", MINIMAL)) == ["tenant_id"]

    def test_a_dry_run_changes_nothing(self, api: TransferApi, agent: Agent) -> None:
        document = {**document_of(api.export(agent), "json"), "name": "twin"}
        before = tables()

        data = api.data(api.import_(document, "&dry_run=1"))

        assert (data["dry_run"], data["agent"], data["config_warnings"], data["report"]) == (True, None, [], None)
        assert data["preview"]["config"] == document["config"]
        assert data["preview"]["changes"] != []
        assert changed_tables(before, tables()) == set()

    @pytest.mark.parametrize("query", ["", "&dry_run=1"])
    @pytest.mark.usefixtures("system_models", "their_template")
    def test_document_that_breaks_a_rule_is_refused_as_a_whole(
        self, api: TransferApi, agent: Agent, query: str
    ) -> None:
        before = tables()
        for refusal in REFUSALS:
            document = {**transfer.export_agent(agent), "name": "twin", **refusal.change}

            refused = api.import_(document, query)

            assert (refused.status_code, code_of(refused)) == (refusal.status, refusal.code), refused.content
            assert refusal.status == 409 or api.error_fields(refused, 400, refusal.code) == [refusal.path], refusal
        assert changed_tables(before, tables()) == set()

    def test_failing_plugins_roll_back_the_agent(self, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(**_: Any) -> None:
            raise Invalid({"plugins": ["refused"]})

        monkeypatch.setattr(transfer, "add_plugins", refuse)
        document = {**transfer.export_agent(agent), "name": "twin"}
        del document["maim_export"]
        before = tables()

        with pytest.raises(Invalid):
            transfer.import_agent(actor=OPERATOR, tenant=agent.tenant, **document)

        assert changed_tables(before, tables()) == set()

    def test_stranger_cannot_import_into_the_tenant(self, alice: Person, bob: Person, charlie: Person) -> None:
        path = f"/api/v1/agents/import?tenant_id={alice.tenant.id}"
        before = tables()

        refused = charlie.client.send("POST", path, MINIMAL)

        assert (refused.status_code, code_of(refused)) == (404, "TENANT_001")
        assert changed_tables(before, tables()) == set()
        assert bob.client.send("POST", path, MINIMAL).status_code == 200

    def test_members_of_a_suspended_tenant_cannot_import(self, alice: Person) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"status": "suspended"})

        refused = alice.client.send("POST", "/api/v1/agents/import", MINIMAL)

        assert (refused.status_code, code_of(refused)) == (409, "TENANT_003")


class TestTOML:
    @examples(25)
    @given(configs())
    def test_any_config_survives_a_round_trip(self, config: Config) -> None:
        document = {**MINIMAL, "tags": [], "config": config, "plugins": []}

        for form in FORMS:
            found = transfer_files.loads(transfer_files.dumps(document, form).encode(), form)
            assert _typed(found) == _typed(document), form

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a = ", "TOML"),
            ("a = 2026-01-31", "dates"),
            ("a = 9223372036854775808", "64 bits"),
            ("a = inf", "Infinity"),
            ('a = "\\u0000"', "NUL"),
            (f"a = {'[' * 5000}{']' * 5000}", "TOML"),
            (f"a = {'[' * 50}{']' * 50}", "nested"),
        ],
    )
    def test_toml_values_that_json_lacks_are_refused(self, text: str, reason: str) -> None:
        with pytest.raises(strict_json.NotAcceptable, match=reason):
            toml.loads(text.encode())

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        with pytest.raises(strict_json.NotAcceptable, match="UTF-8"):
            toml.loads(b'a = "\xff"')


def test_export_omits_secrets_only() -> None:
    assert omitted(CONFIG) == WITHOUT_SECRETS
    assert CONFIG["config_overrides"]["maim_message"]["auth_token"] == ["tok-1"], "of a copy"


def _typed(value: Any) -> Any:
    """Return a value in which 1, 1.0 and True differ, and the order of keys does not matter."""
    return json.dumps(value, sort_keys=True)
