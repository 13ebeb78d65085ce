"""Plugin settings on both surfaces: an agent's setting wins over its tenant's (docs/contract.md section 17)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from agent_config import validators
from agent_config.document import MASK
from agent_config.secrets import opened
from agents.models import Agent, PluginSetting
from agents.services import plugins
from core.models import AuditEntry
from tests.support.api import VERSIONS, ApiClient
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent
from tests.support.tables import tables

pytestmark = pytest.mark.django_db
SETTINGS = "/api/v1/plugins/settings"
DICE = {"plugin_name": "dice", "enabled": True}
FIELDS = ["id", "tenant_id", "agent_id", "plugin_name", "enabled", "config", "created_at", "updated_at", "revision"]


class PluginApi(ApiClient):
    """The plugin settings of Alice's tenant on one surface. Their path is v1's on both, and has no envelope."""

    def __init__(self, version: str, person: Person) -> None:
        super().__init__(version, person, is_enveloped=False)
        self.tenant_query = f"?tenant_id={person.tenant.id}"

    def query(self, agent: Agent | None) -> str:
        return self.tenant_query + (f"&agent_id={agent.id}" if agent else "")

    def set(self, agent: Agent | None, plugin_name: Any = "dice", enabled: Any = True, **fields: Any) -> Any:
        body = {"plugin_name": plugin_name, "enabled": enabled, **fields}
        return self.client.send("POST", f"{SETTINGS}{self.query(agent)}", body)

    def get(self, agent: Agent | None) -> list[tuple[str, bool, dict[str, Any], str | None]]:
        response = self.client.get(f"{SETTINGS}{self.query(agent)}")
        assert response.status_code == 200, response.content
        return [(row["plugin_name"], row["enabled"], row["config"], row["agent_id"]) for row in response.json()]


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, alice: Person) -> PluginApi:
    """The plugin settings on each surface."""
    return PluginApi(request.param, alice)


def test_the_answer_is_the_setting_without_an_envelope(api: PluginApi, alice: Person, agent: Agent) -> None:
    response = api.set(agent, config={"sides": 6})

    assert response.status_code == 200
    body = response.json()
    assert list(body) == FIELDS
    assert (body["tenant_id"], body["agent_id"]) == (alice.tenant.id, agent.id)
    assert (body["plugin_name"], body["enabled"], body["config"]) == ("dice", True, {"sides": 6})
    listed = api.client.get(f"{SETTINGS}{api.query(agent)}")
    assert listed.json() == [body]


def test_an_agents_setting_wins_over_its_tenants(api: PluginApi, alice: Person, agent: Agent) -> None:
    other = make_agent(alice.tenant)
    api.set(None, "dice", True, config={"sides": 6, "colour": "red"})
    api.set(None, "clock", True)
    api.set(agent, "dice", False, config={"sides": 20})
    api.set(agent, "abacus", True)

    assert api.get(None) == [("clock", True, {}, None), ("dice", True, {"sides": 6, "colour": "red"}, None)]
    assert api.get(agent) == [
        ("abacus", True, {}, agent.id),
        ("clock", True, {}, None),
        ("dice", False, {"sides": 20}, agent.id),
    ]
    assert api.get(other) == api.get(None)


def test_a_setting_is_set_as_a_whole(api: PluginApi, agent: Agent) -> None:
    first = api.set(agent, "dice", True, config={"sides": 6}).json()

    second = api.set(agent, "dice", False, config={"colour": "red"}).json()

    assert second["id"] == first["id"]
    assert api.get(agent) == [("dice", False, {"colour": "red"}, agent.id)]
    assert PluginSetting.unscoped.count() == 1


@pytest.mark.parametrize("fields", [{}, {"config": None}, {"config": {}, "unknown": 1}])
def test_without_a_config_it_is_empty(api: PluginApi, agent: Agent, fields: dict[str, Any]) -> None:
    assert api.set(agent, **fields).json()["config"] == {}


def test_plugin_names_compare_by_their_characters(api: PluginApi, agent: Agent) -> None:
    for name in ("dice", "Dice", "🎲", "🎯"):
        api.set(agent, name)

    assert [row[0] for row in api.get(agent)] == ["Dice", "dice", "🎯", "🎲"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plugin_name", ""),
        ("plugin_name", "x" * 101),
        ("plugin_name", None),
        ("plugin_name", 5),
        ("enabled", "true"),
        ("enabled", 1),
        ("enabled", None),
        ("config", []),
        ("config", "x"),
    ],
)
def test_bad_input_is_named(api: PluginApi, agent: Agent, field: str, value: Any) -> None:
    response = api.set(agent, **{"plugin_name": "dice", "enabled": True, field: value})

    assert response.status_code == 400
    assert set(response.json()) == {"detail", "code", "errors"}
    assert list(response.json()["errors"]) == [field]
    assert not PluginSetting.unscoped.exists()


def test_each_change_leaves_an_audit_row(api: PluginApi, agent: Agent, alice: Person) -> None:
    for _ in range(2):
        api.set(agent, "dice", True)
    api.set(agent, "dice", False)

    entries = AuditEntry.objects.filter(action="plugin.set").order_by("id")
    assert [(entry.tenant_id, entry.after["enabled"]) for entry in entries] == [
        (alice.tenant.id, True),
        (alice.tenant.id, False),
    ]


@pytest.mark.embedded
class TestSecrets:
    """Secrets are stored sealed; people read a mask, and bots the secret."""

    CONFIG = {"apiKey": "sk-mine", "servers": [{"name": "a", "headers": {"X": "sk-mine"}}], "city": "上海", "n": 5}
    SHOWN = {"apiKey": MASK, "servers": [{"name": "a", "headers": {"X": MASK}}], "city": "上海", "n": 5}

    def test_people_read_a_mask_and_bots_the_secrets(
        self, api: PluginApi, alice: Person, bob: Person, internal: SurfaceClient, agent: Agent
    ) -> None:
        said = api.set(agent, config=self.CONFIG)

        assert said.json()["config"] == (self.CONFIG if api.version == "v2" else self.SHOWN)
        for person in (alice, bob):
            assert person.client.get(f"{SETTINGS}?agent_id={agent.id}").json()[0]["config"] == self.SHOWN
        response = internal.get(f"{SETTINGS}{api.query(agent)}")
        assert response.json()[0]["config"] == self.CONFIG
        assert response["Cache-Control"] == "no-store"
        assert not any("sk-mine" in str(rows) for rows in tables().values())

    def test_a_mask_keeps_what_is_stored(self, api: PluginApi, agent: Agent) -> None:
        api.set(agent, config=self.CONFIG)
        before = PluginSetting.unscoped.get().config

        assert api.set(agent, enabled=False, config=self.SHOWN).status_code == 200
        assert PluginSetting.unscoped.get().config == before
        api.set(agent, config={**self.SHOWN, "apiKey": "sk-new", "city": "北京"})

        assert opened(PluginSetting.unscoped.get().config) == {**self.CONFIG, "apiKey": "sk-new", "city": "北京"}

    def test_an_agents_first_setting_may_have_its_tenants_masks(self, api: PluginApi, agent: Agent) -> None:
        api.set(None, config=self.CONFIG)

        assert api.set(agent, config={**self.SHOWN, "n": 6}).status_code == 200

        row = PluginSetting.unscoped.get(agent=agent)
        assert opened(row.config) == {**self.CONFIG, "n": 6}

    @pytest.mark.parametrize("path", ["apiKey", "list[0].key"])
    def test_a_mask_where_nothing_is_stored_is_named(self, api: PluginApi, agent: Agent, path: str) -> None:
        config = {"apiKey": MASK} if path == "apiKey" else {"list": [{"key": [MASK]}]}
        api.set(agent, "other", config=self.CONFIG)

        response = api.set(agent, config=config)

        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")
        assert list(response.json()["errors"]) == [f"config.{path}"]
        assert not PluginSetting.unscoped.filter(plugin_name="dice").exists()

    def test_that_one_changed_is_audited_and_what_it_is_not(self, api: PluginApi, agent: Agent) -> None:
        for key in ("sk-mine", "sk-mine", "sk-new"):
            api.set(agent, config={"apiKey": key})

        entries = AuditEntry.objects.filter(action="plugin.set")
        assert len(entries) == 2
        assert [entry.after.get("config") for entry in entries] == [None, {"apiKey": MASK}]
        assert not any("sk-" in str((entry.before, entry.after)) for entry in entries)

    def test_under_a_key_that_is_gone_bots_are_told_to_come_again_and_people_still_read(
        self, api: PluginApi, alice: Person, internal: SurfaceClient, agent: Agent, settings: Any
    ) -> None:
        api.set(agent, config=self.CONFIG)
        settings.ENCRYPTION_KEYS = (Fernet.generate_key().decode(),)

        assert internal.get(f"{SETTINGS}{api.query(agent)}").status_code == 503
        assert alice.client.get(f"{SETTINGS}?agent_id={agent.id}").json()[0]["config"] == self.SHOWN


@pytest.mark.embedded
class TestPublic:
    def test_an_agent_is_all_it_takes(self, alice: Person, agent: Agent) -> None:
        response = alice.client.send("POST", f"{SETTINGS}?agent_id={agent.id}", {"plugin_name": "a", "enabled": True})

        assert response.json()["agent_id"] == agent.id
        assert len(alice.client.get(f"{SETTINGS}?agent_id={agent.id}").json()) == 1

    def test_without_an_agent_it_is_the_users_first_tenant(self, alice: Person) -> None:
        response = alice.client.send("POST", SETTINGS, {"plugin_name": "dice", "enabled": True})

        assert (response.json()["tenant_id"], response.json()["agent_id"]) == (alice.tenant.id, None)
        assert len(alice.client.get(SETTINGS).json()) == 1

    def test_a_stranger_gets_404(self, alice: Person, charlie: Person, agent: Agent) -> None:
        body = {"plugin_name": "dice", "enabled": True}

        for query, code in ((f"agent_id={agent.id}", "AGENT_001"), (f"tenant_id={alice.tenant.id}", "TENANT_001")):
            for response in (
                charlie.client.get(f"{SETTINGS}?{query}"),
                charlie.client.send("POST", f"{SETTINGS}?{query}", body),
            ):
                assert response.status_code == 404
                assert response.json()["code"] == code
        assert not PluginSetting.unscoped.exists()

    def test_a_member_sets_an_agents_plugins_but_not_the_tenants(
        self, alice: Person, bob: Person, agent: Agent
    ) -> None:
        body = {"plugin_name": "dice", "enabled": True}

        assert bob.client.send("POST", f"{SETTINGS}?agent_id={agent.id}", body).status_code == 200
        refused = bob.client.send("POST", f"{SETTINGS}?tenant_id={alice.tenant.id}", body)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        assert bob.client.get(f"{SETTINGS}?tenant_id={alice.tenant.id}").json() == []


@pytest.mark.embedded
class TestInternal:
    def test_a_tenant_must_be_named(self, internal: SurfaceClient, agent: Agent) -> None:
        for response in (
            internal.get(f"{SETTINGS}?agent_id={agent.id}"),
            internal.send("POST", SETTINGS, DICE),
        ):
            assert response.status_code == 400
            assert list(response.json()["errors"]) == ["tenant_id"]

    @pytest.mark.parametrize("whose", ["nobody's", "another tenant's"])
    def test_an_unknown_agent_reads_the_tenants_settings_and_sets_none(
        self, internal: SurfaceClient, charlie: Person, agent: Agent, whose: str
    ) -> None:
        agent_id = agent.id if whose == "another tenant's" else "agent_000000000000"
        internal.send("POST", f"{SETTINGS}?tenant_id={agent.tenant_id}&agent_id={agent.id}", DICE)
        query = f"{SETTINGS}?tenant_id={charlie.tenant.id}&agent_id={agent_id}"
        tenants_own = internal.send("POST", f"{SETTINGS}?tenant_id={charlie.tenant.id}", DICE).json()

        refused = internal.send("POST", query, DICE)

        assert (refused.status_code, refused.json()["code"]) == (404, "AGENT_001")
        assert internal.get(query).json() == [tenants_own]

    def test_an_unknown_tenant_is_404(self, internal: SurfaceClient) -> None:
        response = internal.get(f"{SETTINGS}?tenant_id=tenant_000000000000")

        assert (response.status_code, response.json()["code"]) == (404, "TENANT_001")
        assert set(response.json()) == {"detail", "code"}, "no envelope on this path"


class TestRoom:
    def test_there_are_at_most_a_thousand(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        PluginSetting.unscoped.bulk_create(
            PluginSetting(tenant=alice.tenant, agent=agent, agent_scope=agent.id, plugin_name=f"plugin {number}")
            for number in range(1000)
        )
        path = f"/api/v1/plugins/settings?agent_id={agent.id}"

        assert alice.client.send("POST", path, {"plugin_name": "one more", "enabled": True}).status_code == 400
        assert alice.client.send("POST", path, {"plugin_name": "plugin 1", "enabled": False}).status_code == 200
        assert PluginSetting.unscoped.count() == 1000

    def test_together_they_have_at_most_a_mebibyte(self, alice: Person) -> None:
        half, path = {"text": "x" * 600_000}, "/api/v1/plugins/settings"
        assert alice.client.send("POST", path, {"plugin_name": "a", "enabled": True, "config": half}).status_code == 200

        refused = alice.client.send("POST", path, {"plugin_name": "b", "enabled": True, "config": half})

        assert (refused.status_code, list(refused.json()["errors"])) == (400, ["config"])
        assert alice.client.send("POST", path, {"plugin_name": "a", "enabled": True, "config": half}).status_code == 200

    def test_what_is_more_already_may_become_less_and_not_more(self, alice: Person) -> None:
        for name in ("a", "b", "c"):
            PluginSetting.unscoped.create(tenant=alice.tenant, plugin_name=name, config={"text": "x" * 600_000})
        path = "/api/v1/plugins/settings"

        for length, status in ((500_000, 200), (500_000, 200), (500_001, 400), (1, 200)):
            body = {"plugin_name": "a", "enabled": True, "config": {"text": "x" * length}}
            assert alice.client.send("POST", path, body).status_code == status, length


@pytest.mark.embedded
def test_secrets_of_a_setting_are_limited(api: PluginApi, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "MAX_SECRETS", 2)

    assert api.set(agent, "dice", config={"a_token": "x", "b_token": "x", "sides": 6}).status_code == 200
    refused = api.set(agent, "dice", config={"a_token": "x", "b_token": "x", "c_token": "x"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["config"])

    monkeypatch.setattr(validators, "MAX_SECRETS", 1)
    assert api.set(agent, "dice", config={"a_token": "y", "b_token": "x"}).status_code == 200, "it does not grow"


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("config", "is_taken"),
    [({"a_token": "x"}, True), ({"a_token": "x", "b_token": "x"}, False), ({"text": "x" * 600}, False)],
)
def test_settings_of_an_import_are_limited_together(
    alice: Person, monkeypatch: pytest.MonkeyPatch, config: dict[str, str], is_taken: bool
) -> None:
    monkeypatch.setattr(validators, "MAX_SECRETS", 3)
    monkeypatch.setattr(plugins, "MAX_TOTAL_LENGTH", 1000)
    document = [{"plugin_name": name, "enabled": True, "config": config} for name in ("dice", "clock")]

    imported = alice.client.send("POST", "/api/v1/agents/import", {"maim_export": 1, "name": "x", "plugins": document})

    assert imported.status_code == (200 if is_taken else 400)
    if not is_taken:
        assert list(imported.json()["errors"]) == ["plugins"]
