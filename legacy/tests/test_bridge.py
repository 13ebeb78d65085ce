"""What one pass of the bridge makes of the old tables."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from time_machine import travel

from agents import services as agents
from agents.models import Agent, AgentActivity
from agents.services import plugins, templates
from apikeys import services as apikeys
from apikeys.models import ApiKey
from core.models import Lock
from legacy.bridge.database import open_database
from legacy.bridge.state import BridgeState
from legacy.bridge.sync import Refusals, Sync
from legacy.sources import Source
from legacy.tests.bridge_command import bridge, chat, counts, refuse
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import OldDatabase, connected
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.commands import run
from tests.support.old_bot import OldBot
from tests.support.people import OPERATOR, make_agent, make_key, register
from tests.support.server import ON_MARIADB

pytestmark = pytest.mark.django_db

PROVIDER = {"name": "own", "base_url": "https://own.example/v1", "api_key": "sk-own"}


@pytest.fixture
def bot(shared: OldDatabase) -> OldBot:
    return OldBot(shared.url)


@pytest.fixture
def tenant() -> Tenant:
    return register("alice").tenant


def section(bot: OldBot, agent: Agent, name: str = "chat") -> Any:
    config = bot.config(agent.id)
    assert config is not None
    return config["config_overrides"].get(name)


def set_config(agent: Agent, config: dict[str, Any]) -> None:
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": config})


def provider(*, agent_id: str, bot: OldBot) -> tuple[Any, Any]:
    config = bot.config(agent_id)
    assert config is not None
    (found,) = config["config_overrides"]["model"]["api_providers"]
    return found["api_key"], found["base_url"]


# ---- which config


def test_a_bot_reads_what_template_tenant_and_agent_set_and_not_the_systems_defaults(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    template = templates.create_template(
        actor=OPERATOR, tenant=None, name="calm", config=chat(talk_value=0.1, max_context_size=7, planner_size=2.5)
    )
    tenants.update_tenant(
        actor=OPERATOR,
        tenant=tenant,
        changes={"tenant_config": {"agent_defaults": chat(talk_value=0.2, max_context_size=8)}},
    )
    agent = make_agent(tenant, template_id=template.id, config=chat(talk_value=0.3))

    bridge(shared)

    config = bot.config(agent.id)
    assert config is not None
    told = {name: section(bot, agent)[name] for name in ("talk_value", "max_context_size", "planner_size")}
    assert told == pytest.approx({"talk_value": 0.3, "max_context_size": 8, "planner_size": 2.5})
    assert config["config_overrides"]["model"] == {"api_providers": [], "models": []}
    assert "emoji" not in config["config_overrides"]
    assert "agent_defaults" not in str(shared.value("tenants", tenant.id, "tenant_config"))


def test_a_changed_template_reaches_every_agent(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    template = templates.create_template(actor=OPERATOR, tenant=None, name="calm", config=chat(talk_value=0.1))
    agent = make_agent(tenant, template_id=template.id)
    bridge(shared)

    templates.update_template(actor=OPERATOR, template=template, changes={"config": chat(talk_value=0.9)})
    bridge(shared)

    assert section(bot, agent)["talk_value"] == pytest.approx(0.9)


def test_what_is_no_longer_set_is_no_longer_there(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    models = [{"name": "a", "model_identifier": "x"}, {"name": "b", "model_identifier": "y"}]
    agent = make_agent(tenant, config={"persona": "calm", "config_overrides": {"model": {"models": models}}})
    bridge(shared)

    set_config(agent, {"persona": None, "config_overrides": {"model": {"models": models[1:]}}})
    bridge(shared)

    config = bot.config(agent.id)
    assert config is not None
    assert "persona" not in config
    assert [model["name"] for model in config["config_overrides"]["model"]["models"]] == ["b"]


def test_of_two_rows_of_a_section_one_stays(shared: OldDatabase, bot: OldBot, tmp_path: Path) -> None:
    old_tenant = shared.tenant()
    agent_id = shared.agent(old_tenant, config={"persona": "old"})
    shared.section("personality_configs", agent_id, personality="older")
    import_from(shared, tmp_path)

    set_config(Agent.unscoped.get(pk=agent_id), {"persona": "new"})
    bridge(shared)

    assert bot.number_of_rows(agent_id)["personality_configs"] == 1
    config = bot.config(agent_id)
    assert config is not None
    assert config["persona"]["personality"] == "new"


# ---- secrets of providers


def test_without_secrets_none_goes_out_and_those_that_are_there_stay(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, tmp_path: Path
) -> None:
    config = {"config_overrides": {"model": {"api_providers": [PROVIDER]}, "maim_message": {"auth_token": ["t-old"]}}}
    came_over = shared.agent(shared.tenant(), config=config)
    import_from(shared, tmp_path)
    made_here = make_agent(tenant, config=config)

    bridge(shared)

    assert provider(agent_id=came_over, bot=bot) == ("sk-own", "https://own.example/v1")
    assert section(bot, Agent.unscoped.get(pk=came_over), "maim_message") == {"auth_token": ["t-old"]}
    assert provider(agent_id=made_here.id, bot=bot) == (None, None)
    assert "auth_token" not in json.dumps(bot.config(made_here.id))


@pytest.mark.parametrize("change", [{"api_key": "sk-new"}, {"base_url": "https://new.example/v1"}])
def test_a_changed_provider_loses_both_its_secrets_there(
    shared: OldDatabase, bot: OldBot, tmp_path: Path, change: dict[str, str]
) -> None:
    agent_id = shared.agent(shared.tenant(), config={"config_overrides": {"model": {"api_providers": [PROVIDER]}}})
    import_from(shared, tmp_path)
    changed = {"config_overrides": {"model": {"api_providers": [{**PROVIDER, **change}]}}}
    set_config(Agent.unscoped.get(pk=agent_id), changed)

    bridge(shared)

    assert provider(agent_id=agent_id, bot=bot) == (None, None), "no known key goes to an address that is not known"
    assert "sk-" not in str(shared.value("agents", agent_id, "config"))


def test_with_secrets_they_go_out_in_clear_and_without_they_stay_until_they_change(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    agent = make_agent(tenant, config={"config_overrides": {"model": {"api_providers": [PROVIDER]}}})

    bridge(shared, "--once", "--with-secrets")
    assert provider(agent_id=agent.id, bot=bot) == ("sk-own", "https://own.example/v1")

    bridge(shared)
    assert provider(agent_id=agent.id, bot=bot) == ("sk-own", "https://own.example/v1")


def test_secrets_under_a_lost_key_are_left_out_and_all_else_goes_over(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, settings: Any
) -> None:
    config = {**chat(talk_value=0.5)["config_overrides"], "model": {"api_providers": [PROVIDER]}}
    agent = make_agent(tenant, config={"config_overrides": config})
    settings.ENCRYPTION_KEYS = ("bm90aGVyIGZlcm5ldCBrZXkgb2YgMzIgYnl0ZXMgMTI=",)

    assert bridge(shared, "--once", "--with-secrets").status == 0

    assert provider(agent_id=agent.id, bot=bot) == (None, None)
    assert section(bot, agent)["talk_value"] == pytest.approx(0.5)


@pytest.mark.parametrize("with_secrets", [False, True])
def test_secrets_of_tenants_and_plugins_go_out_only_if_asked_for(
    shared: OldDatabase, tenant: Tenant, with_secrets: bool
) -> None:
    document = {"city": "上海", "headers": {"X-Own": "sk-own"}, "token": "sk-own"}
    tenants.update_tenant(actor=OPERATOR, tenant=tenant, changes={"tenant_config": document})
    plugins.set_plugin(actor=OPERATOR, tenant=tenant, agent=None, plugin_name="weather", enabled=True, config=document)

    bridge(shared, "--once", *(["--with-secrets"] if with_secrets else []))

    shown = document if with_secrets else {"city": "上海", "headers": {}}
    assert json.loads(shared.value("tenants", tenant.id, "tenant_config")) == shown
    with closing(connected(shared.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT config FROM plugin_settings")
        assert json.loads(cursor.fetchone()[0]) == shown


# ---- API keys


def test_a_key_made_here_has_a_row_that_no_key_equals(shared: OldDatabase, tenant: Tenant) -> None:
    issued = make_key(make_agent(tenant), permissions=["chat"])

    bridge(shared)

    value = shared.value("api_keys", issued.key.id, "api_key")
    assert value.startswith("none_")
    assert issued.secret not in value
    assert shared.value("api_keys", issued.key.id, "status") == "active"
    assert json.loads(shared.value("api_keys", issued.key.id, "permissions")) == ["chat"]


def test_a_key_that_came_over_keeps_its_secret_and_is_kept_in_step(shared: OldDatabase, tmp_path: Path) -> None:
    tenant_id = shared.tenant()
    secret = shared.key(tenant_id, shared.agent(tenant_id), "key_1")
    import_from(shared, tmp_path)
    key = ApiKey.unscoped.get(pk="key_1")
    expires_at = timezone.now() + timedelta(days=3)
    apikeys.update_key(actor=OPERATOR, key=key, changes={"permissions": ["read"], "expires_at": expires_at})
    ApiKey.unscoped.filter(pk="key_1").update(usage_count=7, last_used_at=timezone.now())

    bridge(shared)

    assert shared.value("api_keys", "key_1", "api_key") == secret
    assert shared.value("api_keys", "key_1", "status") == "active"
    assert shared.value("api_keys", "key_1", "usage_count") == 7
    assert json.loads(shared.value("api_keys", "key_1", "permissions")) == ["read"]
    assert str(shared.value("api_keys", "key_1", "expires_at"))[:16] == f"{expires_at:%Y-%m-%d %H:%M}"


def test_a_secret_that_was_rotated_out_is_disabled_there_once_its_grace_is_over(
    shared: OldDatabase, tmp_path: Path
) -> None:
    tenant_id = shared.tenant()
    shared.key(tenant_id, shared.agent(tenant_id), "key_1")
    import_from(shared, tmp_path)
    apikeys.rotate_key(actor=OPERATOR, key=ApiKey.unscoped.get(pk="key_1"), grace_seconds=3600)

    bridge(shared)
    in_grace = shared.value("api_keys", "key_1", "status")
    with travel(timezone.now() + timedelta(hours=2), tick=False):
        bridge(shared)

    assert (in_grace, shared.value("api_keys", "key_1", "status")) == ("active", "disabled")


# ---- tenants, agents and plugin settings


def test_tenants_of_one_name_are_told_apart_there(shared: OldDatabase) -> None:
    shared.execute("CREATE UNIQUE INDEX tenant_tenant_name ON tenants (tenant_name)")
    first, second = (register(name).tenant for name in ("alice", "bob"))
    for each in (first, second):
        tenants.update_tenant(actor=OPERATOR, tenant=each, changes={"tenant_name": "Same"})

    outcomes = [bridge(shared), bridge(shared)]

    told = {shared.value("tenants", each.id, "tenant_name") for each in (first, second)}
    later = max(first.id, second.id)
    assert told == {"Same", f"Same ({later})"}
    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert counts(outcomes[1]) == {}


def test_an_agents_fields_are_kept_in_step(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    agent = make_agent(tenant)
    bridge(shared)

    changes = {"name": "重命名", "description": "new", "status": "inactive"}
    agents.update_agent(actor=OPERATOR, agent=agent, changes=changes)
    bridge(shared)

    assert {name: shared.value("agents", agent.id, name) for name in changes} == changes
    assert bot.status(agent.id) == "inactive"


def test_a_plugin_setting_is_set_changed_and_removed_with_its_agent(
    shared: OldDatabase, tenant: Tenant, tmp_path: Path
) -> None:
    agent = make_agent(tenant)

    def put(config: dict[str, Any], whose: Agent | None) -> None:
        plugins.set_plugin(
            actor=OPERATOR, tenant=tenant, agent=whose, plugin_name="p" * 100, enabled=True, config=config
        )

    put({"city": "上海"}, agent)
    put({}, None)
    bridge(shared)
    put({"city": "北京"}, agent)
    outcome = bridge(shared)
    assert counts(outcome) == {"plugins": {"updated": 1}}
    agents.delete_agent(actor=OPERATOR, agent=agent)

    outcome = bridge(shared)

    assert counts(outcome) == {"plugins": {"deleted": 1}, "agents": {"deleted": 1}}


def test_a_plugin_setting_that_came_over_keeps_its_row(shared: OldDatabase, tmp_path: Path) -> None:
    tenant_id = shared.tenant()
    agent_id = shared.agent(tenant_id)
    shared.plugin(tenant_id, agent_id, id="ps_1")
    import_from(shared, tmp_path)
    plugins.set_plugin(
        actor=OPERATOR,
        tenant=Tenant.objects.get(pk=tenant_id),
        agent=Agent.unscoped.get(pk=agent_id),
        plugin_name="weather",
        enabled=False,
        config={"city": "北京"},
    )

    outcome = bridge(shared)

    assert counts(outcome)["plugins"] == {"updated": 1}
    assert json.loads(shared.value("plugin_settings", "ps_1", "config")) == {"city": "北京"}
    assert shared.value("plugin_settings", "ps_1", "enabled") == 0


# ---- what is deleted


def test_what_is_deleted_here_is_deleted_there_with_all_that_it_held(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    agent = make_agent(tenant, config={"persona": "calm"})
    make_key(agent)
    bridge(shared)
    assert set(bot.number_of_rows(agent.id)) == {"personality_configs", "api_keys"}

    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)
    outcome = bridge(shared)

    assert bot.config(agent.id) is None
    assert bot.number_of_rows(agent.id) == {}
    assert counts(outcome) == {kind: {"deleted": 1} for kind in ("tenants", "agents", "keys")}


def test_what_came_over_and_was_deleted_before_the_bridge_is_deleted_there(
    shared: OldDatabase, bot: OldBot, tmp_path: Path
) -> None:
    tenant_id = shared.tenant()
    agent_id = shared.agent(tenant_id, config={"persona": "calm"})
    import_from(shared, tmp_path)
    agents.delete_agent(actor=OPERATOR, agent=Agent.unscoped.get(pk=agent_id))

    bridge(shared)

    assert bot.config(agent_id) is None
    assert bot.number_of_rows(agent_id) == {}


def test_rows_tables_and_columns_that_are_not_from_here_stay(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, tmp_path: Path
) -> None:
    came_over = shared.agent(shared.tenant(), config={"persona": "old"})
    import_from(shared, tmp_path)
    stranger = shared.tenant("tenant_x", name="Stranger")
    unknown = shared.agent(stranger, "agent_x", config={"persona": "unknown"})
    shared.key(stranger, unknown, "key_x")
    shared.plugin(stranger, unknown)
    shared.execute("CREATE TABLE messages (id INTEGER, agent_id VARCHAR(50))")
    shared.execute(f"INSERT INTO messages VALUES (1, '{came_over}')")
    shared.execute("ALTER TABLE agents ADD COLUMN theirs VARCHAR(20) DEFAULT 'x'")
    shared.update("agents", came_over, theirs="kept")
    before = bot.config(unknown), bot.number_of_rows(unknown)

    set_config(Agent.unscoped.get(pk=came_over), {"persona": "new"})
    bridge(shared)
    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)
    bridge(shared)

    assert (bot.config(unknown), bot.number_of_rows(unknown)) == before
    assert shared.value("agents", came_over, "theirs") == "kept"
    assert shared.value("messages", "1", "agent_id") == came_over


def test_of_what_a_deleted_agent_held_only_what_was_here_is_deleted(
    shared: OldDatabase, bot: OldBot, tmp_path: Path
) -> None:
    tenant_id = shared.tenant()
    agent_id = shared.agent(tenant_id)
    shared.key(tenant_id, agent_id, "key_known")
    import_from(shared, tmp_path)
    bridge(shared)
    shared.key(tenant_id, agent_id, "key_unknown", name="later")

    agents.delete_agent(actor=OPERATOR, agent=Agent.unscoped.get(pk=agent_id))
    with open_database(source := Source(shared.url)) as database:
        sync = Sync(database, BridgeState(source), Refusals(), with_secrets=False)
        sync.sync_objects(sync.agents, [agent_id])  # as the feed names it

    assert bot.number_of_rows(agent_id) == {"api_keys": 1}
    assert shared.value("api_keys", "key_unknown", "name") == "later"


def test_a_bridge_from_an_empty_maim_deletes_nothing(shared: OldDatabase, bot: OldBot) -> None:
    agent_id = shared.agent(shared.tenant(), config={"persona": "old"})

    outcome = bridge(shared)

    assert counts(outcome) == {}
    assert bot.config(agent_id) is not None


# ---- what the old database does not take


def test_one_object_that_is_not_taken_keeps_no_other_back(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = (make_agent(tenant, config={"persona": "calm"}) for _number in range(3))
    refuse(shared, second.name)

    outcome = bridge(shared)

    assert outcome.status == 4
    assert counts(outcome)["agents"] == {"inserted": 2, "refused": 1}
    assert bot.config(first.id) is not None
    assert bot.config(third.id) is not None
    assert bot.number_of_rows(second.id) == {}, "nothing of it is written"
    assert f"the old database refuses agents {second.id}" in caplog.text

    shared.execute("DROP TRIGGER no")
    assert counts(bridge(shared)) == {"agents": {"inserted": 1}}


def test_a_deletion_that_is_not_taken_is_tried_again(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    agent = make_agent(tenant)
    bridge(shared)
    raised = "SIGNAL SQLSTATE '45000'" if ON_MARIADB else "BEGIN SELECT RAISE(ABORT, 'not now'); END"
    shared.execute(f"CREATE TRIGGER no BEFORE DELETE ON agents FOR EACH ROW {raised}")
    agents.delete_agent(actor=OPERATOR, agent=agent)

    refused = counts(bridge(shared))
    shared.execute("DROP TRIGGER no")
    done = counts(bridge(shared))

    assert (refused, done) == ({"agents": {"refused": 1}}, {"agents": {"deleted": 1}})
    assert bot.status(agent.id) is None


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite bounds no column")
def test_a_config_too_long_for_the_old_column_leaves_the_last_one_there(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    agent = make_agent(tenant, config={"persona": "short"})
    bridge(shared)

    set_config(agent, {"persona": "long", "notes": ["x" * 9000] * 8})
    outcome = bridge(shared)

    assert counts(outcome) == {"agents": {"refused": 1}}
    config = bot.config(agent.id)
    assert config is not None
    assert config["persona"]["personality"] == "short"


# ---- the command


def test_a_database_that_a_bridge_has_written_is_not_imported_until_it_is_forgotten(
    shared: OldDatabase, tenant: Tenant, tmp_path: Path
) -> None:
    bridge(shared)

    refused = run("import_maim_db", "--config-db", shared.url, "--apply")
    forgotten = bridge(shared, "--forget")
    again = run("import_maim_db", "--config-db", shared.url, "--apply")

    assert refused.status == 1
    assert "a bridge has written into this database" in refused.err
    assert forgotten.status == 0
    assert "a bridge has written" not in again.err


def test_one_bridge_runs_to_a_database(shared: OldDatabase) -> None:
    bridge(shared)
    name = f"bridge {_identity(shared.url)}"
    now = timezone.now()
    Lock.objects.create(name=name, holder="elsewhere process 1", since=now, renewed_at=now)

    refused, dry = bridge(shared), bridge(shared, "--dry-run")

    assert refused.status == 1
    assert "Another process is at it: elsewhere process 1" in refused.err
    assert dry.status == 0, "a dry run goes on beside it"


def _identity(url: str) -> str:
    return Source(url).identity


@pytest.mark.parametrize(
    ("url", "status", "sentence"),
    [
        ("postgres://x/y", 1, "write sqlite:///PATH or mysql://"),
        ("sqlite:////nowhere/at/all.sqlite3", 5, "does not answer: unable to open database file"),
        ("env:NOT_SET_AT_ALL", 2, "There is no environment variable NOT_SET_AT_ALL"),
        ("mysql://u:p4ss@127.0.0.1:1/x", 5, "does not answer"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str, status: int, sentence: str) -> None:
    outcome = bridge(url)

    assert outcome.status == status
    assert sentence in outcome.err
    assert "p4ss" not in outcome.err


def test_another_database_is_refused(tmp_path: Path) -> None:
    other = OldDatabase(f"sqlite:///{tmp_path / 'other.sqlite3'}", tables=["users"])

    outcome = bridge(other)

    assert outcome.status == 1
    assert "there is no table tenants in it; is it the right database?" in outcome.err


def test_the_url_may_be_in_the_environment_and_in_the_old_spelling(
    tmp_path: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OldDatabase.in_file(tmp_path / "maim.sqlite3")
    monkeypatch.setenv("OLD_CONFIG_DB", f"sqlite+aiosqlite:///{tmp_path / 'maim.sqlite3'}")

    assert bridge("env:OLD_CONFIG_DB").status == 0

    assert old.value("tenants", tenant.id, "tenant_name") == tenant.tenant_name


def test_heartbeats_of_inactive_agents_and_of_other_tenants_are_left(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    inactive, moved, good = (make_agent(tenant) for _number in range(3))
    agents.update_agent(actor=OPERATOR, agent=inactive, changes={"status": "inactive"})
    now = timezone.now()
    bot.beat(tenant.id, inactive.id, now)
    bot.beat("tenant_else", moved.id, now)
    bot.beat(tenant.id, good.id, now)

    bridge(shared)

    assert list(AgentActivity.unscoped.values_list("agent_id", flat=True)) == [good.id]
