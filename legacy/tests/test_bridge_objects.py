"""Keys, tenants, agents, plugin settings and deletions in the old tables after one pass of the bridge."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from time_machine import travel

from agents import services as agents
from agents.fields import AgentChanges
from agents.models import Agent, AgentActivity
from agents.services import plugins
from apikeys import services as apikeys
from apikeys.models import ApiKey
from legacy.bridge.database import open_database
from legacy.bridge.state import BridgeState
from legacy.bridge.sync import Refusals, Sync
from legacy.sources import Source
from legacy.tests.bridge_command import bridge, counts, set_config
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import OldDatabase
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.old_bot import OldBot
from tests.support.people import OPERATOR, make_agent, make_key, register

pytestmark = pytest.mark.django_db


def test_key_created_in_maim_has_a_placeholder_as_secret(shared: OldDatabase, tenant: Tenant) -> None:
    issued = make_key(make_agent(tenant), permissions=["chat"])

    bridge(shared)

    value = shared.value("api_keys", issued.key.id, "api_key")
    assert value.startswith("none_")
    assert issued.secret not in value
    assert shared.value("api_keys", issued.key.id, "status") == "active"
    assert json.loads(shared.value("api_keys", issued.key.id, "permissions")) == ["chat"]


def test_imported_key_keeps_its_secret_and_is_updated(shared: OldDatabase, tmp_path: Path) -> None:
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


def test_rotated_secret_is_disabled_after_its_grace(shared: OldDatabase, tmp_path: Path) -> None:
    tenant_id = shared.tenant()
    shared.key(tenant_id, shared.agent(tenant_id), "key_1")
    import_from(shared, tmp_path)
    apikeys.rotate_key(actor=OPERATOR, key=ApiKey.unscoped.get(pk="key_1"), grace_seconds=3600)

    bridge(shared)
    in_grace = shared.value("api_keys", "key_1", "status")
    with travel(timezone.now() + timedelta(hours=2), tick=False):
        bridge(shared)

    assert (in_grace, shared.value("api_keys", "key_1", "status")) == ("active", "disabled")


def test_tenants_with_the_same_name_get_different_names(shared: OldDatabase) -> None:
    shared.execute("CREATE UNIQUE INDEX tenant_tenant_name ON tenants (tenant_name)")
    first, second = (register(name).tenant for name in ("alice", "bob"))
    for each in (first, second):
        tenants.update_tenant(actor=OPERATOR, tenant=each, changes={"tenant_name": "Same"})

    outcomes = [bridge(shared), bridge(shared)]

    names = {shared.value("tenants", each.id, "tenant_name") for each in (first, second)}
    later = max(first.id, second.id)
    assert names == {"Same", f"Same ({later})"}
    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert counts(outcomes[1]) == {}


def test_changed_fields_of_an_agent_are_updated(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    agent = make_agent(tenant)
    bridge(shared)

    changes: AgentChanges = {"name": "重命名", "description": "new", "status": "inactive"}
    agents.update_agent(actor=OPERATOR, agent=agent, changes=changes)
    bridge(shared)

    assert {name: shared.value("agents", agent.id, name) for name in changes} == changes
    assert bot.status(agent.id) == "inactive"


def test_plugin_setting_is_inserted_updated_and_deleted_with_its_agent(
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


def test_imported_plugin_setting_keeps_its_row(shared: OldDatabase, tmp_path: Path) -> None:
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


def test_deleted_tenant_is_deleted_with_its_contents(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    agent = make_agent(tenant, config={"persona": "calm"})
    make_key(agent)
    bridge(shared)
    assert set(bot.number_of_rows(agent.id)) == {"personality_configs", "api_keys"}

    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)
    outcome = bridge(shared)

    assert bot.config(agent.id) is None
    assert bot.number_of_rows(agent.id) == {}
    assert counts(outcome) == {kind: {"deleted": 1} for kind in ("tenants", "agents", "keys")}


def test_imported_agent_deleted_before_the_first_pass_is_deleted(
    shared: OldDatabase, bot: OldBot, tmp_path: Path
) -> None:
    tenant_id = shared.tenant()
    agent_id = shared.agent(tenant_id, config={"persona": "calm"})
    import_from(shared, tmp_path)
    agents.delete_agent(actor=OPERATOR, agent=Agent.unscoped.get(pk=agent_id))

    bridge(shared)

    assert bot.config(agent_id) is None
    assert bot.number_of_rows(agent_id) == {}


def test_unknown_rows_tables_and_columns_stay(shared: OldDatabase, bot: OldBot, tenant: Tenant, tmp_path: Path) -> None:
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


def test_unknown_rows_of_a_deleted_agent_stay(shared: OldDatabase, bot: OldBot, tmp_path: Path) -> None:
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


def test_bridge_from_an_empty_maim_deletes_nothing(shared: OldDatabase, bot: OldBot) -> None:
    agent_id = shared.agent(shared.tenant(), config={"persona": "old"})

    outcome = bridge(shared)

    assert counts(outcome) == {}
    assert bot.config(agent_id) is not None


def test_heartbeats_of_inactive_agents_and_of_other_tenants_are_not_imported(
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
